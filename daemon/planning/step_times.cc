#include "daemon/planning/step_times.h"

#include <algorithm>

#include "engine/base/quantile.h"

namespace hearth {
namespace {

constexpr size_t kWarmUp = 2;
constexpr size_t kFewest = 8;

}  // namespace

void StepTimes::Kind::Add(double took_us) {
  if (added++ >= kWarmUp) us[(added - kWarmUp - 1) % kKept] = took_us;
}

double StepTimes::Kind::MedianUs() const {
  if (added < kWarmUp + kFewest) return 0;
  std::array<double, kKept> sorted = us;
  return Median(absl::MakeSpan(sorted).first(std::min(added - kWarmUp, kKept)));
}

void StepTimes::Add(uint32_t rows, double us) {
  if (rows == 0 || rows > placement::kMostStreams) return;
  MutexLock lock(&mutex_);
  recent_[added_++ % kKept] = rows;
  kinds_[rows].Add(us);
}

void StepTimes::AddPrompt(const placement::Objective& objective, uint32_t rows, double us) {
  if (objective.kind != placement::ObjectiveKind::kPrompt) return;
  if (rows < objective.rows / 2 || rows / 2 > objective.rows) return;
  MutexLock lock(&mutex_);
  prompts_.Add(us * objective.rows / rows);
}

double StepTimes::MedianUs(const placement::Objective& step) const {
  MutexLock lock(&mutex_);
  return MedianOf(step);
}

double StepTimes::MedianOf(const placement::Objective& step) const {
  if (step.kind == placement::ObjectiveKind::kPrompt) return prompts_.MedianUs();
  const auto found = kinds_.find(step.rows);
  return found == kinds_.end() ? 0 : found->second.MedianUs();
}

std::optional<StepTime> StepTimes::Usual(const placement::Objective& objective) const {
  MutexLock lock(&mutex_);
  placement::Objective step = objective;
  if (objective.kind != placement::ObjectiveKind::kPrompt) {
    std::map<uint32_t, size_t> times;
    for (size_t i = 0; i < std::min(added_, kKept); ++i) {
      if (recent_[i] >= (objective.rows + 1) / 2) ++times[recent_[i]];
    }
    const auto most = std::max_element(times.begin(), times.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    if (most == times.end()) return std::nullopt;
    step = placement::OfStreams(most->first);
  }
  const double us = MedianOf(step);
  return us == 0 ? std::nullopt : std::optional(StepTime{step, us});
}

}  // namespace hearth
