#ifndef HEARTH_DAEMON_JOINING_MACHINE_USER_H_
#define HEARTH_DAEMON_JOINING_MACHINE_USER_H_

#include <grpcpp/server_context.h>

#include "absl/status/status.h"

namespace hearth {

// Whether the caller is a program of this machine, or one whose certificate and role the encrypted port has
// looked at. With --insecure-network the plain port is everybody's, and who was made a member by it would
// stay one. PERMISSION_DENIED where it is neither.
absl::Status CheckMachineUser(const grpc::CallbackServerContext& context);

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_MACHINE_USER_H_
