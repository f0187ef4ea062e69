#include "daemon/program/stop_signals.h"

namespace hearth {

StopSignals::StopSignals() {
  signal(SIGPIPE, SIG_IGN);
  sigemptyset(&signals_);
  sigaddset(&signals_, SIGTERM);
  sigaddset(&signals_, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals_, nullptr);
}

int StopSignals::Await(absl::Duration moment) const {
  const timespec wait = absl::ToTimespec(moment);
  const int signal = sigtimedwait(&signals_, nullptr, &wait);
  if (signal <= 0) return 0;
  pthread_sigmask(SIG_UNBLOCK, &signals_, nullptr);
  return signal;
}

}  // namespace hearth
