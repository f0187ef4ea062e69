#include "daemon/planning/step_times.h"

#include <algorithm>

#include "engine/base/quantile.h"

namespace hearth {
namespace {

constexpr size_t kWarmUp = 2;
constexpr size_t kFewest = 8;

}  // namespace

void StepTimes::Add(uint32_t rows, double us) {
  if (rows == 0 || rows > kMostRows) return;
  MutexLock lock(&mutex_);
  recent_[added_++ % kKept] = rows;
  Kind& kind = kinds_[rows - 1];
  if (kind.added++ >= kWarmUp) kind.us[(kind.added - kWarmUp - 1) % kKept] = us;
}

double StepTimes::MedianUs(uint32_t rows) const {
  if (rows == 0 || rows > kMostRows) return 0;
  MutexLock lock(&mutex_);
  return MedianOf(kinds_[rows - 1]);
}

double StepTimes::MedianOf(const Kind& kind) const {
  if (kind.added < kWarmUp + kFewest) return 0;
  std::array<double, kKept> sorted = kind.us;
  return Median(absl::MakeSpan(sorted).first(std::min(kind.added - kWarmUp, kKept)));
}

std::optional<StepTime> StepTimes::Usual() const {
  MutexLock lock(&mutex_);
  std::array<size_t, kMostRows + 1> times = {};
  for (size_t i = 0; i < std::min(added_, kKept); ++i) ++times[recent_[i]];
  const auto most = static_cast<uint32_t>(std::max_element(times.begin(), times.end()) - times.begin());
  const double us = most == 0 ? 0 : MedianOf(kinds_[most - 1]);
  return us == 0 ? std::nullopt : std::optional(StepTime{most, us});
}

}  // namespace hearth
