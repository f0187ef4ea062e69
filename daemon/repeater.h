#ifndef HEARTH_DAEMON_REPEATER_H_
#define HEARTH_DAEMON_REPEATER_H_

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"

namespace hearth {

// A thread that does something again and again.
class Repeater {
 public:
  // Does it at once and then every `interval`; with a zero interval never.
  Repeater(absl::Duration interval, std::function<void()> action);
  // Waits for an action that runs.
  ~Repeater();
  Repeater(const Repeater&) = delete;
  Repeater& operator=(const Repeater&) = delete;

 private:
  void Run();

  const absl::Duration interval_;
  const std::function<void()> action_;
  Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_REPEATER_H_
