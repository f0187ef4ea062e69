#ifndef HEARTH_DAEMON_SERVING_LIMITED_PORT_H_
#define HEARTH_DAEMON_SERVING_LIMITED_PORT_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/channel/stranger_limits.h"

namespace grpc {
class ServerBuilder;
class ServerCredentials;
}  // namespace grpc

namespace hearth {

struct LimitedPortOptions {
  std::string listen;                        // HOST:PORT; port 0 takes any free one
  std::string advice{};                      // what to do where it cannot be had
  size_t waiting = 128;                      // callers at the same time
  size_t per_network = 64;                   // of them
  StrangerRate::Options connections{};       // that the server gets
  bool spares_loopback = false;              // callers of this machine have no limits
  std::chrono::milliseconds patience{3000};  // with each that waits, in all
};

// The port of a gRPC server that other machines reach. A caller costs a socket until its first bytes are
// there and its network has connections left; then the server gets it. Who comes too often waits for its
// turn, who is too slow or one too many is gone. A connection over which a call comes that is no stranger's
// is given back to its network (Welcome), so that only those count that have not shown who they are.
class LimitedPort {
 public:
  // A connected socket that does not block, from then on the taker's.
  using Take = std::function<void(int descriptor)>;

  // Callers wait until it is started. UNAVAILABLE with the address, the reason and the advice.
  static absl::StatusOr<std::unique_ptr<LimitedPort>> Open(const LimitedPortOptions& options, Take take);
  // Closes it.
  virtual ~LimitedPort() = default;

  virtual const std::string& address() const = 0;  // HOST:PORT with the real port
  // From now on `take` is called, on the port's thread. Once.
  virtual void Start() = 0;
  // `peer` is what gRPC calls the other end of a call. From any thread.
  virtual void Welcome(const std::string& peer) = 0;
  // Takes nobody any more, and sends those away who wait.
  virtual void Close() = 0;
};

// What hands connections to the server that `builder` will make, in place of a port of its own; once it is
// made, and until it shuts down.
LimitedPort::Take TakeFor(grpc::ServerBuilder& builder,
                          const std::shared_ptr<grpc::ServerCredentials>& credentials);

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_LIMITED_PORT_H_
