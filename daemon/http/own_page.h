#ifndef HEARTH_DAEMON_HTTP_OWN_PAGE_H_
#define HEARTH_DAEMON_HTTP_OWN_PAGE_H_

#include <boost/asio/ip/address.hpp>
#include <string>

#include "daemon/http/exchange.h"

namespace hearth {

// Which requests come from pages that this daemon has served itself. A page's origin is a name and a port,
// and what a name stands for its owner may change: a stranger's page can be one of this daemon's address a
// moment later. So only names that no stranger owns count: addresses and "localhost".

// `host`: HOST[:PORT] as in a request, [HOST]:PORT for IPv6.
bool IsAddressOrLocalhost(const std::string& host);
// "localhost" or an address of this machine alone.
bool IsLoopbackHost(const std::string& host);

// Whether the page that asks (`origin`) was served by the host that it asks, under whatever name.
bool IsSameOrigin(const HttpRequest& request);

// Whether it was besides served under a name as above, or shows a key: a stranger's page has none.
bool IsOwnPage(const HttpRequest& request);

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_OWN_PAGE_H_
