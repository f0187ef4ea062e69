#include "daemon/cluster/plan_keeper.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

RosterCore::Host Host(const std::string& name, RosterCore::Session session = 1) {
  RosterCore::Host host;
  host.name = name;
  host.session = session;
  host.state = HostState::kAlive;
  host.capacity.devices = {{"cpu", "cpu", 1000, 0, 1, 1e9, 1e9, 1}};
  host.link = {100, 1e8};
  return host;
}

const absl::Time kStart = absl::UnixEpoch();

TEST(PlanKeeper, PlanIsDueAtFirstAndWhenHostsOrMemoryChange) {
  PlanKeeper keeper("a", false);
  EXPECT_TRUE(keeper.PlanIsDue({}, nullptr, {}, kStart));
  EXPECT_FALSE(keeper.PlanIsDue({}, nullptr, {}, kStart));
  EXPECT_TRUE(keeper.PlanIsDue({Host("b")}, nullptr, {}, kStart));
  EXPECT_TRUE(keeper.PlanIsDue({Host("b", 2)}, nullptr, {}, kStart)) << "it has started anew";
  EXPECT_TRUE(keeper.PlanIsDue({Host("b", 2)}, nullptr, {{{"b", "cpu"}, 5}}, kStart));
  EXPECT_FALSE(keeper.PlanIsDue({Host("b", 2)}, nullptr, {{{"b", "cpu"}, 5}}, kStart));
}

TEST(PlanKeeper, BrokenPlanIsReplaced) {
  PlanKeeper keeper("a", false);
  ActivePlan plan;
  plan.epoch = 3;
  EXPECT_TRUE(keeper.PlanIsDue({}, &plan, {}, kStart));
  plan.broken = true;
  EXPECT_TRUE(keeper.PlanIsDue({}, &plan, {}, kStart));
  EXPECT_FALSE(keeper.PlanIsDue({}, &plan, {}, kStart));
}

TEST(PlanKeeper, HostsThatCannotHoldSharesAreLeftOutAndItSaysWhy) {
  PlanKeeper keeper("a", false);
  RosterCore::Host lost = Host("b"), full = Host("c");
  lost.state = HostState::kLost;
  full.report.problem = "no space left";
  const PlanKeeper::Hosts hosts = {lost, full, Host("d")};
  ASSERT_EQ(keeper.UsableHosts(hosts, kStart).size(), 1u);
  EXPECT_EQ(keeper.UsableHosts(hosts, kStart)[0].name, "d");
  EXPECT_THAT(keeper.HostsLeftOut(hosts, kStart),
              ElementsAre(HasSubstr("Host c is left out: no space left")));
}

TEST(PlanKeeper, HostThatIsLostAgainSitsOutAndIsLookedAtWhenThatIsOver) {
  PlanKeeper keeper("a", false);
  EXPECT_LE(keeper.NoteLoss("b", kStart), absl::ZeroDuration());
  EXPECT_EQ(keeper.NoteLoss("b", kStart), absl::Seconds(2));
  EXPECT_THAT(keeper.UsableHosts({Host("b")}, kStart), IsEmpty());
  EXPECT_EQ(keeper.UntilNextLook({Host("b")}, kStart), absl::Seconds(2));
  EXPECT_EQ(keeper.UsableHosts({Host("b")}, kStart + absl::Seconds(2)).size(), 1u);
}

TEST(PlanKeeper, PlanIsDueWhenOtherNeuronsFireThanWerePlannedFor) {
  placement::Model model;
  model.sections = {
      {.groups = {{.neurons = 32, .frequency = 0.5}}, .name = {placement::GroupKind::kNeurons, 0}}};
  const LayerFiring seen{0, FiringFigures::kEnoughRows, {0}, {0.125f}};
  for (const bool forced : {false, true}) {
    PlanKeeper keeper("a", forced);
    keeper.PlanIsDue({}, nullptr, {}, kStart);
    keeper.NoteFiring(model, {seen});
    EXPECT_EQ(keeper.PlanIsDue({}, nullptr, {}, kStart), !forced);
    placement::Model planned = model;
    keeper.SetFiring(planned);
    EXPECT_EQ(planned.sections[0].groups[0].frequency, forced ? 0.5 : 0.125);
    keeper.NoteFiring(planned, {seen});
    EXPECT_FALSE(keeper.PlanIsDue({}, nullptr, {}, kStart));
  }
}

