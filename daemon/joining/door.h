#ifndef HEARTH_DAEMON_JOINING_DOOR_H_
#define HEARTH_DAEMON_JOINING_DOOR_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/identity/home.h"

namespace hearth {

struct DoorOptions {
  std::string listen;                         // HOST:PORT; port 0 takes any free one
  uint16_t grpc_port = 0;                     // what those who are admitted are told
  size_t visitors = 64;                       // at the same time; WhoMakesRoom (stranger_limits.h)
  size_t per_address = 16;                    // of them, from one address or half of an IPv6 one
  std::chrono::milliseconds patience{10000};  // with each visitor, in all
};

// Where new hosts come in: a port of its own, because nothing that a stranger sends is to reach HTTP/2. TLS,
// one message in, one out (join_protocol.h); whoever is slow, silent or wrong is gone after `patience`, and
// costs at most one message of memory until then.
class Door {
 public:
  // `home` outlives the door. UNAVAILABLE when the port cannot be had.
  static absl::StatusOr<std::unique_ptr<Door>> Open(const DoorOptions& options, Home& home);
  // Shuts it; nobody is answered any more.
  virtual ~Door() = default;

  virtual const std::string& address() const = 0;  // HOST:PORT, with the real port
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_DOOR_H_
