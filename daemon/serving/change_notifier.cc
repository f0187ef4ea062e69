#include "daemon/serving/change_notifier.h"

#include <utility>

namespace hearth {

ChangeNotifier::ChangeNotifier(absl::Duration interval, absl::Duration heartbeat)
    : interval_(interval), heartbeat_(heartbeat), thread_([this] { Run(); }) {}

void ChangeNotifier::Stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    wake_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void ChangeNotifier::Notify() {
  std::lock_guard lock(mutex_);
  changed_ = true;
  wake_.notify_all();
}

void ChangeNotifier::Add(std::weak_ptr<ChangeListener> listener) {
  std::lock_guard lock(mutex_);
  std::erase_if(listeners_, [](const auto& entry) { return entry.expired(); });
  listeners_.push_back(std::move(listener));
}

void ChangeNotifier::Run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    wake_.wait_for(lock, absl::ToChronoMilliseconds(heartbeat_), [this] { return changed_ || stopping_; });
    changed_ = false;
    auto listeners = Listeners();
    lock.unlock();
    for (const auto& listener : listeners) listener->OnChange();
    listeners.clear();
    lock.lock();
    // Changes that come in quick succession are told together.
    wake_.wait_for(lock, absl::ToChronoMilliseconds(interval_), [this] { return stopping_; });
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
