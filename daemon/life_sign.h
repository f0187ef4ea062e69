#ifndef HEARTH_DAEMON_LIFE_SIGN_H_
#define HEARTH_DAEMON_LIFE_SIGN_H_

#include <memory>

#include "absl/time/time.h"

namespace grpc {
class Channel;
}

namespace hearth {

// Whether the gRPC server at the other end of `channel` answers within `patience`. It is called by a method
// that no service has, so that nothing but the server's threads decides: not how busy a model is, nor whether
// a coordinator can be reached.
bool AnswersCalls(const std::shared_ptr<grpc::Channel>& channel, absl::Duration patience);

}  // namespace hearth

#endif  // HEARTH_DAEMON_LIFE_SIGN_H_
