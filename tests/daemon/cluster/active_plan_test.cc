#include "daemon/cluster/active_plan.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

// Host "b" holds head groups from `first` to `last`, of 100 bytes each.
std::shared_ptr<ActivePlan> PlanWith(uint32_t first, uint32_t last, const std::string& device = "cpu") {
  auto plan = std::make_shared<ActivePlan>();
  ActivePlan::Remote& remote = plan->remotes.emplace_back();
  remote.host = "b";
  for (uint32_t i = first; i < last; ++i) {
    PlacedUnit& placed = remote.shard.units.emplace_back();
    placed.device = device;
    placed.unit = {UnitKind::kHeads, 0, i};
    placed.bundle.bytes = 100;
  }
  return plan;
}

// Host "b" lacks so many bytes for its shard.
ShardProgress Lacks(uint64_t bytes) {
  ShardProgress progress;
  progress.failed.emplace().name = "b";
  progress.short_bytes = bytes;
  return progress;
}

TEST(IsInTheWay, PlanInUseThatHoldsWhatTheOtherLacksAndDoesNotWant) {
  const auto former = PlanWith(0, 4), plan = PlanWith(2, 6);
  EXPECT_TRUE(IsInTheWay(*former, *plan, Lacks(200)));
  EXPECT_FALSE(IsInTheWay(*former, *plan, Lacks(201))) << "it would not do";
}

TEST(IsInTheWay, WhatIsOnAnotherDeviceOfTheHostIsLoadedAnew) {
  EXPECT_TRUE(IsInTheWay(*PlanWith(0, 4, "cpu"), *PlanWith(0, 4, "gpu0"), Lacks(400)));
}

TEST(IsInTheWay, PlanWhoseWeightsAreAllWantedIsNot) {
  EXPECT_FALSE(IsInTheWay(*PlanWith(0, 4), *PlanWith(0, 6), Lacks(1)));
}

TEST(IsInTheWay, BrokenPlansAndOtherFailuresHaveTheirOwnWays) {
  const auto former = PlanWith(0, 4), plan = PlanWith(4, 8);
  EXPECT_FALSE(IsInTheWay(*former, *plan, Lacks(0))) << "not for want of memory";
  EXPECT_FALSE(IsInTheWay(*former, *plan, ShardProgress()));
  former->broken = true;
  EXPECT_FALSE(IsInTheWay(*former, *plan, Lacks(100)));
}

}  // namespace
}  // namespace hearth
