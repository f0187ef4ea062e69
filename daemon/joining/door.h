#ifndef HEARTH_DAEMON_JOINING_DOOR_H_
#define HEARTH_DAEMON_JOINING_DOOR_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/identity/home.h"
#include "daemon/joining/applicants.h"

namespace hearth {

struct DoorOptions {
  std::string listen;                         // HOST:PORT; port 0 takes any free one
  uint16_t grpc_port = 0;                     // what those who are admitted are told
  size_t visitors = 64;                       // at the same time; WhoMakesRoom (stranger_limits.h)
  size_t per_address = 16;                    // of them, from one address or half of an IPv6 one
  std::chrono::milliseconds patience{10000};  // with each visitor, in all
  std::chrono::milliseconds applicants_patience = Applicants::kPatience;  // with one who waits for a decision
};

// Where new hosts come in: a port of its own, because nothing that a stranger sends is to reach HTTP/2. TLS
// and a few small messages (join_protocol.h); whoever is slow, silent or wrong is gone after `patience`, and
// costs at most one message of memory until then. Who has no code waits until a person decides.
class Door {
 public:
  // `home` outlives the door. UNAVAILABLE when the port cannot be had.
  static absl::StatusOr<std::unique_ptr<Door>> Open(const DoorOptions& options, Home& home);
  // Shuts it; nobody is answered any more.
  virtual ~Door() = default;

  virtual const std::string& address() const = 0;  // HOST:PORT, with the real port

  // Those who wait for a decision, the one that has waited longest first.
  virtual std::vector<Applicant> Waiting() = 0;
  // Lets the one in whose code it is, or sends it away. Errors: Applicants::Take's and the home's.
  virtual absl::StatusOr<Applicant> Decide(const std::string& code, bool refuse) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_DOOR_H_
