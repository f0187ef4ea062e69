#ifndef HEARTH_DAEMON_DASHBOARD_PAGE_STREAM_H_
#define HEARTH_DAEMON_DASHBOARD_PAGE_STREAM_H_

#include <memory>
#include <string>

#include "daemon/dashboard/chronicle.h"
#include "daemon/http/exchange.h"

namespace hearth {

// Answers `exchange` with server-sent events: `greeting`, then the chronicle's news until the client goes or
// the exchange ends. A client that reads slowly gets only the newest of what it missed: the next piece is
// made when the one before is written. False, and nothing is answered, where the chronicle has too many
// listeners. On the exchange's strand; `chronicle` outlives the exchange.
bool StreamNews(Chronicle& chronicle, std::string greeting, std::shared_ptr<Exchange> exchange);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DASHBOARD_PAGE_STREAM_H_
