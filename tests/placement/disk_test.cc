// Neurons on a disk: only what memory cannot hold, the coldest first.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "placement/memory_budget.h"
#include "placement/plan.h"
#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

Device Disk(uint64_t memory_bytes, double bytes_per_ns = 0.1) {
  return {"disk", DeviceKind::kDisk, memory_bytes, bytes_per_ns * 1e9, 1e15, 0};
}

// Two layers of attention and of ten groups of neurons, hot to cold, and an output head: 60 MiB.
Model ModelOnDisk() {
  Model model = WholeModel(2, 10, kMiB);
  for (Section& section : model.sections) {
    section.on_disk = section.name.kind == GroupKind::kNeurons;
    for (size_t g = 0; section.on_disk && g < section.groups.size(); ++g)
      section.groups[g].frequency = 1 / static_cast<double>(g + 1);
  }
  return model;
}

Cluster OneHost(uint64_t cpu_bytes, uint64_t disk_bytes) {
  return {{LeaderHost("a", {Cpu("cpu", cpu_bytes), Disk(disk_bytes)})}, 0};
}

TEST(DiskPlanTest, ModelThatFitsMemoryLeavesTheDiskAlone) {
  const auto plan = MakePlan(OneHost(100 * kMiB, 4 * kMiB), ModelOnDisk());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->devices[1].groups, 0u);
  EXPECT_EQ(plan->devices[1].memory_bytes, 0u);
  EXPECT_THAT(plan->explanation, Contains(HasSubstr("a/disk gets nothing: the model is in memory")));
}

TEST(DiskPlanTest, ColdestNeuronsAreOnTheDiskWhereMemoryDoesNotDo) {
  const Model model = ModelOnDisk();
  const auto plan = MakePlan(OneHost(50 * kMiB, 4 * kMiB), model);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_GT(plan->devices[1].groups, 0u);
  for (size_t i = 0; i < model.sections.size(); ++i) {
    const std::vector<uint32_t>& placed = plan->assignment[i];
    if (!model.sections[i].on_disk) {
      EXPECT_EQ(std::count(placed.begin(), placed.end(), 1u), 0) << i;
    } else {
      // Hot ones come first.
      EXPECT_EQ(std::count(placed.begin(), placed.begin() + 5, 1u), 0) << i;
    }
  }
  EXPECT_EQ(plan->devices[1].memory_bytes, 4 * kMiB);
  EXPECT_THAT(plan->explanation, Contains(HasSubstr("a/disk (disk) holds")));
  EXPECT_THAT(plan->explanation,
              Contains(HasSubstr("more than memory has: some neurons stay on a disk, and generation is")));
}

TEST(DiskPlanTest, DiskHoldsAsMuchAsHalfOfItsMemoryHasTheResidentBytesOf) {
  Model model = ModelOnDisk();
  for (Section& section : model.sections) {
    for (Group& group : section.groups) group.resident_bytes = section.on_disk ? kMiB / 4 : 0;
  }
  // 20 MiB of neurons, 5 MiB of them resident.
  EXPECT_EQ(GroupMemory(OneHost(kGiB, 5 * kMiB), model)->at(1), 10 * kMiB);
  EXPECT_EQ(GroupMemory(OneHost(kGiB, kGiB), model)->at(1), 20 * kMiB);
  EXPECT_EQ(GroupMemory(OneHost(kGiB, 0), model)->at(1), 0u);
}

TEST(DiskPlanTest, WhatIsNoNeuronHasToFitMemory) {
  const auto plan = MakePlan(OneHost(20 * kMiB, 4 * kMiB), ModelOnDisk());
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(DiskPlanTest, ModelWhoseNeuronsCannotBeReadAloneDoesNotFit) {
  Model model = ModelOnDisk();
  for (Section& section : model.sections) section.on_disk = false;
  const auto plan = MakePlan(OneHost(50 * kMiB, 4 * kMiB), model);
  EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(DiskPlanTest, MemoryOfAnotherHostComesBeforeTheDisk) {
  Cluster cluster = OneHost(50 * kMiB, 4 * kMiB);
  cluster.hosts.push_back(RemoteHost("b", {Cpu("cpu", 50 * kMiB)}, 100));
  const auto plan = MakePlan(cluster, ModelOnDisk());
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->devices[1].groups, 0u);
  EXPECT_GT(plan->devices[2].groups, 0u);
}

TEST(DiskPlanTest, SlowerDiskIsExpectedToTakeLonger) {
  Cluster cluster = OneHost(50 * kMiB, 4 * kMiB);
  const double fast_us = MakePlan(cluster, ModelOnDisk())->time.total_us;
  cluster.hosts[0].devices[1].read_bytes_per_s /= 10;
  EXPECT_GT(MakePlan(cluster, ModelOnDisk())->time.total_us, 2 * fast_us);
}

TEST(DiskPlanTest, HostDoesNotLeadWithADisk) {
  Cluster cluster = OneHost(kGiB, kGiB);
  std::swap(cluster.hosts[0].devices[0], cluster.hosts[0].devices[1]);
  const absl::Status status = ValidateCluster(cluster);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr("leads with disk, a disk"));
}

TEST(DiskPlanTest, KindsHaveNames) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kGpu, DeviceKind::kDisk})
    EXPECT_EQ(DeviceKindOf(DeviceKindName(kind)), kind);
  EXPECT_EQ(DeviceKindOf("tape"), std::nullopt);
}

}  // namespace
}  // namespace hearth::placement
