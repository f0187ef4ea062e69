#ifndef HEARTH_DAEMON_COORDINATOR_STUB_H_
#define HEARTH_DAEMON_COORDINATOR_STUB_H_

#include <grpcpp/channel.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "daemon/identity/live_key.h"
#include "engine/base/mutex.h"

namespace hearth {

// A gRPC stub for calls of whoever coordinates: the connection is made anew where that is another one than
// the last time, or where this host has another certificate since. Thread-safe.
template <class Stub>
class CoordinatorStub {
 public:
  using Connect =
      std::function<std::shared_ptr<grpc::Channel>(const std::string& address, const ConnectionKey& key)>;
  CoordinatorStub(LiveKey key, Connect connect) : key_(std::move(key)), connect_(std::move(connect)) {}

  // For calls of HOST:PORT; stays good when another one is asked for.
  std::shared_ptr<Stub> Of(const std::string& address) {
    MutexLock lock(&mutex_);
    const uint64_t version = key_.version();
    if (stub_ == nullptr || address != address_ || version != version_) {
      stub_ = std::make_shared<Stub>(connect_(address, key_.get()));
      address_ = address;
      version_ = version;
    }
    return stub_;
  }

 private:
  const LiveKey key_;
  const Connect connect_;
  Mutex mutex_;
  std::string address_ ABSL_GUARDED_BY(mutex_);   // of stub_
  uint64_t version_ ABSL_GUARDED_BY(mutex_) = 0;  // of its key
  std::shared_ptr<Stub> stub_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_COORDINATOR_STUB_H_
