#ifndef HEARTH_DAEMON_CAPACITY_YIELDING_H_
#define HEARTH_DAEMON_CAPACITY_YIELDING_H_

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "daemon/capacity/owner_signs.h"

namespace hearth {

// Whether a host leaves its machine to its owner: kAuto: where it has a display.
enum class YieldMode { kAuto, kOn, kOff };

// Minutes of a day, local time: from `first` until before `end`; over midnight where that is not later.
struct DayHours {
  int first = 0;
  int end = 0;

  bool Has(int minute) const;
};
// "18:00-23:30". INVALID_ARGUMENT for anything else.
absl::StatusOr<DayHours> ParseDayHours(absl::string_view text);

struct YieldOptions {
  YieldMode mode = YieldMode::kAuto;
  std::vector<DayHours> hours;  // in which the machine is its owner's in any case but kOff
  absl::Duration quiet =
      absl::Seconds(60);  // without signs of the owner, after which the host takes part again
  std::string root;       // of /proc and /sys, for tests
};

// When a host gives its shards back, and when it takes part again. It yields at once to its hours, to a
// closed lid and on battery, until they are over; to other programs that have kept processors, a graphics
// card or memory busy for five seconds, until they have left them alone for the quiet time. Who yields again
// within ten minutes waits twice as long, up to half an hour, so that what Hearth itself causes does not make
// it come and go. Pure: signs and time are passed in. Not thread-safe.
class YieldRules {
 public:
  explicit YieldRules(YieldOptions options) : options_(std::move(options)), quiet_(options_.quiet) {}

  // `signs`: nullopt where nobody is to be looked for; `minute`: of the day, local time.
  void Look(const std::optional<OwnerSigns>& signs, int minute, absl::Time now);
  // Why the host yields, in words that stay the same as long as it does; empty: it takes part.
  const std::string& reason() const { return reason_; }

 private:
  void LookAtPrograms(const OwnerSigns& signs, absl::Time now);

  const YieldOptions options_;
  absl::Duration quiet_;
  std::string reason_;
  bool to_programs_ = false;                        // that is what the reason tells of
  absl::Time calm_since_ = absl::InfiniteFuture();  // no program has been busy; future: one is
  absl::Time busy_since_ = absl::InfiniteFuture();  // future: none has
  absl::Time back_ = absl::InfinitePast();          // when programs last left it alone
};

// A host that looks after its owner by these rules: for signs where they are watched, once a second. Not
// thread-safe.
class Yielding {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds kInterval{1};

  explicit Yielding(const YieldOptions& options);

  // Looks where it has not within the interval. Whether the reason is another one by now.
  bool Look(Clock::time_point now);
  // See YieldRules.
  const std::string& reason() const { return rules_.reason(); }

 private:
  OwnerWatch owner_;
  const bool watches_owner_;
  YieldRules rules_;
  Clock::time_point next_look_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_YIELDING_H_
