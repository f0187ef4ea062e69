#ifndef HEARTH_DAEMON_JOINING_JOIN_CLIENT_H_
#define HEARTH_DAEMON_JOINING_JOIN_CLIENT_H_

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/identity/host_id.h"
#include "daemon/identity/join_code.h"
#include "proto/connection_key.h"

namespace hearth {

// Joins the home of a code under this name, with the host's own key: finds the coordinator at one of the
// code's addresses, makes sure that it is the home's before the secret is sent, and returns the key with the
// certificate. Each address gets `patience`.
//
// UNAVAILABLE where none could be reached, which is the only error that another attempt may mend;
// UNAUTHENTICATED where another home answers, PERMISSION_DENIED where the code is refused,
// FAILED_PRECONDITION where this machine's clock is wrong; each one line.
absl::StatusOr<ConnectionKey> JoinHome(const JoinCode& code, const std::string& private_key_pem,
                                       const std::string& name, absl::Time now,
                                       std::chrono::milliseconds patience = std::chrono::seconds(10));

// What a host that has no code shows while a person decides.
struct AtTheDoor {
  std::string code;         // see short_code.h
  std::string coordinator;  // what it calls itself, made printable
  HostId authority;         // of its home
};

// Asks the coordinator whose door is at one of these addresses, the likeliest first, to be let in without a
// code; `show` is called when it waits there, once. Each address gets `patience` until then.
//
// UNAVAILABLE where none could be reached, or the connection was lost; DEADLINE_EXCEEDED where nobody has
// decided, PERMISSION_DENIED where somebody has refused, FAILED_PRECONDITION where this machine's clock is
// wrong or the coordinator is older than this way in, others as the door refuses; each one line.
absl::StatusOr<ConnectionKey> AskToJoin(const std::vector<std::string>& doors,
                                        const std::string& private_key_pem, const std::string& name,
                                        absl::Time now,
                                        const std::function<absl::Status(const AtTheDoor&)>& show,
                                        std::chrono::milliseconds patience = std::chrono::seconds(10));

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_JOIN_CLIENT_H_
