#include "daemon/planning/memory_book.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr uint64_t kMiB = 1 << 20;

// A layer of equal neuron groups beside what stays with the leader.
placement::Model ModelOf(uint64_t fixed_mib, uint64_t groups_mib) {
  placement::Model model;
  placement::Section section{{}, 100, 100, {placement::GroupKind::kNeurons, 0}};
  section.groups.assign(groups_mib, {.neurons = 10, .always_bytes = kMiB});
  model.sections.push_back(section);
  model.leader_memory_bytes = fixed_mib * kMiB;
  model.leader_bytes_per_token = 100;
  model.leader_operations_per_token = 100;
  return model;
}

PlanningHost HostWith(const std::string& name, uint64_t memory_mib) {
  PlanningHost host;
  host.name = name;
  host.capacity.devices = {{"cpu", "cpu", memory_mib * kMiB, 0, 4, 1e9, 1e10, 1}};
  host.link = {100000, 1e8};  // slow: nothing goes there that need not
  return host;
}

class MemoryBookTest : public ::testing::Test {
 protected:
  static PlanWish Wish(const std::string& model, uint64_t fixed_mib, uint64_t groups_mib) {
    return {model, {HostWith("leader", 100), HostWith("other", 100)}, ModelOf(fixed_mib, groups_mib)};
  }
  uint64_t Reserved(const std::string& model, const std::string& host) const {
    const ReservedBytes use = book_.UseOf(model);
    const auto found = use.find({host, "cpu"});
    return found == use.end() ? 0 : found->second / kMiB;
  }

  MemoryBook book_{placement::PlanOptions{}};
};

TEST_F(MemoryBookTest, WhatIsReservedIsNotGivenTwice) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 80), Room::kLeft).ok());
  EXPECT_EQ(Reserved("one", "leader"), 90u);
  ASSERT_TRUE(book_.Reserve(Wish("two", 5, 50), Room::kLeft).ok());
  EXPECT_EQ(Reserved("two", "leader"), 10u);
  EXPECT_EQ(Reserved("two", "other"), 45u);
  EXPECT_EQ(book_.UseOfOthers("two"), book_.UseOf("one"));
}

TEST_F(MemoryBookTest, EveryModelIsPlannedForItsOwnObjective) {
  PlanWish one = Wish("one", 10, 20);
  one.objective = placement::OfStreams(4);
  EXPECT_EQ(book_.Reserve(one, Room::kLeft)->plan.objective, one.objective);
  EXPECT_EQ(book_.Try(Wish("two", 10, 20), Room::kMade)->plan.objective, placement::Objective{});
}

TEST_F(MemoryBookTest, TryingReservesNothing) {
  ASSERT_TRUE(book_.Try(Wish("one", 10, 80), Room::kMade).ok());
  EXPECT_THAT(book_.UseOf("one"), IsEmpty());
}

TEST_F(MemoryBookTest, ModelThatFillsTheLeaderGivesWayToWhatCannotLieElsewhere) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 90), Room::kLeft).ok());
  EXPECT_EQ(Reserved("one", "leader"), 100u);
  const PlanWish two = Wish("two", 20, 10);
  EXPECT_EQ(book_.Reserve(two, Room::kLeft).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(Reserved("one", "leader"), 100u);
  ASSERT_TRUE(book_.Reserve(two, Room::kMade).ok());
  EXPECT_EQ(Reserved("two", "leader"), 30u);
  EXPECT_EQ(Reserved("one", "leader"), 70u);
  EXPECT_EQ(Reserved("one", "other"), 30u);
  // The first one's next plan is for what is left to it.
  const auto again = book_.Reserve(Wish("one", 10, 90), Room::kLeft);
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->Use(), book_.UseOf("one"));
  EXPECT_EQ(Reserved("one", "leader"), 70u);
}

