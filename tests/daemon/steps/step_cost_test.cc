#include "daemon/steps/step_cost.h"

#include <limits>
#include <vector>

#include "gtest/gtest.h"

namespace hearth {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// Steps of 1 to `most` rows that take 100 us and so much more for each row beyond the first.
StepCost Measured(uint32_t most, double us_per_row) {
  StepCost cost;
  for (uint32_t rows = 1; rows <= most; ++rows) {
    cost.Note(rows, absl::Microseconds(100 + us_per_row * (rows - 1)));
  }
  return cost;
}

TEST(StepCostTest, NothingIsAddedWhileNothingIsKnown) {
  EXPECT_EQ(StepCost().WorthAdding(1, {0.9, 0.9}, kNoLimit), 0u);
}

TEST(StepCostTest, RowsThatCostLittleAreAddedDownToTheirWorth) {
  // Each row costs a tenth of a step: worth it while it is right more often than (1 + tokens so far) / 10.
  const StepCost cost = Measured(9, 10);
  EXPECT_EQ(cost.WorthAdding(1, {0.9, 0.8, 0.7, 0.16, 0.16}, kNoLimit), 3u);
}

TEST(StepCostTest, RowsThatCostAsMuchAsAStepAreNotAdded) {
  EXPECT_EQ(Measured(9, 100).WorthAdding(1, {0.99, 0.98}, kNoLimit), 0u);
}

TEST(StepCostTest, CostThatRisesInStairsIsUsedUpToTheNextStair) {
  StepCost cost;
  cost.Note(1, absl::Microseconds(100));
  for (uint32_t rows = 2; rows <= 4; ++rows) cost.Note(rows, absl::Microseconds(160));
  for (uint32_t rows = 5; rows <= 8; ++rows) cost.Note(rows, absl::Microseconds(400));
  // The first row alone would not pay; three of them do.
  EXPECT_EQ(cost.WorthAdding(1, {0.55, 0.55, 0.55, 0.5, 0.5}, kNoLimit), 3u);
}

TEST(StepCostTest, UnknownNumbersOfRowsAreTriedUnlessTheyAreHardlyEverOfUse) {
  StepCost cost;
  cost.Note(1, absl::Microseconds(100));
  EXPECT_EQ(cost.WorthAdding(1, {0.5, 0.25, 0.125}, kNoLimit), 2u);
  cost.Note(3, absl::Microseconds(300));
  EXPECT_EQ(cost.WorthAdding(1, {0.5, 0.25, 0.125}, kNoLimit), 1u);
  cost.Note(2, absl::Microseconds(200));
  EXPECT_EQ(cost.WorthAdding(1, {0.5, 0.25, 0.125}, kNoLimit), 0u);
}

TEST(StepCostTest, StepIsNotSlowerThanAllowed) {
  EXPECT_EQ(Measured(9, 10).WorthAdding(1, {0.9, 0.9, 0.9, 0.9}, 1.25), 2u);
}

TEST(StepCostTest, OldTimesAreMeasuredAgain) {
  StepCost cost = Measured(2, 1000);
  EXPECT_EQ(cost.WorthAdding(1, {0.9}, kNoLimit), 0u);
  for (int i = 0; i < 3000; ++i) cost.Note(1, absl::Microseconds(100));
  EXPECT_EQ(cost.WorthAdding(1, {0.9}, kNoLimit), 1u);
}

TEST(StepCostTest, StepsOfMoreRowsThanAreRememberedAreLeftAlone) {
  StepCost cost;
  cost.Note(StepCost::kMostRows + 1, absl::Microseconds(100));
  EXPECT_EQ(cost.WorthAdding(StepCost::kMostRows + 1, {0.9}, kNoLimit), 0u);
  cost.Note(StepCost::kMostRows, absl::Microseconds(100));
  EXPECT_EQ(cost.WorthAdding(StepCost::kMostRows, {0.9}, kNoLimit), 0u);
}

}  // namespace
}  // namespace hearth
