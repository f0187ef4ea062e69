#ifndef HEARTH_DAEMON_CLUSTER_STEP_TIMES_H_
#define HEARTH_DAEMON_CLUSTER_STEP_TIMES_H_

#include <array>
#include <cstddef>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"

namespace hearth {

// How long single tokens have really taken under a plan, to be set beside what it expects. Thread-safe.
class StepTimes {
 public:
  // A step of one row took so long. The first ones warm caches and connections up and do not count.
  void Add(double us);
  // The median of the last 64 that count; 0 before there are eight of them.
  double MedianUs() const;

 private:
  static constexpr size_t kKept = 64;

  mutable Mutex mutex_;
  std::array<double, kKept> us_ ABSL_GUARDED_BY(mutex_) = {};  // a ring
  size_t added_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_STEP_TIMES_H_
