#include "daemon/cluster/step_times.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

TEST(StepTimesTest, TooFewStepsHaveNoMedian) {
  StepTimes times;
  for (int i = 0; i < 9; ++i) times.Add(100);
  EXPECT_EQ(times.MedianUs(), 0);
  times.Add(100);
  EXPECT_EQ(times.MedianUs(), 100);
}

TEST(StepTimesTest, FirstStepsAndSingleSlowOnesDoNotCount) {
  StepTimes times;
  for (int i = 0; i < 2; ++i) times.Add(1e6);
  for (int i = 0; i < 7; ++i) times.Add(100 + i);
  times.Add(1e6);
  EXPECT_EQ(times.MedianUs(), 104);
}

TEST(StepTimesTest, OldStepsAreForgotten) {
  StepTimes times;
  for (int i = 0; i < 200; ++i) times.Add(100);
  for (int i = 0; i < 64; ++i) times.Add(500);
  EXPECT_EQ(times.MedianUs(), 500);
}

}  // namespace
}  // namespace hearth
