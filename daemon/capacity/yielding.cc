#include "daemon/capacity/yielding.h"

#include <algorithm>
#include <cmath>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/time/civil_time.h"
#include "absl/time/clock.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr absl::Duration kBusyFor = absl::Seconds(5);
constexpr absl::Duration kSoon = absl::Minutes(10);
constexpr absl::Duration kLongestQuiet = absl::Minutes(30);
// From where on a program is busy, and below which part of it it has left the machine alone.
constexpr double kBusyGpu = 0.3;
constexpr double kBusyCpu = 0.3;
constexpr double kStalledMemory = 0.1;
constexpr double kCalm = 0.5;

// How busy other programs are: 1 and more is busy.
double Busy(const OwnerSigns& signs) {
  return std::max(
      {signs.gpu_share / kBusyGpu, signs.cpu_share / kBusyCpu, signs.memory_stall / kStalledMemory});
}

int Percent(double share) { return static_cast<int>(std::lround(100 * std::clamp(share, 0.0, 1.0))); }

std::string WhatIsBusy(const OwnerSigns& signs) {
  const double busy = Busy(signs);
  if (signs.gpu_share / kBusyGpu >= busy)
    return absl::StrCat("another program uses ", Percent(signs.gpu_share), " % of its graphics card");
  if (signs.cpu_share / kBusyCpu >= busy)
    return absl::StrCat("other programs use ", Percent(signs.cpu_share), " % of its processors");
  return absl::StrCat("its programs waited for memory ", Percent(signs.memory_stall), " % of the time");
}

// "07:30"; -1 for anything else.
int ParseMinute(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits(':', 1));
  int hour = 0, minute = 0;
  const bool digits = parts.first.size() <= 2 && parts.second.size() == 2 &&
                      text.find_first_not_of("0123456789:") == absl::string_view::npos;
  if (!digits || !absl::SimpleAtoi(parts.first, &hour) || !absl::SimpleAtoi(parts.second, &minute)) return -1;
  const bool midnight = hour == 24 && minute == 0;
  return (hour < 24 && minute < 60) || midnight ? hour * 60 + minute : -1;
}

}  // namespace

bool DayHours::Has(int minute) const {
  return first < end ? first <= minute && minute < end : minute >= first || minute < end;
}

absl::StatusOr<DayHours> ParseDayHours(absl::string_view text) {
  const std::pair<absl::string_view, absl::string_view> parts = absl::StrSplit(text, absl::MaxSplits('-', 1));
  const DayHours hours = {ParseMinute(parts.first), ParseMinute(parts.second)};
  if (hours.first >= 0 && hours.end >= 0 && hours.first < 24 * 60) return hours;
  return absl::InvalidArgumentError(absl::StrCat("\"", Printable(std::string(text)),
                                                 "\" is no part of a day; write for example 18:00-23:30"));
}

void YieldRules::Look(const std::optional<OwnerSigns>& signs, int minute, absl::Time now) {
  if (options_.mode == YieldMode::kOff) return;
  std::string at_once;
  if (std::any_of(options_.hours.begin(), options_.hours.end(),
                  [&](const DayHours& hours) { return hours.Has(minute); })) {
    at_once = "these hours are its owner's";
  } else if (signs && signs->lid_closed) {
    at_once = "its lid is closed";
  } else if (signs && signs->on_battery) {
    at_once = "it runs on battery";
  }
  if (signs) LookAtPrograms(*signs, now);
  if (to_programs_) return;
  reason_ = at_once.empty() ? "" : absl::StrCat("it yields: ", at_once);
}

Yielding::Yielding(const YieldOptions& options)
    : owner_(options.root),
      watches_owner_(options.mode == YieldMode::kOn ||
                     (options.mode == YieldMode::kAuto && owner_.HasDisplay())),
      rules_(options) {}

bool Yielding::Look(Clock::time_point now) {
  if (now < next_look_) return false;
  next_look_ = now + kInterval;
  const absl::Time time = absl::Now();
  const absl::CivilMinute minute = absl::ToCivilMinute(time, absl::LocalTimeZone());
  const std::string before = rules_.reason();
  rules_.Look(watches_owner_ ? std::optional(owner_.Look()) : std::nullopt,
              60 * minute.hour() + minute.minute(), time);
  return rules_.reason() != before;
}

void YieldRules::LookAtPrograms(const OwnerSigns& signs, absl::Time now) {
  const double busy = Busy(signs);
  if (busy < 1) {
    busy_since_ = absl::InfiniteFuture();
  } else {
    busy_since_ = std::min(busy_since_, now);
  }
  if (busy >= kCalm) {
    calm_since_ = absl::InfiniteFuture();
  } else {
    calm_since_ = std::min(calm_since_, now);
  }
  if (to_programs_ && now - calm_since_ >= quiet_) {
    to_programs_ = false;
    reason_.clear();
    back_ = now;
  } else if (!to_programs_ && now - busy_since_ >= kBusyFor) {
    quiet_ =
        now - back_ < kSoon ? std::min(2 * quiet_, std::max(kLongestQuiet, options_.quiet)) : options_.quiet;
    to_programs_ = true;
    reason_ = absl::StrCat("it yields: ", WhatIsBusy(signs), "; it takes part again after ",
                           absl::FormatDuration(quiet_), " of quiet");
  }
}

}  // namespace hearth
