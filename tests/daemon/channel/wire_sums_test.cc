#include "daemon/channel/wire_sums.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

namespace hearth {
namespace {

using ::testing::ElementsAre;

constexpr int64_t kLargest = std::numeric_limits<int32_t>::max();
constexpr int64_t kSmallest = std::numeric_limits<int32_t>::min();

// What arrives of `sums`, added to tens.
std::vector<int64_t> Travel(const std::vector<int64_t>& sums, FrameType type) {
  WireSums sent, received;
  sent.Encode(sums);
  EXPECT_EQ(sent.type(), type);
  const absl::Span<uint8_t> room = received.Receive(sent.type(), sums.size());
  EXPECT_EQ(room.size(), sent.bytes().size());
  std::copy(sent.bytes().begin(), sent.bytes().end(), room.begin());
  std::vector<int64_t> total(sums.size(), 10);
  received.AddTo(absl::MakeSpan(total));
  return total;
}

TEST(WireSums, TakeFourBytesWhereAllFit) {
  WireSums sums;
  sums.Encode(std::vector<int64_t>{1, -2, 3});
  EXPECT_EQ(sums.bytes().size(), 12u);
  EXPECT_THAT(Travel({0, 5, -5, kLargest, kSmallest}, FrameType::kInt32),
              ElementsAre(10, 15, 5, kLargest + 10, kSmallest + 10));
}

TEST(WireSums, OneThatDoesNotFitMakesAllOfThemWide) {
  EXPECT_THAT(Travel({1, kLargest + 1}, FrameType::kInt64), ElementsAre(11, kLargest + 11));
  EXPECT_THAT(Travel({kSmallest - 1, 1}, FrameType::kInt64), ElementsAre(kSmallest + 9, 11));
  EXPECT_THAT(Travel({std::numeric_limits<int64_t>::min()}, FrameType::kInt64),
              ElementsAre(std::numeric_limits<int64_t>::min() + 10));
}

TEST(WireSums, NoneIsNothing) { EXPECT_THAT(Travel({}, FrameType::kInt32), ElementsAre()); }

}  // namespace
}  // namespace hearth
