#ifndef HEARTH_DAEMON_CHANNEL_KNOCK_H_
#define HEARTH_DAEMON_CHANNEL_KNOCK_H_

#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "daemon/weights/session_token.h"

namespace hearth {

// What a leader shows in the first bytes of its TLS handshake, as the name of the server that it wants: a
// hash of the session's token. It proves nothing, since whoever hears it can repeat it; but the host can tell
// by it before it has worked for a caller that this is none of the many who know nothing, so that they do not
// keep the leader out even where they come from its own address.
std::string KnockOf(const SessionToken& token);

// Whether the first bytes of a connection, in clear, contain the knock.
bool Knocks(absl::Span<const uint8_t> first_bytes, absl::string_view knock);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_KNOCK_H_