TEST(PlanKeeper, PlanIsDueWhenTheOwnerWantsTheLeadersMachineAndOtherHostsAreToHoldItAll) {
  PlanKeeper keeper("a", false);
  const auto as_it_is = [](uint64_t bytes) { return bytes; };
  keeper.PlanIsDue({Host("b")}, nullptr, {}, kStart);
  EXPECT_FALSE(keeper.Participants({}, {Host("b")}, as_it_is)[0].only_leads);
  keeper.NoteOwner("it is paused");
  EXPECT_TRUE(keeper.PlanIsDue({Host("b")}, nullptr, {}, kStart));
  EXPECT_TRUE(keeper.Participants({}, {Host("b")}, as_it_is)[0].only_leads);
  EXPECT_FALSE(keeper.Participants({}, {}, as_it_is)[0].only_leads) << "nobody else is there";
  keeper.NoteOwner("");
  EXPECT_TRUE(keeper.PlanIsDue({Host("b")}, nullptr, {}, kStart));
  EXPECT_FALSE(keeper.PlanIsDue({Host("b")}, nullptr, {}, kStart));
}

TEST(PlanKeeper, GpusAreSparedOnceUntilMemoryIsFreeAgain) {
  PlanKeeper keeper("a", false);
  RosterCore::Host host = Host("b");
  EXPECT_FALSE(keeper.SpareGpus("b", {}, {host})) << "it has none";
  host.capacity.devices.push_back({"gpu0", "gpu", 1000, 0, 0, 1e12, 1e12, 1});
  EXPECT_TRUE(keeper.SpareGpus("b", {}, {host}));
  EXPECT_FALSE(keeper.SpareGpus("b", {}, {host}));
  const auto halved = [](uint64_t bytes) { return bytes / 2; };
  EXPECT_EQ(keeper.Participants({}, {host}, halved)[1].capacity.devices[1].read_bytes_per_s, 0);
  keeper.NoteRelease();
  const PlanningHost participant = keeper.Participants({}, {host}, halved)[1];
  EXPECT_EQ(participant.capacity.devices[1].read_bytes_per_s, 1e12);
  EXPECT_EQ(participant.capacity.devices[1].memory_budget_bytes, 500u);
  EXPECT_EQ(participant.capacity.devices[0].memory_budget_bytes, 1000u);
}

// The leader, and (where it has any speed) host "b" beside it, with all memory that a model of 100 MiB takes.
class MoveTest : public ::testing::Test {
 protected:
  MoveTest() {
    placement::Section section{{}, 100, 100, {placement::GroupKind::kNeurons, 0}};
    section.groups.assign(100, {.neurons = 10, .always_bytes = 1 << 20});
    model_.sections.push_back(section);
  }
  ClusterPlan PlanWith(double speed_of_b, uint64_t taken_on_leader = 0,
                       const placement::Objective& objective = {}) const {
    std::vector<PlanningHost> hosts = {HostOf("a", 1e9)};
    if (speed_of_b > 0) hosts.push_back(HostOf("b", speed_of_b));
    return PlanCluster(hosts, model_, {{{"a", "cpu"}, taken_on_leader}}, {.objective = objective}).value();
  }

  placement::Model model_;
  const PlanKeeper keeper_{"a", false};

 private:
  static PlanningHost HostOf(const std::string& name, double speed) {
    PlanningHost host;
    host.name = name;
    host.capacity.devices = {{"cpu", "cpu", uint64_t{1} << 30, 0, 1, speed, 1e12, 1}};
    host.link = {1, 1e12};
    return host;
  }
};

TEST_F(MoveTest, MoveThatSavesLittleIsMadeBesideThePlanInUseAndNotInTwoSteps) {
  const ClusterPlan alone = PlanWith(0), shared = PlanWith(2e8);  // a sixth
  EXPECT_EQ(keeper_.UsIfItStays(alone, shared, model_), std::nullopt);
  EXPECT_FALSE(keeper_.IsWorthAnOutage(alone, shared, model_));
}

TEST_F(MoveTest, MoveThatSavesMuchIsWorthAnOutage) {
  EXPECT_TRUE(keeper_.IsWorthAnOutage(PlanWith(0), PlanWith(1e9), model_));
}

TEST_F(MoveTest, MoveThatGivesMemoryToOthersHasToBe) {
  const ClusterPlan tight = PlanWith(2e8, (uint64_t{1} << 30) - (50 << 20));
  EXPECT_TRUE(keeper_.IsWorthAnOutage(PlanWith(0), tight, model_));
}

TEST_F(MoveTest, HostWithWhichStepsForSeveralTextsTakeFarLongerIsLeftOutOnTrial) {
  ActivePlan plan;
  plan.plan = PlanWith(1e9);
  plan.expected_us = plan.plan.plan.time.total_us;
  plan.remotes.emplace_back().host = "b";
  PlanKeeper keeper("a", false);
  const auto judge = [&] {
    keeper.Judge(
        &plan, model_, {}, {Host("b")}, [&](const std::string&) { return PlanWith(0); }, kStart);
    return keeper.UsableHosts({Host("b")}, kStart).empty();
  };
  for (int i = 0; i < 10; ++i) plan.step_times.Add(4, plan.expected_us);
  EXPECT_FALSE(judge()) << "four rows read the weights once";
  for (int i = 0; i < 64; ++i) plan.step_times.Add(4, 10 * plan.expected_us);
  EXPECT_TRUE(judge());
}

