#ifndef HEARTH_DAEMON_STANDBY_WORKER_ROLE_H_
#define HEARTH_DAEMON_STANDBY_WORKER_ROLE_H_

#include <memory>

#include "daemon/coordinator_addresses.h"
#include "daemon/standby/standby_role.h"

namespace hearth {

// The role of a worker. `coordinators`: where it finds the one that it works for. Where it has a secret a
// thread asks that one for the state of the home and keeps it in STATE_DIR/standby-state, encrypted. To be
// promoted writes the home into this host's own state directory, and then that it leads.
std::unique_ptr<StandbyRole> MakeWorkerRole(StandbyOptions options, CoordinatorAddresses coordinators);

}  // namespace hearth

#endif  // HEARTH_DAEMON_STANDBY_WORKER_ROLE_H_
