#include "placement/section_split.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

class SplitSectionTest : public ::testing::Test {
 protected:
  Section LayerOf(const std::vector<double>& frequencies) const {
    return SparseModel(1, frequencies, 1000).sections[0];
  }

  const Device fast_ = Gpu("gpu", 0);
  const Device slow_ = Cpu("cpu");
};

TEST_F(SplitSectionTest, EqualDevicesShareEvenly) {
  const Section section = LayerOf(std::vector<double>(8, 1.0));
  const auto placed = SplitSection(section, {{{0, &slow_, 0, kGiB}, {1, &slow_, 0, kGiB}}});
  ASSERT_TRUE(placed);
  EXPECT_EQ(std::count(placed->begin(), placed->end(), 0u), 4);
}

TEST_F(SplitSectionTest, SmallFastDeviceGetsTheHottest) {
  const Section section = LayerOf({0.1, 0.9, 0.2, 0.8, 0.1, 0.1});
  const auto placed = SplitSection(section, {{{0, &slow_, 0, kGiB}, {1, &fast_, 0, 2500}}});
  ASSERT_TRUE(placed);
  EXPECT_THAT(*placed, ElementsAre(0, 1, 0, 1, 0, 0));
}

TEST_F(SplitSectionTest, OverheadLongerThanTheLayerGetsNothing) {
  const Section section = LayerOf(std::vector<double>(4, 1.0));  // 4 us on one device
  const auto placed = SplitSection(section, {{{0, &slow_, 0, kGiB}, {1, &slow_, 4.5, kGiB}}});
  ASSERT_TRUE(placed);
  EXPECT_THAT(*placed, Each(0u));
}

TEST_F(SplitSectionTest, OverheadShorterThanTheLayerIsUsedInPart) {
  const Section section = LayerOf(std::vector<double>(10, 1.0));
  const auto placed = SplitSection(section, {{{0, &slow_, 0, kGiB}, {1, &slow_, 6, kGiB}}});
  ASSERT_TRUE(placed);
  EXPECT_EQ(std::count(placed->begin(), placed->end(), 1u), 2);
}

TEST_F(SplitSectionTest, ColdGroupsThatNeverFireStillNeedMemory) {
  const Section section = LayerOf({0, 0, 0, 0});
  const auto placed = SplitSection(section, {{{0, &slow_, 0, 2000}, {1, &slow_, 0, 2000}}});
  ASSERT_TRUE(placed);
  EXPECT_EQ(std::count(placed->begin(), placed->end(), 0u), 2);
}

TEST_F(SplitSectionTest, TooLittleMemoryIsToldApart) {
  const Section section = LayerOf(std::vector<double>(4, 1.0));
  EXPECT_FALSE(SplitSection(section, {{{0, &slow_, 0, 2000}, {1, &slow_, 0, 1999}}}));
  EXPECT_FALSE(SplitSection(section, {}));
}

TEST_F(SplitSectionTest, MemoryThatFitsToTheLastByteIsFound) {
  Section section;
  for (uint64_t bytes : {700, 300, 600, 400, 500, 500}) section.groups.push_back(DenseGroup(bytes));
  EXPECT_TRUE(SplitSection(section, {{{0, &slow_, 0, 1000}, {1, &slow_, 0, 1000}, {2, &slow_, 0, 1000}}}));
}

TEST_F(SplitSectionTest, SectionWithoutGroupsNeedsNobody) {
  const auto placed = SplitSection(Section{}, {});
  ASSERT_TRUE(placed);
  EXPECT_TRUE(placed->empty());
}

}  // namespace
}  // namespace hearth::placement
