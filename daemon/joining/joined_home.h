#ifndef HEARTH_DAEMON_JOINING_JOINED_HOME_H_
#define HEARTH_DAEMON_JOINING_JOINED_HOME_H_

#include "absl/status/statusor.h"
#include "daemon/config.h"
#include "proto/connection_key.h"

namespace hearth {

// What a worker that joins a home (JoinsHome) connects with; an empty key where it is told an address, or
// nothing. A code is used once: with the same one again the host finds that it belongs to the home already.
// Where it has to ask, the digits to be typed on the coordinator's machine are printed. Waits, for ever,
// while the coordinator of a code cannot be reached; any other error is one line, and final.
absl::StatusOr<ConnectionKey> FindHome(const Config& config);

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_JOINED_HOME_H_
