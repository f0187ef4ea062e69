#include "daemon/weights/shard_description.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/daemon/weights/shard_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

class SharesOfTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::vector<DeviceShare>> Shares() const {
    return SharesOf(shard_.units, fixture_.outline(), devices_);
  }
  void ExpectRefused(const std::string& reason) const {
    const absl::Status status = Shares().status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(reason));
  }

  const ShardFixture fixture_;
  const std::vector<HostDeviceSpec> devices_ = {{"a"}, {"b"}};
  ShardDescription shard_ =
      fixture_.Describe(1, [](const UnitId& unit) { return unit.number % 2 == 0 ? "a" : "b"; });
};

TEST_F(SharesOfTest, EveryUnitIsOnItsDeviceInRisingOrder) {
  std::reverse(shard_.units.begin(), shard_.units.end());
  const auto shares = Shares();
  ASSERT_TRUE(shares.ok()) << shares.status();
  const std::vector<DeviceShare> expected = ShareInTurn(fixture_.outline(), 2);
  for (size_t device = 0; device < 2; ++device) {
    EXPECT_EQ((*shares)[device].units(), expected[device].units());
  }
}

TEST_F(SharesOfTest, UnknownDeviceIsRefused) {
  shard_.units[3].device = "z";
  ExpectRefused("no device \"z\"");
}

TEST_F(SharesOfTest, UnitThatTheModelDoesNotHaveIsRefused) {
  shard_.units[0].unit = {UnitKind::kHeads, 0, 1000};
  ExpectRefused("no head group 1000 of layer 0");
  shard_.units[0].unit = {UnitKind::kNeurons, 77, 0};
  ExpectRefused("no neuron group 0 of layer 77");
  shard_.units[0].unit = {UnitKind::kOutput, 1, 0};
  ExpectRefused("no run 0");
}

TEST_F(SharesOfTest, UnitThatIsPlacedTwiceIsRefused) {
  shard_.units.push_back(shard_.units.front());
  ExpectRefused("placed twice");
}

TEST_F(SharesOfTest, BundleOfAnotherSizeThanTheUnitsIsRefused) {
  shard_.units[0].bundle.bytes += 64;
  ExpectRefused("bytes for head group 0 of layer 0");
}

}  // namespace
}  // namespace hearth
