#include "engine/model/router.h"

#include <cmath>
#include <limits>
#include <set>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

std::vector<BlockChoice> Choose(const RouterSpec& spec, std::vector<float> logits,
                                std::vector<float> bias = {}) {
  std::vector<BlockChoice> choices(spec.chosen);
  Router().Choose(spec, absl::MakeSpan(logits), bias, choices.data());
  return choices;
}

TEST(RouterTest, SoftmaxWeightsAreSharesOfAllExperts) {
  const auto choices = Choose({.experts = 4, .chosen = 2}, {0, std::log(2.0f), std::log(5.0f), 0});
  EXPECT_EQ(choices[0].block, 2u);
  EXPECT_NEAR(choices[0].weight, 5.0 / 9, 1e-6);
  EXPECT_EQ(choices[1].block, 1u);
  EXPECT_NEAR(choices[1].weight, 2.0 / 9, 1e-6);
}

TEST(RouterTest, NormalizedWeightsSumToTheScale) {
  const auto choices = Choose({.experts = 4, .chosen = 2, .normalize = true, .scale = 3},
                              {0, std::log(2.0f), std::log(6.0f), 0});
  EXPECT_NEAR(choices[0].weight, 3 * 0.75, 1e-6);
  EXPECT_NEAR(choices[1].weight, 3 * 0.25, 1e-6);
}

TEST(RouterTest, SigmoidWeightsDoNotDependOnOtherExperts) {
  const auto choices = Choose({.experts = 3, .chosen = 1, .gating = Gating::kSigmoid}, {-1, 0, -2});
  EXPECT_EQ(choices[0].block, 1u);
  EXPECT_FLOAT_EQ(choices[0].weight, 0.5f);
}

TEST(RouterTest, SoftmaxOfChosenIgnoresTheRest) {
  const auto choices = Choose({.experts = 3, .chosen = 2, .gating = Gating::kSoftmaxOfChosen},
                              {std::log(3.0f), std::log(0.9f), std::log(1.0f)});
  EXPECT_NEAR(choices[0].weight, 0.75, 1e-6);
  EXPECT_NEAR(choices[1].weight, 0.25, 1e-6);
}

TEST(RouterTest, BiasCountsForTheChoiceButNotForTheWeight) {
  const auto choices = Choose({.experts = 2, .chosen = 1, .gating = Gating::kSigmoid}, {2, 0}, {0, 1});
  EXPECT_EQ(choices[0].block, 1u);
  EXPECT_FLOAT_EQ(choices[0].weight, 0.5f);
}

TEST(RouterTest, BestExpertOfAWeakGroupIsNotChosen) {
  // Group 0 has the best single expert, group 1 the better two together.
  const auto choices =
      Choose({.experts = 4, .chosen = 2, .gating = Gating::kSigmoid, .groups = 2, .groups_used = 1},
             {3, -9, 2, 2.5});
  EXPECT_EQ(choices[0].block, 3u);
  EXPECT_EQ(choices[1].block, 2u);
}

TEST(RouterTest, TiesGoToTheFirst) {
  const auto choices = Choose({.experts = 3, .chosen = 2}, {1, 1, 1});
  EXPECT_EQ(choices[0].block, 0u);
  EXPECT_EQ(choices[1].block, 1u);
}

TEST(RouterTest, DamagedLogitsStillChooseDifferentExperts) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Gating gating : {Gating::kSoftmax, Gating::kSigmoid, Gating::kSoftmaxOfChosen}) {
    const auto choices = Choose({.experts = 6, .chosen = 3, .gating = gating, .groups = 3, .groups_used = 2},
                                {nan, nan, 1, nan, 2, nan});
    std::set<uint32_t> blocks;
    for (const BlockChoice& choice : choices) blocks.insert(choice.block);
    EXPECT_EQ(blocks.size(), 3u);
    EXPECT_LT(*blocks.rbegin(), 6u);
  }
}

}  // namespace
}  // namespace hearth
