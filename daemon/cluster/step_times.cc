#include "daemon/cluster/step_times.h"

#include <algorithm>

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
  const auto end = sorted.begin() + static_cast<std::ptrdiff_t>(std::min(added_ - kWarmUp, kKept));
  const auto middle = sorted.begin() + (end - sorted.begin()) / 2;
  std::nth_element(sorted.begin(), middle, end);
  return *middle;
}

}  // namespace hearth
