#include "engine/base/timeline.h"

namespace hearth {
namespace {

thread_local Timeline* current = nullptr;

}  // namespace

Timeline* Timeline::Current() { return current; }

Timeline::Scope::Scope(Timeline* timeline) : former_(std::exchange(current, timeline)) {}

Timeline::Scope::~Scope() { current = former_; }

void Timeline::Add(Event event) {
  event.end = Clock::now();
  MutexLock lock(&mutex_);
  events_.push_back(std::move(event));
}

std::vector<Timeline::Event> Timeline::events() const {
  MutexLock lock(&mutex_);
  return events_;
}

}  // namespace hearth
