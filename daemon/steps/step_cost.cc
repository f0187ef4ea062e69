#include "daemon/steps/step_cost.h"

#include <algorithm>

namespace hearth {
namespace {

// Of a time that is measured again; a step can be late for many reasons.
constexpr double kNewShare = 0.25;
// After so many steps a time may be another: plans change, contexts grow.
constexpr uint64_t kTrusted = 2048;
// Rows that are hardly ever of use are not tried in order to learn what they cost.
constexpr double kLeastLikelihood = 0.15;

}  // namespace

void StepCost::Note(uint32_t rows, absl::Duration took) {
  ++steps_;
  if (rows == 0 || rows > kMostRows) return;
  const double us = absl::ToDoubleMicroseconds(took);
  Measured& known = measured_[rows];
  known.us = Knows(rows) ? known.us + kNewShare * (us - known.us) : us;
  known.when = steps_;
}

bool StepCost::Knows(uint32_t rows) const {
  return measured_[rows].us > 0 && steps_ - measured_[rows].when <= kTrusted;
}

double StepCost::ExpectedUs(uint32_t rows) const {
  if (Knows(rows)) return measured_[rows].us;
  double least = 0;
  for (uint32_t fewer = 1; fewer < rows; ++fewer) {
    if (Knows(fewer)) least = std::max(least, measured_[fewer].us);
  }
  return least;
}

size_t StepCost::WorthAdding(uint32_t certain, absl::Span<const double> likelihoods, double slowest,
                             absl::Duration before) const {
  if (certain == 0 || certain > kMostRows || !Knows(certain)) return 0;
  const double alone_us = ExpectedUs(certain);
  double tokens = certain, best = certain / alone_us;
  size_t worth = 0;
  for (size_t i = 0; i < likelihoods.size() && certain + i + 1 <= kMostRows; ++i) {
    if (likelihoods[i] < kLeastLikelihood) break;
    tokens += likelihoods[i];
    const double added = static_cast<double>(i + 1);
    const double us = std::max(ExpectedUs(certain + static_cast<uint32_t>(i) + 1), alone_us) +
                      added * absl::ToDoubleMicroseconds(before);
    if (us > slowest * alone_us || tokens / us <= best) continue;
    best = tokens / us;
    worth = i + 1;
  }
  return worth;
}

}  // namespace hearth
