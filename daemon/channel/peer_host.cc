#include "daemon/channel/peer_host.h"

#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "daemon/channel/frame_socket.h"

namespace hearth {

std::optional<std::string> PeerHost(std::string peer) {
  const size_t scheme = peer.find(':');
  if (scheme != std::string::npos) peer.erase(0, scheme + 1);
  for (const auto& [escaped, plain] : {std::pair{"%5B", "["}, std::pair{"%5D", "]"}}) {
    if (const size_t at = peer.find(escaped); at != std::string::npos) peer.replace(at, 3, plain);
  }
  const absl::StatusOr<HostPort> address = ParseHostPort(peer);
  if (!address.ok()) return std::nullopt;
  const std::string host = address->host.substr(0, address->host.find('%'));  // without an interface
  return absl::StartsWith(host, "::ffff:") ? host.substr(7) : host;           // IPv4 within IPv6
}

}  // namespace hearth
