#ifndef HEARTH_DAEMON_CHANNEL_LINK_PROBE_H_
#define HEARTH_DAEMON_CHANNEL_LINK_PROBE_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/weights/session_token.h"
#include "placement/cluster.h"

namespace hearth {

// Measures the link to a worker over its tensor channel, with the messages that decoding uses: the median
// round trip of small ones and the bandwidth of large ones. Takes a fraction of a second; UNAVAILABLE when
// the worker cannot be reached (the message names the address) or does not answer within two seconds.
absl::StatusOr<placement::Link> ProbeLink(const std::string& tensor_address, const SessionToken& token);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_LINK_PROBE_H_
