#ifndef HEARTH_DAEMON_STEPS_STEP_COST_H_
#define HEARTH_DAEMON_STEPS_STEP_COST_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/time/time.h"
#include "absl/types/span.h"

namespace hearth {

// Learns from the steps of one model how long those of so many rows take, and so how many rows that are only
// perhaps of use are worth their time. Not thread-safe.
class StepCost {
 public:
  static constexpr uint32_t kMostRows = 64;  // steps of more are not remembered

  // A step of so many rows, none of a prompt, took so long.
  void Note(uint32_t rows, absl::Duration took);
  // How many of the rows that are of use with `likelihoods`, in falling order, a step should have beside
  // `certain` others, so that it makes the most tokens in its time, and in what each of them takes before it.
  // At most `slowest` times as long as without them.
  size_t WorthAdding(uint32_t certain, absl::Span<const double> likelihoods, double slowest,
                     absl::Duration before = absl::ZeroDuration()) const;

 private:
  struct Measured {
    double us = 0;      // 0: never
    uint64_t when = 0;  // by the count of steps
  };

  bool Knows(uint32_t rows) const;
  // What is not known is expected to take no longer than fewer rows: it is tried, and then known.
  double ExpectedUs(uint32_t rows) const;

  std::array<Measured, kMostRows + 1> measured_;
  uint64_t steps_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STEPS_STEP_COST_H_
