#include "daemon/repeater.h"

#include <utility>

namespace hearth {

Repeater::Repeater(absl::Duration interval, std::function<void()> action)
    : interval_(interval), action_(std::move(action)) {
  if (interval_ > absl::ZeroDuration()) thread_ = std::thread([this] { Run(); });
}

Repeater::~Repeater() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void Repeater::Run() {
  for (;;) {
    action_();
    const auto next = CondVar::Clock::now() + absl::ToChronoNanoseconds(interval_);
    MutexLock lock(&mutex_);
    while (!stopped_ && wake_.WaitUntil(&mutex_, next)) {
    }
    if (stopped_) return;
  }
}

}  // namespace hearth
