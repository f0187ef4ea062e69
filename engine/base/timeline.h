#ifndef HEARTH_ENGINE_BASE_TIMELINE_H_
#define HEARTH_ENGINE_BASE_TIMELINE_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"

namespace hearth {

// What happened when, while one step was computed: for pictures. Whoever computes on a thread for which one
// is set adds to it; elsewhere nothing is recorded, at the cost of one look. Thread-safe.
class Timeline {
 public:
  using Clock = std::chrono::steady_clock;
  enum class Kind {
    kComputed,  // a device computed
    kAnswered,  // a device elsewhere was asked, until its answer was taken
    kRead,      // bytes came from a disk, until that was seen
    kAwaited,   // computing waited for such bytes
  };
  struct Event {
    Kind kind = Kind::kComputed;
    std::string device;
    std::string what;  // "attention 3", "ffn 3", "output", layers or a tensor's name
    Clock::time_point begin, end;
    uint64_t bytes = 0;  // of kRead
  };

  // That of this thread; null: nothing is recorded.
  static Timeline* Current();
  // Is the current one of this thread while it lives; null for none.
  class Scope {
   public:
    explicit Scope(Timeline* timeline);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    Timeline* const former_;
  };

  // Adds to the current one, if there is one, what lasts as long as this. `what` gives its name.
  class Span {
   public:
    template <class What>
    Span(Kind kind, const std::string& device, const What& what) : timeline_(Current()) {
      if (timeline_ != nullptr) event_ = {kind, device, what(), Clock::now(), {}};
    }
    ~Span() {
      if (timeline_ != nullptr) timeline_->Add(std::move(event_));
    }
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

   private:
    Timeline* const timeline_;
    Event event_;
  };

  // `event` ends now.
  void Add(Event event);
  // In the order in which they ended.
  std::vector<Event> events() const;

 private:
  mutable Mutex mutex_;
  std::vector<Event> events_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_TIMELINE_H_
