#ifndef HEARTH_CLIENT_CALL_STATUS_H_
#define HEARTH_CLIENT_CALL_STATUS_H_

#include <google/protobuf/message.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace hearth {

// How a call ended that was not cancelled here, for whoever made it: a server that is not there says how to
// start it.
absl::Status FromGrpc(const grpc::Status& status, const std::string& server);

// Whether there was no connection over which to call, from here or from a host that passes calls on.
bool NotReached(const grpc::Status& status);

// Finds what gRPC and protobuf would refuse in words of their own. INVALID_ARGUMENT for text that is no
// UTF-8, OUT_OF_RANGE above 4 MiB.
absl::Status CheckCanBeSent(const google::protobuf::Message& request);

// The call may take so long from now on.
void SetTimeout(grpc::ClientContext& context, absl::Duration timeout);

}  // namespace hearth

#endif  // HEARTH_CLIENT_CALL_STATUS_H_
