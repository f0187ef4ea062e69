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

PlanningHost WithSpeed(const std::string& name, double read_bytes_per_s) {
  PlanningHost host{name, Host(name).capacity, {1, 1e12}};
  host.capacity.devices[0].read_bytes_per_s = read_bytes_per_s;
  return host;
}

// 800 bytes in two groups that can be placed apart.
placement::Model TwoGroups() {
  placement::Section ffn{{}, 0, 0, {placement::GroupKind::kNeurons, 0}};
  ffn.groups.assign(2, {.neurons = 10, .always_bytes = 400});
  placement::Model model;
  model.sections.push_back(ffn);
  return model;
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

TEST(PlanKeeper, HostThatCannotLoadItsShareSitsOut) {
  PlanKeeper keeper("a", false);
  keeper.NoteFailedLoad(Host("b"), "no room", nullptr, kStart);
  EXPECT_THAT(keeper.UsableHosts({Host("b")}, kStart), IsEmpty());
}

TEST(PlanKeeper, HostThatServesAndCannotLoadAnotherShareServesOn) {
  PlanKeeper keeper("a", false);
  ActivePlan plan;
  plan.remotes.push_back({.host = "b", .session = 1, .shape = {}, .shard = {}, .device = nullptr});
  keeper.NoteFailedLoad(Host("b"), "no room beside the plan in use", &plan, kStart);
  EXPECT_EQ(keeper.UsableHosts({Host("b")}, kStart).size(), 1u);
  plan.broken = true;
  keeper.NoteFailedLoad(Host("b"), "no room", &plan, kStart);
  EXPECT_THAT(keeper.UsableHosts({Host("b")}, kStart), IsEmpty());
}

TEST(PlanKeeper, PlanThatCouldNotBeHadIsTriedAgainAfterAPauseThatDoubles) {
  PlanKeeper keeper("a", false);
  const PlanKeeper::Hosts hosts = {Host("b")};
  EXPECT_TRUE(keeper.PlanIsDue(hosts, nullptr, {}, kStart));
  absl::Time now = kStart;
  for (const int pause : {2, 4, 8}) {
    keeper.NoteFailedPlan(now);
    EXPECT_FALSE(keeper.PlanIsDue(hosts, nullptr, {}, now));
    EXPECT_EQ(keeper.UntilNextLook(hosts, now), absl::Seconds(pause));
    now += absl::Seconds(pause);
    EXPECT_TRUE(keeper.PlanIsDue(hosts, nullptr, {}, now));
    EXPECT_FALSE(keeper.PlanIsDue(hosts, nullptr, {}, now)) << "once";
  }
  keeper.NotePlan();
  keeper.NoteFailedPlan(now);
  EXPECT_EQ(keeper.UntilNextLook(hosts, now), absl::Seconds(2));
}

TEST(PlanKeeper, MovesPauseAfterOneThatCouldNotBeHadUnlessOtherHostsCome) {
  PlanKeeper keeper("a", false);
  const placement::Model model = TwoGroups();
  const PlanningHost leader = WithSpeed("a", 1e4), fast = WithSpeed("c", 1e9);
  const ClusterPlan alone = *PlanCluster({leader}, model, {}, {}),
                    both = *PlanCluster({leader, fast}, model, {}, {});
  const auto stays = [&](absl::Time now) { return keeper.UsIfItStays(alone, both, model, now).has_value(); };
  EXPECT_TRUE(keeper.PlanIsDue({Host("c")}, nullptr, {}, kStart));
  EXPECT_FALSE(stays(kStart));
  keeper.NoteFailedPlan(kStart);
  EXPECT_TRUE(stays(kStart));
  EXPECT_FALSE(stays(kStart + absl::Seconds(2)));
  EXPECT_TRUE(keeper.PlanIsDue({Host("c"), Host("d")}, nullptr, {}, kStart));
  EXPECT_FALSE(stays(kStart));
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

}  // namespace
}  // namespace hearth
