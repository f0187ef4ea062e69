#include "daemon/watchdog.h"

#include <utility>

namespace hearth {

Watchdog::Watchdog(absl::Duration interval, std::function<bool()> lives, std::function<void()> alive)
    : interval_(interval), lives_(std::move(lives)), alive_(std::move(alive)) {
  if (interval_ > absl::ZeroDuration()) thread_ = std::thread([this] { Run(); });
}

Watchdog::~Watchdog() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Watchdog::Run() {
  for (;;) {
    if (lives_()) alive_();
    const auto next = CondVar::Clock::now() + absl::ToChronoNanoseconds(interval_);
    MutexLock lock(&mutex_);
    while (!stopped_ && wake_.WaitUntil(&mutex_, next)) {
    }
    if (stopped_) return;
  }
}

}  // namespace hearth
