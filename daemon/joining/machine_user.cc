#include "daemon/joining/machine_user.h"

#include <grpcpp/grpcpp.h>

#include <string>

#include "absl/strings/match.h"
#include "daemon/peer_certificate.h"

namespace hearth {

absl::Status CheckMachineUser(const grpc::CallbackServerContext& context) {
  const std::string peer = context.peer();
  // Calls within this process have no address; what stands for it depends on gRPC's version.
  for (const char* own :
       {"ipv4:127.", "ipv6:%5B::1%5D:", "ipv6:[::1]:", "ipv6:%5B::ffff:127.", "unix:", "inproc", "unknown"}) {
    if (absl::StartsWith(peer, own)) return absl::OkStatus();
  }
  if (!PeerCertificate(*context.auth_context()).empty()) return absl::OkStatus();
  return absl::PermissionDeniedError(
      "who belongs to this home is decided on the coordinator's machine, or with an admin's --key: run the "
      "command there");
}

}  // namespace hearth
