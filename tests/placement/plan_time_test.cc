#include "placement/plan_time.h"

#include <gtest/gtest.h>

#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

TEST(GroupUsTest, SlowerOfReadingAndComputingCounts) {
  Device device = Cpu("cpu");
  const Group group = DenseGroup(10000);
  EXPECT_DOUBLE_EQ(GroupUs(device, group, 0), 10);
  device.operations_per_s = 1e9;  // 20000 operations
  EXPECT_DOUBLE_EQ(GroupUs(device, group, 0), 20);
}

TEST(GroupUsTest, WhatIsReturnedForTheGroupTakesTheLink) {
  Group group = DenseGroup(10000);
  group.returned_bytes = 3000;
  EXPECT_DOUBLE_EQ(GroupUs(Cpu("cpu"), group, 0), 10);
  EXPECT_DOUBLE_EQ(GroupUs(Cpu("cpu"), group, 1e9), 13);
}

TEST(LinkUsTest, RoundTripAndBothTransfersCount) {
  Cluster cluster{{LeaderHost("a", {}), RemoteHost("b", {}, 100)}, 0};
  cluster.hosts[1].link.bytes_per_s = 1e9;
  EXPECT_DOUBLE_EQ(LinkUs(cluster, 1, Section{{}, 4000, 8000}), 112);
}

TEST(LinkUsTest, WhatOthersSendTakesTheLeadersCardWhichIsAsFastAsItsFastestLink) {
  Cluster cluster{
      {LeaderHost("a", {}), RemoteHost("b", {}, 100), RemoteHost("c", {}, 10), RemoteHost("d", {}, 10)}, 0};
  cluster.hosts[1].link.bytes_per_s = cluster.hosts[3].link.bytes_per_s = 1e8;
  cluster.hosts[2].link.bytes_per_s = 1e9;
  EXPECT_DOUBLE_EQ(LinkUs(cluster, 1, Section{{}, 4000, 8000}, {false, true, true, true}), 100 + 120 + 24);
  EXPECT_DOUBLE_EQ(LinkUs(cluster, 0, Section{{}, 4000, 8000}, {false, true, true, true}), 0);
}

class ExpectedTimeTest : public ::testing::Test {
 protected:
  SectionTime SectionWith(std::vector<uint32_t> placed) const {
    return ExpectedSectionTime(cluster_, ListDevices(cluster_), model_.sections[0], placed);
  }

  // Devices 0: a/gpu, 1: a/cpu, 2: b/cpu, 3: b/cpu2.
  Cluster cluster_{
      {LeaderHost("a", {Gpu("gpu", kGiB), Cpu("cpu")}), RemoteHost("b", {Cpu("cpu"), Cpu("cpu2")}, 50)}, 0};
  Model model_ = DenseModel(1, 4, 10000);
};

TEST_F(ExpectedTimeTest, SlowestParticipantDecides) {
  const SectionTime time = SectionWith({0, 0, 0, 1});
  EXPECT_DOUBLE_EQ(time.total_us, 10);
  EXPECT_EQ(time.slowest_device, 1u);
  EXPECT_DOUBLE_EQ(time.link_us, 0);
  EXPECT_EQ(time.round_trips, 0u);
}

TEST_F(ExpectedTimeTest, RemoteHostPaysItsLink) {
  const SectionTime time = SectionWith({1, 1, 1, 2});
  EXPECT_NEAR(time.total_us, 60, 1e-3);
  EXPECT_NEAR(time.link_us, 50, 1e-3);
  EXPECT_NEAR(time.compute_us, 10, 1e-3);
  EXPECT_EQ(time.round_trips, 1u);
}

TEST_F(ExpectedTimeTest, DevicesOfOneHostShareTheRoundTrip) {
  const SectionTime time = SectionWith({2, 3, 2, 3});
  EXPECT_NEAR(time.total_us, 70, 1e-3);
  EXPECT_EQ(time.round_trips, 1u);
}

TEST_F(ExpectedTimeTest, DispatchCountsOnlyForParticipants) {
  cluster_.hosts[0].devices[0].dispatch_us = 30;
  EXPECT_DOUBLE_EQ(SectionWith({1, 1, 1, 1}).total_us, 40);
  EXPECT_DOUBLE_EQ(SectionWith({0, 1, 1, 1}).total_us, 31);
}

TEST_F(ExpectedTimeTest, TokenIsLeaderPlusLayers) {
  model_ = DenseModel(3, 4, 10000);
  model_.leader_bytes_per_token = 50000;  // 5 us on the GPU
  const PlanTime time = ExpectedTime(cluster_, model_, Assignment(3, {1, 1, 1, 2}));
  EXPECT_DOUBLE_EQ(time.leader_us, 5);
  EXPECT_NEAR(time.kind_us[static_cast<size_t>(GroupKind::kNeurons)], 180, 1e-2);
  EXPECT_NEAR(time.total_us, 185, 1e-2);
  EXPECT_NEAR(time.link_us, 150, 1e-2);
  EXPECT_EQ(time.round_trips, 3u);
}

TEST_F(ExpectedTimeTest, LeaderArithmeticCountsWhereItIsTheLimit) {
  model_.leader_bytes_per_token = 10;
  model_.leader_operations_per_token = 7e9;  // 7 us
  EXPECT_DOUBLE_EQ(ExpectedTime(cluster_, model_, {{0, 0, 0, 0}}).leader_us, 7);
}

}  // namespace
}  // namespace hearth::placement
