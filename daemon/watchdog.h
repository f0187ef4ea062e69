#ifndef HEARTH_DAEMON_WATCHDOG_H_
#define HEARTH_DAEMON_WATCHDOG_H_

#include <functional>
#include <utility>

#include "absl/time/time.h"
#include "daemon/repeater.h"

namespace hearth {

// A thread that asks again and again whether the program lives, and passes on each time that it does. A check
// that fails, or that does not come back because something is stuck, passes on nothing: whoever waits to hear
// of it then ends the program.
class Watchdog {
 public:
  // Calls `lives` at once and then every `interval`, and `alive` whenever it returns true; with a zero
  // interval never. Both run on the thread of the watchdog.
  Watchdog(absl::Duration interval, std::function<bool()> lives, std::function<void()> alive)
      : repeater_(interval, [lives = std::move(lives), alive = std::move(alive)] {
          if (lives()) alive();
        }) {}

 private:
  Repeater repeater_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WATCHDOG_H_
