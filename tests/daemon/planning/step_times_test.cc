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
  EXPECT_EQ(times.MedianUs(placement::OfStreams(4)), 300);
  EXPECT_EQ(times.MedianUs(placement::OfStreams(2)), 0);
}

TEST(StepTimesTest, UsualAreTheStepsOfWhichThereWereMostOfLate) {
  StepTimes times;
  EXPECT_FALSE(times.Usual().has_value());
  for (int i = 0; i < 100; ++i) times.Add(1, 100);
  EXPECT_EQ(times.Usual()->step, placement::Objective{});
  for (int i = 0; i < 31; ++i) times.Add(4, 300);
  EXPECT_EQ(times.Usual()->step, placement::Objective{});
  for (int i = 0; i < 2; ++i) times.Add(4, 300);
  EXPECT_EQ(times.Usual()->step, placement::OfStreams(4));
  EXPECT_EQ(times.Usual()->us, 300);
}

TEST(StepTimesTest, PlanForManyStreamsIsJudgedByStepsOfHalfAsManyAtLeast) {
  const placement::Objective eight = placement::OfStreams(8);
  StepTimes times;
  for (int i = 0; i < 40; ++i) times.Add(3, 100);
  EXPECT_FALSE(times.Usual(eight).has_value());
  EXPECT_EQ(times.Usual()->step, placement::OfStreams(3));
  for (int i = 0; i < 12; ++i) times.Add(4, 300);
  EXPECT_EQ(times.Usual(eight)->step, placement::OfStreams(4));
  EXPECT_EQ(times.Usual(eight)->us, 300);
  for (int i = 0; i < 13; ++i) times.Add(100, 900);
  EXPECT_EQ(times.Usual(eight)->step, placement::OfStreams(100));
}

TEST(StepTimesTest, PlanForPromptsIsJudgedByStepsOfAboutAsManyRows) {
  const placement::Objective prompts{placement::ObjectiveKind::kPrompt, 512};
  StepTimes times;
  for (int i = 0; i < 20; ++i) times.Add(1, 100);
  for (const uint32_t rows : {1u, 255u, 1026u}) {
    for (int i = 0; i < 20; ++i) times.AddPrompt(prompts, rows, 1);
  }
  for (int i = 0; i < 20; ++i) times.AddPrompt(placement::OfStreams(512), 512, 1);
  EXPECT_FALSE(times.Usual(prompts).has_value());
  EXPECT_EQ(times.MedianUs(prompts), 0);
  for (int i = 0; i < 10; ++i) times.AddPrompt(prompts, i % 2 == 0 ? 512 : 256, i % 2 == 0 ? 5000 : 2500);
  EXPECT_EQ(times.Usual(prompts)->step, prompts);
  EXPECT_EQ(times.Usual(prompts)->us, 5000);
  EXPECT_EQ(times.MedianUs(prompts), 5000);
  EXPECT_EQ(times.Usual()->step, placement::Objective{});
}

TEST(StepTimesTest, KindOfWhichTooFewCountIsNotUsualYet) {
  StepTimes times;
  for (int i = 0; i < 9; ++i) times.Add(3, 100);
  EXPECT_FALSE(times.Usual().has_value());
}

TEST(StepTimesTest, StepsOfVeryManyRowsOrNoneDoNotCount) {
  StepTimes times;
  for (int i = 0; i < 100; ++i) times.Add(i % 2 == 0 ? 0 : 257, 100);
  EXPECT_FALSE(times.Usual().has_value());
  EXPECT_EQ(times.MedianUs(placement::OfStreams(257)), 0);
}

}  // namespace
}  // namespace hearth
