#ifndef HEARTH_DAEMON_GRPC_STATUS_H_
#define HEARTH_DAEMON_GRPC_STATUS_H_

#include <grpcpp/support/status.h>

#include <string>

#include "absl/status/status.h"
#include "engine/base/printable.h"
#include "proto/channel.h"

namespace hearth {

// Both have the same codes. A message leaves as one printable line of a length that gRPC can carry, whatever
// it quotes.
inline grpc::Status ToGrpcStatus(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()),
                      Printable(status.message(), 2 * kMaxDetailBytes));
}

// The same code and message; of a call that was not cancelled here (see Uncancelled).
inline absl::Status FromGrpcStatus(const grpc::Status& ended) {
  const grpc::Status status = Uncancelled(ended);
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      Printable(status.error_message(), 2 * kMaxDetailBytes));
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_GRPC_STATUS_H_
