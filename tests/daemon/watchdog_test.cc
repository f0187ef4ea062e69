#include "daemon/watchdog.h"

#include <atomic>

#include "absl/synchronization/notification.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

constexpr absl::Duration kSoon = absl::Microseconds(100);
constexpr absl::Duration kNeverAgain = absl::Hours(1);

TEST(WatchdogTest, PassesOnEachSignOfLife) {
  std::atomic<int> passed = 0;
  absl::Notification third;
  const Watchdog watchdog(
      kSoon, [] { return true; },
      [&] {
        if (++passed == 3) third.Notify();
      });
  third.WaitForNotification();
}

TEST(WatchdogTest, PassesOnTheFirstSignAtOnce) {
  absl::Notification first;
  const Watchdog watchdog(
      kNeverAgain, [] { return true; }, [&] { first.Notify(); });
  first.WaitForNotification();
}

TEST(WatchdogTest, FailedChecksPassOnNothingUntilOneSucceeds) {
  int checks = 0;  // of the watchdog's thread alone
  std::atomic<int> checks_at_first_sign = 0;
  absl::Notification sign;
  const Watchdog watchdog(
      kSoon, [&] { return ++checks >= 5; },
      [&] {
        if (sign.HasBeenNotified()) return;
        checks_at_first_sign = checks;
        sign.Notify();
      });
  sign.WaitForNotification();
  EXPECT_EQ(checks_at_first_sign, 5);
}

TEST(WatchdogTest, EndsWhileItWaits) {
  std::atomic<int> checks = 0;
  {
    absl::Notification checked;
    const Watchdog watchdog(
        kNeverAgain,
        [&] {
          ++checks;
          checked.Notify();
          return false;
        },
        [] { FAIL() << "nothing lives here"; });
    checked.WaitForNotification();
  }
  EXPECT_EQ(checks, 1);
}

TEST(WatchdogTest, WithoutAnIntervalNobodyIsAsked) {
  const Watchdog watchdog(
      absl::ZeroDuration(),
      [] {
        ADD_FAILURE() << "nobody watches";
        return true;
      },
      [] {});
}

}  // namespace
}  // namespace hearth
