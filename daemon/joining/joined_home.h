#ifndef HEARTH_DAEMON_JOINING_JOINED_HOME_H_
#define HEARTH_DAEMON_JOINING_JOINED_HOME_H_

#include "absl/status/statusor.h"
#include "daemon/config.h"
#include "proto/connection_key.h"

namespace hearth {

// Whether a worker is told to join a home, by a code or one that it has joined before, rather than an
// address.
bool JoinsHome(const Config& config);

// What a worker that is told to join by a code, or the home that it has joined before, connects with; an
// empty key where it is told an address, or nothing. A code is used once: with the same one again the host
// finds that it belongs to the home already. Waits, for ever, while the coordinator cannot be reached; any
// other error is one line, and final.
absl::StatusOr<ConnectionKey> FindHome(const Config& config);

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_JOINED_HOME_H_
