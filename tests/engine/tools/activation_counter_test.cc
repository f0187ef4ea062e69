#include "engine/tools/activation_counter.h"

#include <gtest/gtest.h>

#include <vector>

namespace hearth {
namespace {

FfnLayerSpec Layer(std::vector<uint32_t> block_neurons) {
  FfnLayerSpec layer;
  layer.block_neurons = std::move(block_neurons);
  return layer;
}

TEST(ActivationCounter, CountsHiddenValuesOverTheThresholdWhateverTheirSign) {
  ActivationCounter counter({Layer({3})}, 0.5f);
  const FfnRequest request = {.rows = 2};
  counter.OnRequest(request);
  counter.OnHidden(request, 0, 0, {0, 1, 2}, std::vector<float>{1, -1, 0.5f}.data());
  counter.OnHidden(request, 0, 1, {1}, std::vector<float>{2}.data());
  EXPECT_EQ(counter.Shares()[0], (std::vector<float>{0.5f, 1, 0}));
}

TEST(ActivationCounter, CountsTheExpertsThatARouterPicks) {
  ActivationCounter counter({Layer({8, 8, 8})}, 0);
  const std::vector<BlockChoice> choices = {{0, 0.7f}, {2, 1}, {1, 0}, {2, 1}};
  const FfnRequest request = {.rows = 2, .choices = choices, .choices_per_row = 2};
  counter.OnRequest(request);
  counter.OnHidden(request, 0, 0, {0}, std::vector<float>{1}.data());
  EXPECT_EQ(counter.Shares()[0], (std::vector<float>{0.5f, 0, 1}));
}

TEST(ActivationCounter, ALayerThatSawNothingHasNoShares) {
  ActivationCounter counter({Layer({3}), Layer({})}, 0);
  EXPECT_TRUE(counter.Shares()[0].empty());
  EXPECT_TRUE(counter.Shares()[1].empty());
}

}  // namespace
}  // namespace hearth
