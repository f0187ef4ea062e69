#include "daemon/channel/patience.h"

#include <algorithm>

namespace hearth {
namespace {

using Seconds = std::chrono::duration<double>;

// Of what is expected, and of what was seen: speeds that were measured too high, and busy moments.
constexpr double kTimesExpected = 4;
constexpr double kTimesSeen = 6;
constexpr Seconds kLeast{1};
constexpr Seconds kMost{600};

}  // namespace

double Patience::ExpectedUs(const FrameHeader& request) const {
  switch (request.operation) {
    case FrameOperation::kMix:
      return expected_.mix_us[request.layer];
    case FrameOperation::kFfn:
      return expected_.ffn_us[request.layer];
    case FrameOperation::kOutput:
      return expected_.output_us;
    case FrameOperation::kStage:
      return expected_.stage_us;
    default:
      return 0;  // of a cache: it is only copied
  }
}

std::chrono::nanoseconds Patience::For(const FrameHeader& request) const {
  double us = kTimesExpected * ExpectedUs(request) * request.rows;
  const auto seen = slowest_us_.find(request.operation);
  if (request.rows > 1 && seen != slowest_us_.end()) {
    us = std::min(us, kTimesSeen * seen->second * request.rows);
  }
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::clamp(Seconds(1e-6 * us), kLeast, kMost));
}

void Patience::Note(const FrameHeader& request, std::chrono::nanoseconds took) {
  if (request.rows < 2) return;
  double& slowest = slowest_us_[request.operation];
  slowest = std::max(slowest, 1e6 * Seconds(took).count() / request.rows);
}

}  // namespace hearth
