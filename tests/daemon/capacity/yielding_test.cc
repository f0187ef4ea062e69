#include "daemon/capacity/yielding.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kNoon = 12 * 60;

class YieldRulesTest : public ::testing::Test {
 protected:
  // Looks once a second, so many times, and tells the reason then.
  std::string Look(const OwnerSigns& signs, int seconds = 1, int minute = kNoon) {
    for (int i = 0; i < seconds; ++i) rules_.Look(signs, minute, now_ += absl::Seconds(1));
    return rules_.reason();
  }
  static OwnerSigns Gpu(double share) { return {.gpu_share = share}; }

  YieldRules rules_{YieldOptions{}};
  absl::Time now_ = absl::FromUnixSeconds(1'000'000);
};

TEST_F(YieldRulesTest, ProgramThatIsBusyForAMomentChangesNothing) {
  EXPECT_THAT(Look(Gpu(0.9), 5), IsEmpty());
  EXPECT_THAT(Look({}, 1), IsEmpty());
  EXPECT_THAT(Look(Gpu(0.9), 5), IsEmpty());
}

TEST_F(YieldRulesTest, ProgramThatStaysBusyGetsTheMachineUntilItIsQuiet) {
  EXPECT_THAT(
      Look(Gpu(0.87), 6),
      "it yields: another program uses 87 % of its graphics card; it takes part again after 1m of quiet");
  EXPECT_THAT(Look(Gpu(0.5), 100), HasSubstr("87 %")) << "the words stay as they are";
  EXPECT_THAT(Look({}, 60), HasSubstr("87 %"));
  EXPECT_THAT(Look({}, 1), IsEmpty());
}

TEST_F(YieldRulesTest, ProgramThatIsHalfBusyKeepsTheMachineButDoesNotTakeIt) {
  EXPECT_THAT(Look({.cpu_share = 0.2}, 100), IsEmpty());
  EXPECT_THAT(Look({.cpu_share = 0.6}, 6), HasSubstr("other programs use 60 % of its processors"));
  EXPECT_THAT(Look({.cpu_share = 0.2}, 100), HasSubstr("60 %"));
}

TEST_F(YieldRulesTest, WaitingForMemoryCounts) {
  EXPECT_THAT(Look({.memory_stall = 0.25}, 6), HasSubstr("its programs waited for memory 25 % of the time"));
}

TEST_F(YieldRulesTest, WhoYieldsAgainSoonWaitsTwiceAsLong) {
  Look(Gpu(1), 6);
  EXPECT_THAT(Look({}, 61), IsEmpty());
  EXPECT_THAT(Look(Gpu(1), 6), HasSubstr("after 2m of quiet"));
  EXPECT_THAT(Look({}, 120), HasSubstr("it yields"));
  EXPECT_THAT(Look({}, 1), IsEmpty());
  EXPECT_THAT(Look({}, 600), IsEmpty());
  EXPECT_THAT(Look(Gpu(1), 6), HasSubstr("after 1m of quiet")) << "that is long ago";
}

TEST_F(YieldRulesTest, QuietTimeGrowsToHalfAnHour) {
  for (int i = 0; i < 8; ++i) {
    Look(Gpu(1), 6);
    Look({}, 1801);
  }
  EXPECT_THAT(Look(Gpu(1), 6), HasSubstr("after 1m of quiet")) << "half an hour of quiet is long";
  for (int i = 0; i < 8; ++i) {
    Look(Gpu(1), 6);
    while (!Look({}).empty()) {
    }
  }
  EXPECT_THAT(Look(Gpu(1), 6), HasSubstr("after 30m of quiet"));
}

TEST_F(YieldRulesTest, BatteryAndLidCountAtOnceAndAsLongAsTheyLast) {
  EXPECT_EQ(Look({.on_battery = true}), "it yields: it runs on battery");
  EXPECT_EQ(Look({.on_battery = true, .lid_closed = true}), "it yields: its lid is closed");
  EXPECT_THAT(Look({}), IsEmpty());
}

TEST_F(YieldRulesTest, GameOnBatteryYieldsUntilBothAreOver) {
  Look({.on_battery = true, .gpu_share = 1}, 6);
  EXPECT_THAT(Look({.on_battery = true}, 61), "it yields: it runs on battery");
  EXPECT_THAT(Look({}), IsEmpty());
}

TEST_F(YieldRulesTest, HoursCountWithoutSignsOfTheOwner) {
  YieldRules rules({.hours = {{.first = 18 * 60, .end = 60}}});
  rules.Look(std::nullopt, 18 * 60, now_);
  EXPECT_EQ(rules.reason(), "it yields: these hours are its owner's");
  rules.Look(std::nullopt, 59, now_);
  EXPECT_FALSE(rules.reason().empty()) << "over midnight";
  rules.Look(std::nullopt, 60, now_);
  EXPECT_THAT(rules.reason(), IsEmpty());
}

TEST_F(YieldRulesTest, WhoIsToldNotToNeverYields) {
  YieldRules rules({.mode = YieldMode::kOff, .hours = {{.first = 0, .end = 0}}});
  for (int i = 0; i < 10; ++i)
    rules.Look(OwnerSigns{.on_battery = true, .gpu_share = 1}, kNoon, now_ += absl::Seconds(1));
  EXPECT_THAT(rules.reason(), IsEmpty());
}

TEST(DayHoursTest, PartsOfADayAreRead) {
  EXPECT_EQ(ParseDayHours("18:00-23:30")->first, 18 * 60);
  EXPECT_EQ(ParseDayHours("18:00-23:30")->end, 23 * 60 + 30);
  EXPECT_EQ(ParseDayHours("8:05-24:00")->end, 24 * 60);
}

TEST(DayHoursTest, EverythingElseIsRefused) {
  for (const char* text :
       {"", "18", "18:00", "18:00-", "-23:00", "18:00-25:00", "18:60-19:00", "24:00-01:00", "1800-1900",
        "18:00-19:00-20:00", "+8:00-09:00", "18:0-19:00", " 8:00-9:00", "\xff:00-01:00"}) {
    const auto hours = ParseDayHours(text);
    EXPECT_EQ(hours.status().code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(hours.status().message()), HasSubstr("18:00-23:30")) << text;
  }
}

}  // namespace
}  // namespace hearth
