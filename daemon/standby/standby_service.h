#ifndef HEARTH_DAEMON_STANDBY_STANDBY_SERVICE_H_
#define HEARTH_DAEMON_STANDBY_STANDBY_SERVICE_H_

#include <memory>

#include "daemon/standby/standby_role.h"

namespace grpc {
class Service;
}

namespace hearth {

// The service of standby.proto. `role` outlives it.
std::unique_ptr<grpc::Service> MakeStandbyService(StandbyRole& role);

}  // namespace hearth

#endif  // HEARTH_DAEMON_STANDBY_STANDBY_SERVICE_H_
