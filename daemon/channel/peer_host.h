#ifndef HEARTH_DAEMON_CHANNEL_PEER_HOST_H_
#define HEARTH_DAEMON_CHANNEL_PEER_HOST_H_

#include <optional>
#include <string>

namespace hearth {

// The host of what gRPC calls a peer ("ipv4:192.168.1.5:4711", "ipv6:%5B::1%5D:4711" or "ipv6:[::1]:4711"),
// in numbers, an IPv4 address as such; nullopt where it has none, as within a process.
std::optional<std::string> PeerHost(std::string peer);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_PEER_HOST_H_
