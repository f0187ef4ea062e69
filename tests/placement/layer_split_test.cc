#include "placement/layer_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

class SplitLayerTest : public ::testing::Test {
 protected:
  Layer LayerOf(const std::vector<double>& frequencies) const {
    return SparseModel(1, frequencies, 1000).layers[0];
  }

  const Device fast_ = Gpu("gpu", 0);
  const Device slow_ = Cpu("cpu");
};

TEST_F(SplitLayerTest, EqualDevicesShareEvenly) {
  const Layer layer = LayerOf(std::vector<double>(8, 1.0));
  const auto placed = SplitLayer(layer, {{{0, &slow_, 0, kGiB}, {1, &slow_, 0, kGiB}}});
  ASSERT_TRUE(placed);
  EXPECT_EQ(std::count(placed->begin(), placed->end(), 0u), 4);
}

TEST_F(SplitLayerTest, SmallFastDeviceGetsTheHottest) {
  const Layer layer = LayerOf({0.1, 0.9, 0.2, 0.8, 0.1, 0.1});
  const auto placed = SplitLayer(layer, {{{0, &slow_, 0, kGiB}, {1, &fast_, 0, 2500}}});
  ASSERT_TRUE(placed);
  EXPECT_THAT(*placed, ElementsAre(0, 1, 0, 1, 0, 0));
}

TEST_F(SplitLayerTest, OverheadLongerThanTheLayerGetsNothing) {
  const Layer layer = LayerOf(std::vector<double>(4, 1.0));  // 4 us on one device
  const auto placed = SplitLayer(layer, {{{0, &slow_, 0, kGiB}, {1, &slow_, 4.5, kGiB}}});
  ASSERT_TRUE(placed);
  EXPECT_THAT(*placed, Each(0u));
}

TEST_F(SplitLayerTest, OverheadShorterThanTheLayerIsUsedInPart) {
  const Layer layer = LayerOf(std::vector<double>(10, 1.0));
  const auto placed = SplitLayer(layer, {{{0, &slow_, 0, kGiB}, {1, &slow_, 6, kGiB}}});
  ASSERT_TRUE(placed);
  EXPECT_EQ(std::count(placed->begin(), placed->end(), 1u), 2);
}

TEST_F(SplitLayerTest, ColdGroupsThatNeverFireStillNeedMemory) {
  const Layer layer = LayerOf({0, 0, 0, 0});
  const auto placed = SplitLayer(layer, {{{0, &slow_, 0, 2000}, {1, &slow_, 0, 2000}}});
  ASSERT_TRUE(placed);
  EXPECT_EQ(std::count(placed->begin(), placed->end(), 0u), 2);
}

TEST_F(SplitLayerTest, TooLittleMemoryIsToldApart) {
  const Layer layer = LayerOf(std::vector<double>(4, 1.0));
  EXPECT_FALSE(SplitLayer(layer, {{{0, &slow_, 0, 2000}, {1, &slow_, 0, 1999}}}));
  EXPECT_FALSE(SplitLayer(layer, {}));
}

TEST_F(SplitLayerTest, MemoryThatFitsToTheLastByteIsFound) {
  Layer layer;
  for (uint64_t bytes : {700, 300, 600, 400, 500, 500}) layer.groups.push_back(DenseGroup(bytes));
  EXPECT_TRUE(SplitLayer(layer, {{{0, &slow_, 0, 1000}, {1, &slow_, 0, 1000}, {2, &slow_, 0, 1000}}}));
}

TEST_F(SplitLayerTest, LayerWithoutGroupsNeedsNobody) {
  const auto placed = SplitLayer(Layer{}, {});
  ASSERT_TRUE(placed);
  EXPECT_TRUE(placed->empty());
}

}  // namespace
}  // namespace hearth::placement
