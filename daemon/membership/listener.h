#ifndef HEARTH_DAEMON_MEMBERSHIP_LISTENER_H_
#define HEARTH_DAEMON_MEMBERSHIP_LISTENER_H_

#include <functional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"

namespace hearth {

// A function that may be exchanged while others call it; when Set returns the former one runs no more. It
// must neither block nor call Set. Thread-safe.
class Listener {
 public:
  // Whom to call from now on; null: nobody. Waits for a call that is under way.
  void Set(std::function<void()> function) {
    MutexLock lock(&mutex_);
    function_ = std::move(function);
  }

  // From any thread.
  void Call() {
    MutexLock lock(&mutex_);
    if (function_) function_();
  }

 private:
  Mutex mutex_;
  std::function<void()> function_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_LISTENER_H_
