#ifndef HEARTH_DAEMON_CHANNEL_PATIENCE_H_
#define HEARTH_DAEMON_CHANNEL_PATIENCE_H_

#include <chrono>
#include <map>
#include <utility>
#include <vector>

#include "daemon/channel/frame.h"

namespace hearth {

// The time that a plan expects each operation to take for one row, in microseconds: per layer where it
// belongs to one.
struct ExpectedTimes {
  std::vector<double> mix_us, ffn_us;
  double output_us = 0;
  double stage_us = 0;
};

// How long a host may take for an answer before it counts as lost: a few times what its plan expects of one
// row, for each row; once it has answered requests of many rows a few times what it has taken for those,
// which is far less, since rows share the reading of weights. At least a second, so that a busy moment is no
// loss. Not thread-safe.
class Patience {
 public:
  explicit Patience(ExpectedTimes expected) : expected_(std::move(expected)) {}

  std::chrono::nanoseconds For(const FrameHeader& request) const;
  // The request was answered after `took`.
  void Note(const FrameHeader& request, std::chrono::nanoseconds took);

  const ExpectedTimes& expected() const { return expected_; }

 private:
  double ExpectedUs(const FrameHeader& request) const;

  const ExpectedTimes expected_;
  std::map<FrameOperation, double> slowest_us_;  // the most that a row among others has taken
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_PATIENCE_H_
