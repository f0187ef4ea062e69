#include "daemon/scheduling/change_notifier.h"

#include <utility>

namespace hearth {

ChangeNotifier::ChangeNotifier(absl::Duration interval, absl::Duration heartbeat)
    : interval_(interval), heartbeat_(heartbeat), thread_([this] { Run(); }) {}

void ChangeNotifier::Stop() {
  {
    MutexLock lock(&mutex_);
    stopping_ = true;
    wake_.SignalAll();
  }
  if (thread_.joinable()) thread_.join();
}

void ChangeNotifier::Notify() {
  MutexLock lock(&mutex_);
  changed_ = true;
  wake_.SignalAll();
}

void ChangeNotifier::Add(std::weak_ptr<ChangeListener> listener) {
  MutexLock lock(&mutex_);
  ForgetGone();
  listeners_.push_back(std::move(listener));
}

bool ChangeNotifier::AddIfFew(std::weak_ptr<ChangeListener> listener) {
  MutexLock lock(&mutex_);
  ForgetGone();
  if (listeners_.size() >= kMaxListeners) return false;
  listeners_.push_back(std::move(listener));
  return true;
}

void ChangeNotifier::ForgetGone() {
  std::erase_if(listeners_, [](const auto& entry) { return entry.expired(); });
}

void ChangeNotifier::Run() {
  MutexLock lock(&mutex_);
  while (!stopping_) {
    const auto beat = CondVar::Clock::now() + absl::ToChronoMilliseconds(heartbeat_);
    while (!changed_ && !stopping_ && wake_.WaitUntil(&mutex_, beat)) {
    }
    changed_ = false;
    auto listeners = Listeners();
    lock.Unlock();
    for (const auto& listener : listeners) listener->OnChange();
    listeners.clear();
    lock.Lock();
    // Changes that come in quick succession are told together.
    const auto next = CondVar::Clock::now() + absl::ToChronoMilliseconds(interval_);
    while (!stopping_ && wake_.WaitUntil(&mutex_, next)) {
    }
  }
}

std::vector<std::shared_ptr<ChangeListener>> ChangeNotifier::Listeners() {
  std::vector<std::shared_ptr<ChangeListener>> result;
  for (const auto& entry : listeners_) {
    if (auto listener = entry.lock()) result.push_back(std::move(listener));
  }
  return result;
}

}  // namespace hearth
