#ifndef HEARTH_DAEMON_COORDINATOR_STUB_H_
#define HEARTH_DAEMON_COORDINATOR_STUB_H_

#include <grpcpp/channel.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"

namespace hearth {

// A gRPC stub for calls of whoever coordinates: the connection is made anew where that is another one than
// the last time. Thread-safe.
template <class Stub>
class CoordinatorStub {
 public:
  using Connect = std::function<std::shared_ptr<grpc::Channel>(const std::string& address)>;
  explicit CoordinatorStub(Connect connect) : connect_(std::move(connect)) {}

  // For calls of HOST:PORT; stays good when another one is asked for.
  std::shared_ptr<Stub> Of(const std::string& address) {
    MutexLock lock(&mutex_);
    if (stub_ == nullptr || address != address_) {
      stub_ = std::make_shared<Stub>(connect_(address));
      address_ = address;
    }
    return stub_;
  }

 private:
  const Connect connect_;
  Mutex mutex_;
  std::string address_ ABSL_GUARDED_BY(mutex_);  // of stub_
  std::shared_ptr<Stub> stub_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_COORDINATOR_STUB_H_
