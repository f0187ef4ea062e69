#ifndef HEARTH_DAEMON_SERVING_ENCRYPTED_PORT_H_
#define HEARTH_DAEMON_SERVING_ENCRYPTED_PORT_H_

#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/identity/home.h"

namespace grpc {
class HealthCheckServiceInterface;
class ServerBuilder;
}  // namespace grpc

namespace hearth {

// Whether somebody of this role may call a method ("/hearth.v1.Models/Load"): a host synchronizes and fetches
// bundles, an admin loads, unloads, invites and forgets, and all generate and look.
bool MayCall(Role role, absl::string_view method);

// The gRPC port that other machines reach. TLS takes a certificate of the home before a byte reaches HTTP/2;
// each call is then checked once more: whoever was removed from the home meanwhile, whose certificate does
// not hold by the coordinator's clock, or whose role does not have the method, is refused in words.
class EncryptedPort {
 public:
  // `home` outlives the port, which shows a new certificate of its coordinator after `look_again`, whole
  // seconds. UNAVAILABLE when the port cannot be had.
  static absl::StatusOr<std::unique_ptr<EncryptedPort>> Open(
      const std::string& listen, const Home& home,
      const std::function<void(grpc::ServerBuilder&)>& register_services,
      absl::Duration look_again = absl::Minutes(1));
  // Shuts down at once.
  virtual ~EncryptedPort() = default;

  virtual const std::string& address() const = 0;  // HOST:PORT with the real port
  virtual grpc::HealthCheckServiceInterface& health() = 0;
  // Cancels the calls of whoever has this key.
  virtual void EndCallsOf(const HostId& id) = 0;
  virtual void Shutdown(absl::Duration grace) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_ENCRYPTED_PORT_H_