TEST_F(MoveTest, MoveIsWorthWhatItSavesForTheObjective) {
  const placement::Objective prompts{placement::ObjectiveKind::kPrompt, 4096};
  ClusterPlan alone = PlanWith(0, 0, prompts), shared = PlanWith(1e8, 0, prompts);
  ASSERT_TRUE(shared.Uses(1)) << "it multiplies as fast as the leader, and reads a tenth";
  EXPECT_TRUE(keeper_.IsWorthAnOutage(alone, shared, model_));
  shared.plan.objective = alone.plan.objective = {};
  shared.plan.step_time = shared.plan.time;
  EXPECT_FALSE(keeper_.IsWorthAnOutage(alone, shared, model_));
}

TEST_F(MoveTest, PlanThatStaysIsExpectedToTakeWhatATokenTakes) {
  const ClusterPlan plan = PlanWith(1e9, 0, placement::OfStreams(8));
  EXPECT_LT(plan.plan.time.total_us, plan.plan.step_time.total_us);
  EXPECT_EQ(keeper_.UsIfItStays(plan, plan, model_), plan.plan.time.total_us);
}

TEST_F(MoveTest, PlanForSeveralStreamsIsNotJudgedBySingleOnes) {
  for (const bool together : {false, true}) {
    ActivePlan plan;
    plan.plan = PlanWith(1e9, 0, placement::OfStreams(8));
    plan.expected_us = plan.plan.plan.time.total_us;
    plan.remotes.emplace_back().host = "b";
    for (int i = 0; i < 64; ++i) plan.step_times.Add(together ? 8 : 1, 100 * plan.expected_us);
    PlanKeeper keeper("a", false);
    keeper.Judge(
        &plan, model_, {}, {Host("b")}, [&](const std::string&) { return PlanWith(0); }, kStart);
    EXPECT_EQ(keeper.UsableHosts({Host("b")}, kStart).empty(), together);
  }
}

TEST(PlanKeeper, LeaderThatWasFullIsTriedAgainAfterAWhile) {
  PlanKeeper keeper("a", false);
  EXPECT_TRUE(keeper.PlanIsDue({}, nullptr, {}, kStart));
  keeper.NoteNoMemory("no memory", kStart);
  EXPECT_FALSE(keeper.PlanIsDue({}, nullptr, {}, kStart));
  EXPECT_FALSE(keeper.PlanIsDue({}, nullptr, {{{"b", "cpu"}, 5}}, kStart)) << "whatever others do meanwhile";
  EXPECT_EQ(keeper.UntilNextLook({}, kStart), absl::Seconds(2));
  EXPECT_TRUE(keeper.PlanIsDue({}, nullptr, {}, kStart + absl::Seconds(2)));
}

TEST(PlanKeeper, PlanIsDueAtOnceWhereAnotherModelGotTheMemoryAndLaterWhereItDoesSoAgain) {
  PlanKeeper keeper("a", false);
  EXPECT_TRUE(keeper.PlanIsDue({}, nullptr, {}, kStart));
  keeper.NoteLostMemory(kStart);
  EXPECT_TRUE(keeper.PlanIsDue({}, nullptr, {}, kStart));
  keeper.NoteLostMemory(kStart);
  EXPECT_FALSE(keeper.PlanIsDue({}, nullptr, {{{"b", "cpu"}, 5}}, kStart));
  EXPECT_EQ(keeper.UntilNextLook({}, kStart), absl::Seconds(2));
  EXPECT_TRUE(keeper.PlanIsDue({}, nullptr, {}, kStart + absl::Seconds(2)));
}

TEST(PlanKeeper, PlanThatBreaksIsReplacedEvenWhereThereWasNoMemory) {
  PlanKeeper keeper("a", false);
  ActivePlan plan;
  plan.epoch = 3;
  EXPECT_TRUE(keeper.PlanIsDue({}, &plan, {}, kStart));
  keeper.NoteNoMemory("no memory", kStart);
  EXPECT_FALSE(keeper.PlanIsDue({Host("b")}, &plan, {}, kStart));
  plan.broken = true;
  EXPECT_TRUE(keeper.PlanIsDue({}, &plan, {}, kStart));
  EXPECT_FALSE(keeper.PlanIsDue({}, &plan, {}, kStart));
}

}  // namespace
}  // namespace hearth
