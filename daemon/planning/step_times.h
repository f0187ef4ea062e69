#ifndef HEARTH_DAEMON_PLANNING_STEP_TIMES_H_
#define HEARTH_DAEMON_PLANNING_STEP_TIMES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "daemon/planning/host_trials.h"
#include "engine/base/mutex.h"

namespace hearth {

// How long steps have really taken under a plan, to be set beside what it expects. Steps that give each of
// some texts one token are alike where they have as many rows. Thread-safe.
class StepTimes {
 public:
  // A step with one row of each of `rows` texts took so long. The first ones of a kind warm caches and
  // connections up and do not count; neither do those of very many rows.
  void Add(uint32_t rows, double us);
  // The median of the last 64 that count of a kind; 0 before there are eight of them.
  double MedianUs(uint32_t rows = 1) const;
  // The kind of which there were most among the last 64 steps, with its median; nullopt: too few of it count.
  std::optional<StepTime> Usual() const;

 private:
  static constexpr size_t kKept = 64;
  static constexpr uint32_t kMostRows = 16;

  struct Kind {
    std::array<double, kKept> us = {};  // a ring
    size_t added = 0;
  };
  double MedianOf(const Kind& kind) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::array<Kind, kMostRows> kinds_ ABSL_GUARDED_BY(mutex_);        // of 1, 2, ... rows
  std::array<uint32_t, kKept> recent_ ABSL_GUARDED_BY(mutex_) = {};  // rows; a ring
  size_t added_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_STEP_TIMES_H_
