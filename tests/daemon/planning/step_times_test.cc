#include "daemon/planning/step_times.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(StepTimesTest, TooFewStepsHaveNoMedian) {
  StepTimes times;
  for (int i = 0; i < 9; ++i) times.Add(1, 100);
  EXPECT_EQ(times.MedianUs(), 0);
  times.Add(1, 100);
  EXPECT_EQ(times.MedianUs(), 100);
}

TEST(StepTimesTest, FirstStepsAndSingleSlowOnesDoNotCount) {
  StepTimes times;
  for (int i = 0; i < 2; ++i) times.Add(1, 1e6);
  for (int i = 0; i < 7; ++i) times.Add(1, 100 + i);
  times.Add(1, 1e6);
  EXPECT_EQ(times.MedianUs(), 104);
}

TEST(StepTimesTest, OldStepsAreForgotten) {
  StepTimes times;
  for (int i = 0; i < 200; ++i) times.Add(1, 100);
  for (int i = 0; i < 64; ++i) times.Add(1, 500);
  EXPECT_EQ(times.MedianUs(), 500);
}

TEST(StepTimesTest, StepsOfOtherRowsAreAnotherKind) {
  StepTimes times;
  for (int i = 0; i < 10; ++i) times.Add(1, 100);
  for (int i = 0; i < 10; ++i) times.Add(4, 300);
  EXPECT_EQ(times.MedianUs(), 100);
  EXPECT_EQ(times.MedianUs(4), 300);
  EXPECT_EQ(times.MedianUs(2), 0);
}

TEST(StepTimesTest, UsualAreTheStepsOfWhichThereWereMostOfLate) {
  StepTimes times;
  EXPECT_FALSE(times.Usual().has_value());
  for (int i = 0; i < 100; ++i) times.Add(1, 100);
  EXPECT_EQ(times.Usual()->rows, 1u);
  for (int i = 0; i < 31; ++i) times.Add(4, 300);
  EXPECT_EQ(times.Usual()->rows, 1u);
  for (int i = 0; i < 2; ++i) times.Add(4, 300);
  EXPECT_EQ(times.Usual()->rows, 4u);
  EXPECT_EQ(times.Usual()->us, 300);
}

TEST(StepTimesTest, KindOfWhichTooFewCountIsNotUsualYet) {
  StepTimes times;
  for (int i = 0; i < 9; ++i) times.Add(3, 100);
  EXPECT_FALSE(times.Usual().has_value());
}

TEST(StepTimesTest, StepsOfVeryManyRowsOrNoneDoNotCount) {
  StepTimes times;
  for (int i = 0; i < 100; ++i) times.Add(i % 2 == 0 ? 0 : 17, 100);
  EXPECT_FALSE(times.Usual().has_value());
  EXPECT_EQ(times.MedianUs(17), 0);
}

}  // namespace
}  // namespace hearth
