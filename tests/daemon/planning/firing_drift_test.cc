#include "daemon/planning/firing_drift.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace hearth {
namespace {

NeuronGroup GroupOf(uint32_t neurons, float frequency) {
  NeuronGroup group;
  group.neurons.resize(neurons);
  group.frequency = frequency;
  return group;
}

// Two layers of a hot and a cold group of the same size: by the profile the hot ones have 0.8 of all firing.
ModelOutline TwoLayers() {
  ModelOutline outline;
  outline.profile.frequencies = {std::vector<float>(64), std::vector<float>(64)};
  outline.neuron_groups = {{GroupOf(32, 0.4f), GroupOf(32, 0.1f)}, {GroupOf(32, 0.1f), GroupOf(32, 0.4f)}};
  return outline;
}

TEST(FiringDriftTest, NothingIsKnownBeforeAnythingIsSeen) {
  const ModelOutline outline = TwoLayers();
  EXPECT_FALSE(FiringDrift(outline).View().has_value());
}

TEST(FiringDriftTest, HotGroupsKeepTheirShareWhereTheProfileIsRight) {
  const ModelOutline outline = TwoLayers();
  FiringDrift drift(outline);
  drift.Add({{0, 100, {0, 1}, {0.2f, 0.05f}}, {1, 90, {0, 1}, {0.05f, 0.2f}}});
  const FiringView view = drift.View().value();
  EXPECT_EQ(view.rows, 90u);
  EXPECT_NEAR(view.firing_share, 0.125, 1e-6);
  EXPECT_NEAR(view.hot_share_expected, 0.8, 1e-6);
  EXPECT_NEAR(view.hot_share_seen, 0.8, 1e-6);
}

TEST(FiringDriftTest, HotGroupsLoseTheirShareWhereOthersFire) {
  const ModelOutline outline = TwoLayers();
  FiringDrift drift(outline);
  drift.Add({{0, 100, {0, 1}, {0.1f, 0.4f}}});
  drift.Add({{1, 100, {0, 1}, {0.4f, 0.1f}}});
  EXPECT_NEAR(drift.View()->hot_share_seen, 0.2, 1e-6);
  EXPECT_NEAR(drift.View()->hot_share_expected, 0.8, 1e-6);
}

TEST(FiringDriftTest, GroupsThatNobodyCountsAreLeftOut) {
  const ModelOutline outline = TwoLayers();
  FiringDrift drift(outline);
  drift.Add({{0, 100, {0, 1}, {0.1f, 0.1f}}});
  EXPECT_NEAR(drift.View()->firing_share, 0.1, 1e-6);
  EXPECT_NEAR(drift.View()->hot_share_expected, 0.8, 1e-6);
  EXPECT_NEAR(drift.View()->hot_share_seen, 0.5, 1e-6);
}

TEST(FiringDriftTest, WithoutAProfileOnlyTheShareThatFiresIsKnown) {
  ModelOutline outline = TwoLayers();
  outline.profile.frequencies = {{}, {}};
  FiringDrift drift(outline);
  drift.Add({{0, 100, {0, 1}, {0.1f, 0.3f}}});
  EXPECT_NEAR(drift.View()->firing_share, 0.2, 1e-6);
  EXPECT_EQ(drift.View()->hot_share_expected, 0);
}

TEST(FiringDriftTest, WhatIsSaidOfOtherModelsCountsForNothing) {
  const ModelOutline outline = TwoLayers();
  FiringDrift drift(outline);
  drift.Add({{2, 100, {0}, {0.5f}}, {0, 100, {7}, {0.5f}}, {0, 100, {0, 1}, {0.5f}}});
  EXPECT_FALSE(drift.View().has_value());
}

}  // namespace
}  // namespace hearth
