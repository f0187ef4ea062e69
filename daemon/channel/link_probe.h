#ifndef HEARTH_DAEMON_CHANNEL_LINK_PROBE_H_
#define HEARTH_DAEMON_CHANNEL_LINK_PROBE_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/channel/remote_device.h"
#include "daemon/weights/session_token.h"
#include "placement/cluster.h"

namespace hearth {

// kThorough takes up to 0.7 s; kQuick, beside running streams, up to 80 ms. A slow link takes what one small
// message of each sort takes.
enum class ProbeEffort { kThorough, kQuick };

// Measures the link to a worker over its tensor channel, with the messages that decoding uses: the round trip
// of small ones and the bandwidth of large ones. UNAVAILABLE when the worker cannot be reached (the message
// names the address) or does not answer within ten seconds.
absl::StatusOr<placement::Link> ProbeLink(const std::string& tensor_address, const SessionToken& token,
                                          const TensorTls& tls = {}, ProbeEffort effort = ProbeEffort::kThorough);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_LINK_PROBE_H_
