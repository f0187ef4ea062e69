#include "daemon/cluster/step_times.h"

#include <algorithm>

#include "engine/base/quantile.h"

namespace hearth {
namespace {

constexpr size_t kWarmUp = 2;
constexpr size_t kFewest = 8;

}  // namespace

void StepTimes::Add(double us) {
  MutexLock lock(&mutex_);
  if (added_++ >= kWarmUp) us_[(added_ - kWarmUp - 1) % kKept] = us;
}

double StepTimes::MedianUs() const {
  MutexLock lock(&mutex_);
  if (added_ < kWarmUp + kFewest) return 0;
  std::array<double, kKept> sorted = us_;
  return Median(absl::MakeSpan(sorted).first(std::min(added_ - kWarmUp, kKept)));
}

}  // namespace hearth
