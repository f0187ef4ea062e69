#include "daemon/planning/host_trials.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "placement/units.h"

namespace hearth {
namespace {

// Tokens that take longer by this than expected say that the plan is wrong.
constexpr double kWrong = 1.15;
// What must be expected of leaving a host out.
constexpr double kWorthwhile = 0.95;
// By how much tokens must have become slower for a plan to be looked at once more.
constexpr double kWorse = 1.1;
constexpr absl::Duration kFirstLeftOut = absl::Seconds(30);
constexpr absl::Duration kLongestVerdict = absl::Minutes(10);

std::string WordsFor(const placement::Objective& step) {
  switch (step.kind) {
    case placement::ObjectiveKind::kLatency:
      break;
    case placement::ObjectiveKind::kThroughput:
      return absl::StrCat("a step for ", step.rows, " texts");
    case placement::ObjectiveKind::kPrompt:
      return absl::StrCat("a step for ", step.rows, " tokens of prompts");
  }
  return "a token";
}

}  // namespace

void HostTrials::See(const std::string& host, uint64_t session, const placement::Link& link) {
  const Figures figures{session, link};
  const auto [found, is_new] = seen_.emplace(host, figures);
  if (is_new || found->second == figures) return;
  found->second = figures;
  looked_at_step_ = {};
  Forget(host);
}

void HostTrials::Forget(const std::string& host) {
  if (LeavesOut(host)) ++version_;
  trials_.erase(host);
}

void HostTrials::Expire(absl::Time now) {
  std::vector<std::string> old;
  for (const auto& [host, trial] : trials_) {
    if (trial.until <= now) old.push_back(host);
  }
  for (const std::string& host : old) Forget(host);
}

bool HostTrials::Continue(const Hosts& hosts, const StepTime& measured, absl::Time now) {
  const auto found = std::find_if(trials_.begin(), trials_.end(),
                                  [](const auto& entry) { return entry.second.state == State::kOnTrial; });
  if (found == trials_.end()) return false;
  Trial& trial = found->second;
  if (hosts.contains(found->first) || measured.step != trial.step) return true;
  if (measured.us < trial.with_us) {
    Record& record = records_[found->first];
    if (now - record.last > 2 * kLongestVerdict) record = {};
    trial.state = State::kLeftOut;
    trial.without_us = measured.us;
    trial.until = now + std::min(kFirstLeftOut * (1 << std::min(record.times, 10)), kLongestVerdict);
    record = {record.times + 1, now};
  } else {
    trial.state = State::kTrusted;
    trial.until = now + kLongestVerdict;
    ++version_;
  }
  return true;
}

void HostTrials::Judge(const Hosts& hosts, const StepTime& measured, double expected_us,
                       const ExpectedWithout& without, absl::Time now) {
  if (Continue(hosts, measured, now) || measured.us <= expected_us * kWrong) return;
  const bool is_known = looked_at_ == hosts && looked_at_step_.step == measured.step;
  if (is_known && looked_at_step_.us > 0 && measured.us < looked_at_step_.us * kWorse) return;
  looked_at_ = hosts;
  looked_at_step_ = measured;
  std::string worst;
  double best_us = measured.us * kWorthwhile;
  for (const std::string& host : hosts) {
    if (trials_.contains(host)) continue;
    const std::optional<double> without_us = without(host);
    if (!without_us || *without_us >= best_us) continue;
    worst = host;
    best_us = *without_us;
  }
  if (worst.empty()) return;
  trials_[worst] = {State::kOnTrial, measured.step, measured.us, best_us, now + kLongestVerdict};
  ++version_;
}

bool HostTrials::LeavesOut(const std::string& host) const {
  const auto found = trials_.find(host);
  return found != trials_.end() && found->second.state != State::kTrusted;
}

std::vector<std::string> HostTrials::Reasons() const {
  std::vector<std::string> reasons;
  for (const auto& [host, trial] : trials_) {
    if (trial.state == State::kTrusted) continue;
    const std::string without = placement::FormatTime(trial.without_us);
    reasons.push_back(absl::StrCat(
        "Host ", host, " is left out", trial.state == State::kOnTrial ? " on trial" : "", ": with it ",
        WordsFor(trial.step), " took ", placement::FormatTime(trial.with_us), ", without it ",
        trial.state == State::kOnTrial ? absl::StrCat(without, " are expected")
                                       : absl::StrCat("it takes ", without),
        ". It is tried again later, and when its link changes."));
  }
  return reasons;
}

absl::Time HostTrials::NextExpiry() const {
  absl::Time next = absl::InfiniteFuture();
  for (const auto& [host, trial] : trials_) next = std::min(next, trial.until);
  return next;
}

}  // namespace hearth
