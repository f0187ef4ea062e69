#include "engine/base/quantile.h"

#include <gtest/gtest.h>

#include <vector>

namespace hearth {
namespace {

TEST(QuantileTest, MedianOfOddAndEvenNumbersIsOneOfThem) {
  std::vector<double> three = {9, 1, 5}, four = {4, 1, 3, 2}, one = {7};
  EXPECT_EQ(Median(absl::MakeSpan(three)), 5);
  EXPECT_EQ(Median(absl::MakeSpan(four)), 3);
  EXPECT_EQ(Median(absl::MakeSpan(one)), 7);
}

TEST(QuantileTest, SmallSharesAreNearTheFastest) {
  std::vector<double> values = {8, 7, 6, 5, 4, 3, 2, 1};
  EXPECT_EQ(Quantile(absl::MakeSpan(values), 0), 1);
  EXPECT_EQ(Quantile(absl::MakeSpan(values), 0.25), 3);
}

TEST(QuantileDeathTest, OfNothingOrOfMoreThanAllThereIsNone) {
  std::vector<double> none, one = {1};
  EXPECT_DEATH(Median(absl::MakeSpan(none)), "");
  EXPECT_DEATH(Quantile(absl::MakeSpan(one), 1), "");
}

}  // namespace
}  // namespace hearth
