#ifndef HEARTH_DAEMON_JOINING_JOIN_CLIENT_H_
#define HEARTH_DAEMON_JOINING_JOIN_CLIENT_H_

#include <chrono>
#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
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

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_JOIN_CLIENT_H_
