#include "daemon/steps/prompt_pace.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

constexpr absl::Duration kTarget = absl::Milliseconds(300);

// A machine on which a step takes 40 ms and 2 ms more for each prompt row.
absl::Duration Takes(uint32_t rows) { return absl::Milliseconds(40 + 2 * rows); }

TEST(PromptPaceTest, KnowsNothingAtFirst) {
  PromptPace pace;
  EXPECT_EQ(pace.RowsWithin(kTarget, 8), 8u);
  EXPECT_EQ(pace.RowsWithin(absl::Hours(1), 64), 64u);
}

TEST(PromptPaceTest, FillsTheTimeThatThereIsAndNoMore) {
  PromptPace pace;
  pace.Note(0, Takes(0));
  pace.Note(8, Takes(8));
  const uint32_t rows = pace.RowsWithin(kTarget, 8);
  EXPECT_LE(Takes(rows), kTarget);
  EXPECT_GE(Takes(rows), kTarget * 0.8);
}

TEST(PromptPaceTest, StaysBelowTheTargetWithoutStepsThatOnlyGenerate) {
  PromptPace pace;
  uint32_t rows = 8;
  for (int step = 0; step < 20; ++step) {
    EXPECT_LE(Takes(rows), kTarget);
    pace.Note(rows, Takes(rows));
    rows = pace.RowsWithin(kTarget, 8);
  }
  EXPECT_GE(Takes(rows), kTarget * 0.75);
}

TEST(PromptPaceTest, SlowerStepsCountAtOnceAndFasterOnesSoon) {
  PromptPace pace;
  pace.Note(100, absl::Milliseconds(100));
  const uint32_t before = pace.RowsWithin(kTarget, 8);
  pace.Note(100, absl::Milliseconds(1000));
  EXPECT_EQ(pace.RowsWithin(kTarget, 8), before / 10);
  for (int step = 0; step < 10; ++step) pace.Note(100, absl::Milliseconds(100));
  EXPECT_GE(pace.RowsWithin(kTarget, 8), before * 9 / 10);
}

TEST(PromptPaceTest, ATargetThatEvenGeneratingMissesLeavesTheLeastRows) {
  PromptPace pace;
  pace.Note(0, absl::Seconds(1));
  pace.Note(16, absl::Seconds(2));
  EXPECT_EQ(pace.RowsWithin(kTarget, 8), 8u);
}

TEST(PromptPaceTest, TheRestOfAPromptSaysNothing) {
  PromptPace pace;
  pace.Note(100, absl::Milliseconds(100));
  const uint32_t before = pace.RowsWithin(kTarget, 8);
  pace.Note(2, absl::Milliseconds(90));
  EXPECT_EQ(pace.RowsWithin(kTarget, 8), before);
}

TEST(PromptPaceTest, StepsThatTakeNoTimeAllowAnyNumber) {
  PromptPace pace;
  pace.Note(8, absl::ZeroDuration());
  EXPECT_GT(pace.RowsWithin(absl::Hours(1), 8), 1'000'000u);
}

}  // namespace
}  // namespace hearth
