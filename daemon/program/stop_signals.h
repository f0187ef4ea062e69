#ifndef HEARTH_DAEMON_PROGRAM_STOP_SIGNALS_H_
#define HEARTH_DAEMON_PROGRAM_STOP_SIGNALS_H_

#include <csignal>

#include "absl/time/time.h"

namespace hearth {

// SIGTERM and SIGINT, which from now on wait for Await. To be made before any thread is started, so that all
// inherit it.
class StopSignals {
 public:
  StopSignals();

  // Waits so long for one of them, which it returns; 0: none has come. After the first one a second one ends
  // the daemon the hard way.
  int Await(absl::Duration moment) const;

 private:
  sigset_t signals_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PROGRAM_STOP_SIGNALS_H_
