#include "engine/base/checked.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <limits>

namespace hearth {
namespace {

constexpr uint64_t kMax = std::numeric_limits<uint64_t>::max();

TEST(CheckedTest, ResultsThatFitAreGiven) {
  EXPECT_EQ(CheckedMul<uint64_t>(1u << 31, 1u << 31), uint64_t{1} << 62);
  EXPECT_EQ(CheckedMul<uint64_t>(kMax, 1), kMax);
  EXPECT_EQ(CheckedAdd<uint64_t>(kMax - 1, 1), kMax);
}

TEST(CheckedTest, ResultsThatDoNotFitAreRefused) {
  EXPECT_EQ(CheckedMul<uint64_t>(uint64_t{1} << 32, uint64_t{1} << 32), std::nullopt);
  EXPECT_EQ(CheckedAdd<uint64_t>(kMax, 1), std::nullopt);
  EXPECT_EQ(CheckedMul<uint32_t>(1u << 16, 1u << 16), std::nullopt);
}

}  // namespace
}  // namespace hearth
