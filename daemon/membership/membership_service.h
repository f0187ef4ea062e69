#ifndef HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_SERVICE_H_
#define HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_SERVICE_H_

#include <memory>

#include "daemon/membership/roster.h"

namespace grpc {
class Service;
}

namespace hearth {

// The coordinator's end of worker.proto: hands what workers send to the roster and what it wants to the
// workers. `roster` outlives the service; Roster::Stop ends its streams.
std::unique_ptr<grpc::Service> MakeMembershipService(Roster& roster);

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_MEMBERSHIP_SERVICE_H_
