#ifndef HEARTH_DAEMON_PLANNING_STEP_TIMES_H_
#define HEARTH_DAEMON_PLANNING_STEP_TIMES_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>

#include "absl/base/thread_annotations.h"
#include "daemon/planning/host_trials.h"
#include "engine/base/mutex.h"
#include "placement/objective.h"

namespace hearth {

// How long steps have really taken under a plan, to be set beside what it expects. Steps that give each of
// some texts one token are alike where they have as many rows, and steps that read prompts where they have
// about as many as those that the plan was made for. Thread-safe.
class StepTimes {
 public:
  // A step with one row of each of `rows` texts took so long. The first ones of a kind warm caches and
  // connections up and do not count; neither do those of more than kMostStreams rows.
  void Add(uint32_t rows, double us);
  // A step of `rows` rows, nearly all of prompts, took so long under a plan for `objective`: it counts where
  // that is for prompts, and for half to twice as many rows at a time, as if it had had as many.
  void AddPrompt(const placement::Objective& objective, uint32_t rows, double us);
  // The median of the last 64 that count of a kind; 0 before there are eight of them.
  double MedianUs(const placement::Objective& step = {}) const;
  // The kind that a plan for `objective` is judged by, with its median: of steps that generate the one of
  // which there were most among the last 64, but for several streams among those of half as many rows at
  // least. nullopt: too few of it count.
  std::optional<StepTime> Usual(const placement::Objective& objective = {}) const;

 private:
  static constexpr size_t kKept = 64;

  struct Kind {
    std::array<double, kKept> us = {};  // a ring
    size_t added = 0;

    void Add(double us);
    double MedianUs() const;
  };
  double MedianOf(const placement::Objective& step) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  mutable Mutex mutex_;
  std::map<uint32_t, Kind> kinds_ ABSL_GUARDED_BY(mutex_);  // by rows, at most kMostStreams
  Kind prompts_ ABSL_GUARDED_BY(mutex_);
  std::array<uint32_t, kKept> recent_ ABSL_GUARDED_BY(mutex_) = {};  // rows; a ring
  size_t added_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_STEP_TIMES_H_
