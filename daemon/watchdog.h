#ifndef HEARTH_DAEMON_WATCHDOG_H_
#define HEARTH_DAEMON_WATCHDOG_H_

#include <functional>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/time/time.h"
#include "engine/base/mutex.h"

namespace hearth {

// A thread that asks again and again whether the program lives, and passes on each time that it does. A check
// that fails, or that does not come back because something is stuck, passes on nothing: whoever waits to hear
// of it then ends the program.
class Watchdog {
 public:
  // Calls `lives` at once and then every `interval`, and `alive` whenever it returns true; with a zero
  // interval never. Both run on the thread of the watchdog.
  Watchdog(absl::Duration interval, std::function<bool()> lives, std::function<void()> alive);
  // Waits for a check that runs.
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Run();

  const absl::Duration interval_;
  const std::function<bool()> lives_;
  const std::function<void()> alive_;
  Mutex mutex_;
  CondVar wake_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // last: it uses the others
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WATCHDOG_H_
