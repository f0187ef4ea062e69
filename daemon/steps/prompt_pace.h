#ifndef HEARTH_DAEMON_STEPS_PROMPT_PACE_H_
#define HEARTH_DAEMON_STEPS_PROMPT_PACE_H_

#include <cstdint>

#include "absl/time/time.h"

namespace hearth {

// Learns from the steps of one model how long prompt rows take, and so how many of them a step may have.
// A step takes a time of its own and as much again for each prompt row. Not thread-safe.
class PromptPace {
 public:
  // A step with so many prompt rows took so long.
  void Note(uint32_t prompt_rows, absl::Duration took);
  // How many prompt rows a step may have that is to take no longer than `target`: at least `least`, and so
  // many as well while nothing is known.
  uint32_t RowsWithin(absl::Duration target, uint32_t least) const;

 private:
  absl::Duration without_prompt_;  // that a step takes; zero: not known
  absl::Duration row_;             // that each prompt row adds; zero: not known
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STEPS_PROMPT_PACE_H_
