#include "placement/cluster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::HasSubstr;

class ValidateClusterTest : public ::testing::Test {
 protected:
  void ExpectRefused(const std::string& message) {
    const absl::Status status = ValidateCluster(cluster_);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
  }

  Device& device() { return cluster_.hosts[1].devices[0]; }

  Cluster cluster_{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 100)}, 0};
};

TEST_F(ValidateClusterTest, PlausibleClusterIsAccepted) { EXPECT_TRUE(ValidateCluster(cluster_).ok()); }

TEST_F(ValidateClusterTest, LeaderNeedsNoLink) {
  cluster_.hosts[0].link = {-1, 0};
  EXPECT_TRUE(ValidateCluster(cluster_).ok());
}

TEST_F(ValidateClusterTest, NoHostsIsRefused) {
  cluster_.hosts.clear();
  ExpectRefused("no hosts");
}

TEST_F(ValidateClusterTest, LeaderOutsideTheClusterIsRefused) {
  cluster_.leader = 2;
  ExpectRefused("the leader is host number 2 of a cluster of 2");
}

TEST_F(ValidateClusterTest, LeaderWithoutDeviceIsRefused) {
  cluster_.hosts[0].devices.clear();
  ExpectRefused("host a leads but has no device");
}

TEST_F(ValidateClusterTest, ZeroBandwidthIsRefusedWithItsDevice) {
  device().read_bytes_per_s = 0;
  ExpectRefused("host b, device cpu: read_bytes_per_s is 0, expected a positive number");
}

TEST_F(ValidateClusterTest, NanBandwidthIsRefused) {
  device().read_bytes_per_s = std::nan("");
  ExpectRefused("read_bytes_per_s is nan");
}

TEST_F(ValidateClusterTest, InfiniteArithmeticIsRefused) {
  device().operations_per_s = std::numeric_limits<double>::infinity();
  ExpectRefused("operations_per_s is inf");
}

TEST_F(ValidateClusterTest, NegativeDispatchIsRefused) {
  device().dispatch_us = -1;
  ExpectRefused("dispatch_us is -1");
}

TEST_F(ValidateClusterTest, ImpossibleMemoryIsRefused) {
  device().memory_bytes = std::numeric_limits<uint64_t>::max();
  ExpectRefused("no device has 18446744073709551615 bytes of memory");
}

TEST_F(ValidateClusterTest, NanRoundTripIsRefused) {
  cluster_.hosts[1].link.round_trip_us = std::nan("");
  ExpectRefused("host b: link round_trip_us is nan");
}

TEST_F(ValidateClusterTest, LinkWithoutBandwidthIsRefused) {
  cluster_.hosts[1].link.bytes_per_s = 0;
  ExpectRefused("host b: link bytes_per_s is 0");
}

TEST_F(ValidateClusterTest, SameNameTwiceIsRefused) {
  cluster_.hosts[1].name = "a";
  ExpectRefused("two hosts are called a");
}

TEST_F(ValidateClusterTest, SameDeviceNameTwiceIsRefused) {
  cluster_.hosts[1].devices.push_back(Cpu("cpu"));
  ExpectRefused("host b: two devices are called cpu");
}

TEST_F(ValidateClusterTest, EmptyNamesAreRefused) {
  device().name.clear();
  ExpectRefused("host b: a device has no name");
  cluster_.hosts[0].name.clear();
  ExpectRefused("a host has no name");
}

TEST(ListDevicesTest, DevicesAreNumberedHostByHost) {
  const Cluster cluster{{LeaderHost("a", {Gpu("gpu", kGiB), Cpu("cpu")}), RemoteHost("b", {}, 1),
                         RemoteHost("c", {Cpu("cpu")}, 1)},
                        0};
  EXPECT_EQ(ListDevices(cluster), (std::vector<DeviceRef>{{0, 0}, {0, 1}, {2, 0}}));
}

}  // namespace
}  // namespace hearth::placement
