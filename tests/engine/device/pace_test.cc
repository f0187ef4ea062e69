#include "engine/device/pace.h"

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>

namespace hearth {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

// How long a wait of `pace` takes for bytes that were read in no time.
std::chrono::nanoseconds TimeOf(Pace& pace, uint64_t bytes) {
  const Pace::Clock::time_point start = Pace::Clock::now();
  pace.Await(start, bytes);
  return Pace::Clock::now() - start;
}

TEST(PaceTest, ReadingTakesAsLongAsAMemoryOfThatSpeedWouldTake) {
  Pace pace(1e9);
  EXPECT_GE(TimeOf(pace, 3'000'000), milliseconds(3));
}

TEST(PaceTest, WithoutAPaceNothingWaits) {
  Pace pace;
  EXPECT_LT(TimeOf(pace, UINT64_MAX), seconds(60));
}

TEST(PaceTest, WhatTookLongerByItselfWaitsForNothing) {
  Pace pace(1e9);
  const Pace::Clock::time_point start = Pace::Clock::now();
  pace.Await(start - seconds(1000), 900'000'000'000);
  EXPECT_LT(Pace::Clock::now() - start, seconds(60));
}

TEST(PaceTest, TheMeanIsAsAskedThoughEverySleepIsLate) {
  Pace pace(1e9);
  std::chrono::nanoseconds together{0};
  for (int i = 0; i < 200; ++i) together += TimeOf(pace, 100'000);
  EXPECT_GE(together, microseconds(200 * 100) - milliseconds(1));
}

TEST(PaceTest, WhileAProcessStandsStillItReadsNothing) {
  EXPECT_EQ(Pace::Counted(microseconds(1100)), microseconds(1100));
  EXPECT_EQ(Pace::Counted(seconds(5)), milliseconds(2));
}

}  // namespace
}  // namespace hearth
