#include "daemon/cluster/plan_slots.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

// A plan of 100 bytes on the leader "a" and on host "b", whose session is as given.
PlanSlots::Plan MakePlan(uint64_t epoch, Roster::Session session = 1) {
  auto plan = std::make_shared<ActivePlan>();
  plan->epoch = epoch;
  plan->plan.cluster.hosts = {{"a", {{"cpu"}}, {}}, {"b", {{"cpu"}}, {}}};
  plan->plan.plan.devices.resize(2);
  for (uint32_t host : {0u, 1u}) {
    plan->plan.plan.devices[host].device = {host, 0};
    plan->plan.plan.devices[host].memory_bytes = 100;
  }
  ActivePlan::Remote& remote = plan->remotes.emplace_back();
  remote.host = "b";
  remote.session = session;
  remote.shard.epoch = epoch;
  return plan;
}

bool Everybody(Roster::Session) { return true; }
bool Nobody(Roster::Session) { return false; }

TEST(PlanSlots, NextStepTakesOverWhatIsReady) {
  PlanSlots slots;
  EXPECT_FALSE(slots.TakeOver().usable);
  slots.Offer(MakePlan(1));
  EXPECT_TRUE(slots.NewPlanWaits());
  const PlanSlots::Step first = slots.TakeOver();
  EXPECT_EQ(first.former, nullptr);
  EXPECT_EQ(first.plan->epoch, 1u);
  EXPECT_EQ(slots.TakeOver().plan, nullptr) << "nothing new";
  slots.Offer(MakePlan(2));
  const PlanSlots::Step second = slots.TakeOver();
  EXPECT_EQ(second.former->epoch, 1u);
  EXPECT_EQ(slots.active()->epoch, 2u);
}

TEST(PlanSlots, PlanThatBrokeBeforeItsFirstStepIsNotTakenOver) {
  PlanSlots slots;
  slots.Offer(MakePlan(1));
  slots.TakeOver();
  slots.Offer(MakePlan(2));
  slots.Newest()->broken = true;
  EXPECT_EQ(slots.TakeOver().plan, nullptr);
  EXPECT_TRUE(slots.Usable());
  EXPECT_EQ(slots.Newest()->epoch, 1u);
  ASSERT_EQ(slots.TakeRetired().size(), 1u) << "its memory is of no use";
  EXPECT_TRUE(slots.TakeRetired().empty());
}

TEST(PlanSlots, WorkersHoldTheShardsOfAllPlansThatMayBeUsed) {
  PlanSlots slots;
  slots.Offer(MakePlan(1));
  slots.TakeOver();
  slots.Offer(MakePlan(2));
  slots.Prepare(MakePlan(3));
  EXPECT_EQ(slots.Wanted(Everybody).at("b").size(), 3u);
  slots.Prepare(nullptr);
  slots.TakeOver();
  EXPECT_EQ(slots.Wanted(Everybody).at("b").size(), 2u)
      << "the caches of the former one are being taken over";
  slots.Retire();
  EXPECT_EQ(slots.Wanted(Everybody).at("b").size(), 1u);
}

TEST(PlanSlots, OfABrokenPlanHostsThatAreThereKeepTheirShards) {
  PlanSlots slots;
  slots.Offer(MakePlan(1));
  slots.TakeOver();
  slots.active()->broken = true;
  EXPECT_EQ(slots.Wanted(Everybody).size(), 1u);
  EXPECT_TRUE(slots.Wanted(Nobody).empty());
}

TEST(PlanSlots, PlanIsGivenUpBetweenTwoSteps) {
  PlanSlots slots;
  slots.Offer(MakePlan(1));
  slots.TakeOver();
  slots.GiveUp();
  EXPECT_NE(slots.active(), nullptr) << "a step may be under way";
  EXPECT_TRUE(slots.NewPlanWaits());
  const PlanSlots::Step step = slots.TakeOver();
  EXPECT_EQ(step.former->epoch, 1u);
  EXPECT_FALSE(step.usable);
  EXPECT_EQ(slots.Newest(), nullptr);
  EXPECT_FALSE(slots.NewPlanWaits());
  EXPECT_TRUE(slots.InUse()) << "until the step's thread has done with it";
  slots.Retire();
  EXPECT_FALSE(slots.InUse());
}

TEST(PlanSlots, PlanThatWaitsForAStepIsGivenUpAtOnce) {
  PlanSlots slots;
  slots.Offer(MakePlan(1));
  slots.GiveUp();
  EXPECT_EQ(slots.Newest(), nullptr);
  EXPECT_EQ(slots.TakeRetired().size(), 1u);
  slots.Offer(MakePlan(2));
  EXPECT_TRUE(slots.TakeOver().usable) << "the next one has nothing to do with that";
}

TEST(PlanSlots, MemoryOfTwoPlansCountsOnceAndThatOfLostHostsNot) {
  PlanSlots slots;
  slots.Offer(MakePlan(1));
  slots.TakeOver();
  slots.Offer(MakePlan(2));
  EXPECT_EQ(slots.Held(Everybody), (ReservedBytes{{{"a", "cpu"}, 100}, {{"b", "cpu"}, 100}}));
  EXPECT_EQ(slots.Held(Nobody), (ReservedBytes{{{"a", "cpu"}, 100}}));
}

TEST(PlanSlots, FormerPlanCanBeLetGoOnceItsCachesAreTakenOver) {
  PlanSlots slots;
  slots.Offer(MakePlan(1));
  slots.TakeOver();
  slots.Offer(MakePlan(2));
  slots.TakeOver();
  EXPECT_EQ(slots.TakeRetired().size(), 0u);
  slots.Retire();
  slots.Retire();
  EXPECT_EQ(slots.TakeRetired().size(), 1u) << "once";
}

}  // namespace
}  // namespace hearth
