#ifndef HEARTH_DAEMON_CHANNEL_LOG_LIMITER_H_
#define HEARTH_DAEMON_CHANNEL_LOG_LIMITER_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"

namespace hearth {

// Keeps what strangers can cause from filling the log: one line per interval. Thread-safe.
class LogLimiter {
 public:
  explicit LogLimiter(std::chrono::seconds interval) : interval_(interval) {}

  // Whether to write a line now, and how many were left out since the last one.
  std::optional<uint64_t> Allow(
      std::chrono::steady_clock::time_point now = std::chrono::steady_clock::now()) {
    MutexLock lock(&mutex_);
    if (last_ && now - *last_ < interval_) {
      ++left_out_;
      return std::nullopt;
    }
    last_ = now;
    return std::exchange(left_out_, 0);
  }

 private:
  const std::chrono::seconds interval_;
  Mutex mutex_;
  std::optional<std::chrono::steady_clock::time_point> last_ ABSL_GUARDED_BY(mutex_);
  uint64_t left_out_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_LOG_LIMITER_H_