TEST_F(MemoryBookTest, TwoModelsGiveWayToAThird) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 40), Room::kLeft).ok());
  ASSERT_TRUE(book_.Reserve(Wish("two", 10, 40), Room::kLeft).ok());
  ASSERT_TRUE(book_.Reserve(Wish("three", 30, 40), Room::kMade).ok());
  uint64_t on_leader = 0, in_all = 0;
  for (const char* model : {"one", "two", "three"}) {
    on_leader += Reserved(model, "leader");
    in_all += Reserved(model, "leader") + Reserved(model, "other");
  }
  EXPECT_LE(on_leader, 100u);
  EXPECT_EQ(in_all, 50u + 50u + 70u);
}

TEST_F(MemoryBookTest, WhatFitsNowhereIsRefusedAndNobodyMoves) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 50, 50), Room::kLeft).ok());
  const ReservedBytes before = book_.UseOf("one");
  const absl::Status status = book_.Reserve(Wish("two", 60, 10), Room::kMade).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("beside one, which cannot give way any further"));
  EXPECT_EQ(book_.UseOf("one"), before);
  EXPECT_THAT(book_.UseOf("two"), IsEmpty());
}

TEST_F(MemoryBookTest, MemoryOfAModelThatIsGoneIsFree) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 90), Room::kLeft).ok());
  book_.Release("one");
  ASSERT_TRUE(book_.Reserve(Wish("two", 10, 90), Room::kLeft).ok());
  EXPECT_EQ(Reserved("two", "leader"), 100u);
  EXPECT_THAT(book_.UseOfOthers("two"), IsEmpty());
}

TEST_F(MemoryBookTest, ModelThatStaysWithItsPlanCountsWithThat) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 10), Room::kLeft).ok());
  book_.Keep("one", {{{"other", "cpu"}, 7 * kMiB}});
  EXPECT_EQ(Reserved("one", "leader"), 0u);
  EXPECT_EQ(Reserved("one", "other"), 7u);
  book_.Keep("nobody", {{{"other", "cpu"}, 7 * kMiB}});
  EXPECT_THAT(book_.UseOf("nobody"), IsEmpty());
}

TEST_F(MemoryBookTest, ModelStaysWithThePlanInUseWhereThatHasRoomAndIsGoodEnough) {
  const PlanWish one = Wish("one", 10, 80);
  ASSERT_TRUE(book_.Reserve(one, Room::kLeft).ok());
  const ReservedBytes in_use = {{{"leader", "cpu"}, 20 * kMiB}, {{"other", "cpu"}, 70 * kMiB}};
  const auto stays = book_.ReserveUnlessItStays(one, in_use, [](const ClusterPlan&) { return true; });
  ASSERT_TRUE(stays.ok());
  EXPECT_EQ(*stays, std::nullopt);
  EXPECT_EQ(book_.UseOf("one"), in_use);
  const auto moves = book_.ReserveUnlessItStays(one, in_use, [](const ClusterPlan&) { return false; });
  ASSERT_TRUE(moves.ok() && *moves);
  EXPECT_EQ(book_.UseOf("one"), (*moves)->Use());
  EXPECT_EQ(Reserved("one", "leader"), 90u);
}

TEST_F(MemoryBookTest, ModelThatStayedGivesWayToHostsThatHaveComeSince) {
  PlanWish one = Wish("one", 10, 80);
  const std::vector<PlanningHost> all = one.hosts;
  one.hosts.pop_back();
  ASSERT_TRUE(book_.Reserve(one, Room::kLeft).ok());
  const PlanWish two = Wish("two", 60, 10);
  EXPECT_TRUE(absl::IsResourceExhausted(book_.Try(two, Room::kMade).status())) << "as far as it is known";
  one.hosts = all;
  const ReservedBytes in_use = book_.UseOf("one");
  ASSERT_EQ(*book_.ReserveUnlessItStays(one, in_use, [](const ClusterPlan&) { return true; }), std::nullopt);
  EXPECT_EQ(book_.UseOf("one"), in_use);
  ASSERT_TRUE(book_.Reserve(two, Room::kMade).ok());
  EXPECT_GT(Reserved("one", "other"), 0u);
}

