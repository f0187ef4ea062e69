#include "engine/kernel/fixed_point.h"

#include <cstdint>
#include <limits>

#include "gtest/gtest.h"

namespace hearth {
namespace {

TEST(FixedPoint, KeepsValuesThatFitExactly) {
  for (const float value : {0.0f, 1.0f, -1.0f, 0.5f, -123.25f, 1e6f, 0x1p-24f}) {
    EXPECT_EQ(FromFixedPoint(ToFixedPoint(value)), value);
  }
}

TEST(FixedPoint, RoundsTiesToEven) {
  EXPECT_EQ(ToFixedPoint(0x1.8p-24f), 2);
  EXPECT_EQ(ToFixedPoint(0x1.4p-23f), 2);
  EXPECT_EQ(ToFixedPoint(-0x1.8p-24f), -2);
}

TEST(FixedPoint, GivesTheSmallestNumberForWhatDoesNotFit) {
  const int64_t none = std::numeric_limits<int64_t>::min();
  EXPECT_EQ(ToFixedPoint(std::numeric_limits<float>::quiet_NaN()), none);
  EXPECT_EQ(ToFixedPoint(std::numeric_limits<float>::infinity()), none);
  EXPECT_EQ(ToFixedPoint(0x1p39f), none);
  EXPECT_EQ(ToFixedPoint(-1e30f), none);
  EXPECT_NE(ToFixedPoint(0x1.fffffep38f), none);
}

TEST(FixedPoint, SumsDoNotDependOnTheirOrder) {
  const int64_t a = ToFixedPoint(1e6f), b = ToFixedPoint(-1e-6f), c = ToFixedPoint(-1e6f);
  EXPECT_EQ(AddFixedPoint(AddFixedPoint(a, b), c), AddFixedPoint(AddFixedPoint(a, c), b));
}

TEST(FixedPoint, WrapsWhereTheSumDoesNotFit) {
  const int64_t largest = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(AddFixedPoint(largest, 1), std::numeric_limits<int64_t>::min());
}

}  // namespace
}  // namespace hearth