TEST_F(MemoryBookTest, ModelDoesNotStayWhereItsMemoryIsPromisedToAnother) {
  const PlanWish one = Wish("one", 10, 90);
  ASSERT_TRUE(book_.Reserve(one, Room::kLeft).ok());
  const ReservedBytes in_use = book_.UseOf("one");
  ASSERT_TRUE(book_.Reserve(Wish("two", 20, 10), Room::kMade).ok());
  const auto moved = book_.ReserveUnlessItStays(one, in_use, [](const ClusterPlan&) { return true; });
  ASSERT_TRUE(moved.ok() && *moved);
  EXPECT_EQ(Reserved("one", "leader"), 70u);
}

TEST_F(MemoryBookTest, ModelWaitsForWhatAnotherHoldsBeyondItsReserve) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 90), Room::kLeft).ok());
  HeldByModel held = {{"one", book_.UseOf("one")}};
  ASSERT_TRUE(book_.Reserve(Wish("two", 20, 10), Room::kMade).ok());
  const ReservedBytes use = book_.UseOf("two");
  MemoryBook::Standing standing = book_.Look("two", use, held);
  EXPECT_FALSE(standing.is_lost || standing.gives_up);
  EXPECT_TRUE(standing.is_news);
  EXPECT_EQ(standing.full, DeviceName("leader", "cpu"));
  EXPECT_FALSE(book_.Look("two", use, held).is_news);
  held["one"] = book_.UseOf("one");
  standing = book_.Look("two", use, held);
  EXPECT_TRUE(standing.is_news);
  EXPECT_EQ(standing.full, std::nullopt);
}

TEST_F(MemoryBookTest, OfTwoThatWaitForOneAnotherTheLaterOneIsToGiveUp) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 90), Room::kLeft).ok());
  ASSERT_TRUE(book_.Reserve(Wish("two", 10, 90), Room::kMade).ok());
  const ReservedBytes one = book_.UseOf("one"), two = book_.UseOf("two");
  // Each has what the other is to have.
  HeldByModel held = {{"one", two}, {"two", one}};
  EXPECT_FALSE(book_.Look("one", one, held).gives_up) << "the other does not wait yet";
  EXPECT_TRUE(book_.Look("two", two, held).gives_up);
  EXPECT_FALSE(book_.Look("one", one, held).gives_up);
  held["two"].clear();
  EXPECT_EQ(book_.Look("one", one, held).full, std::nullopt);
  EXPECT_FALSE(book_.Look("two", two, held).gives_up) << "the first one loads";
}

TEST_F(MemoryBookTest, WhatAModelHoldsThatHasNothingReservedStandsInTheWay) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 90), Room::kLeft).ok());
  const HeldByModel held = {{"gone", {{{"leader", "cpu"}, kMiB}}}};
  EXPECT_TRUE(book_.Look("one", book_.UseOf("one"), held).full.has_value());
}

TEST_F(MemoryBookTest, MemoryThatAnotherWasGivenIsLost) {
  ASSERT_TRUE(book_.Reserve(Wish("one", 10, 90), Room::kLeft).ok());
  const ReservedBytes before = book_.UseOf("one");
  ASSERT_TRUE(book_.Reserve(Wish("two", 20, 10), Room::kMade).ok());
  EXPECT_TRUE(book_.Look("one", before, {}).is_lost) << "it was made to give way";
  EXPECT_FALSE(book_.Look("two", book_.UseOf("two"), {}).is_lost);
  book_.Keep("one", before);
  EXPECT_TRUE(book_.Look("two", book_.UseOf("two"), {}).is_lost) << "the other stays after all";
}

}  // namespace
}  // namespace hearth
