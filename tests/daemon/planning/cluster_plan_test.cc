#include "daemon/planning/cluster_plan.h"

#include <gtest/gtest.h>

#include <set>

namespace hearth {
namespace {

constexpr uint64_t kGroupBytes = 1000;
constexpr uint32_t kGroups = 8;
constexpr uint32_t kHeads = 2;

// Two layers of equal groups on a leader that needs nothing itself.
placement::Model Model() {
  placement::Model model;
  for (uint32_t layer = 0; layer < 2; ++layer) {
    placement::Section heads{{}, 100, 100, {placement::GroupKind::kHeads, layer}};
    heads.groups.assign(kHeads, {.always_bytes = kGroupBytes});
    placement::Section ffn{{}, 100, 100, {placement::GroupKind::kNeurons, layer}};
    ffn.groups.assign(kGroups, {.neurons = 10, .always_bytes = kGroupBytes});
    model.sections.push_back(heads);
    model.sections.push_back(ffn);
  }
  model.leader_memory_bytes = 100;
  model.leader_bytes_per_token = 100;
  model.leader_operations_per_token = 100;
  return model;
}

PlanningHost Host(const std::string& name, uint64_t memory_bytes) {
  PlanningHost host;
  host.name = name;
  host.capacity.devices = {{"cpu", "cpu", memory_bytes, 0, 4, 1e9, 1e10, 1}};
  host.link = {100, 1e8};
  return host;
}

constexpr placement::PlanOptions kUsual;

TEST(ClusterPlan, EveryUnitIsOnExactlyOneHost) {
  const auto plan = PlanCluster({Host("a", 30000), Host("b", 30000)}, Model(), {}, {.use_every_host = true});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->Uses(0));
  EXPECT_TRUE(plan->Uses(1));
  std::set<UnitId> units;
  for (const size_t host : {0, 1}) {
    for (const PlacedUnit& placed : UnitsOf(*plan, host)) {
      EXPECT_EQ(placed.device, "cpu");
      EXPECT_TRUE(units.insert(placed.unit).second);
    }
  }
  EXPECT_EQ(units.size(), 2 * (kGroups + kHeads));
  EXPECT_TRUE(units.contains({UnitKind::kHeads, 1, kHeads - 1}));
  EXPECT_TRUE(units.contains({UnitKind::kNeurons, 1, kGroups - 1}));
}

TEST(ClusterPlan, AttentionThatIsKeptStaysWithTheLeader) {
  const auto plan = PlanCluster({Host("a", 30000), Host("b", 30000)}, Model(), {},
                                {.use_every_host = true, .keep_attention = true});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->Uses(1));
  for (const PlacedUnit& placed : UnitsOf(*plan, 1)) EXPECT_EQ(placed.unit.kind, UnitKind::kNeurons);
}

TEST(ClusterPlan, MemoryThatOtherModelsHoldIsNotGivenAway) {
  const std::vector<PlanningHost> hosts = {Host("a", 30000), Host("b", 30000)};
  const auto plan = PlanCluster(hosts, Model(), {{{"a", "cpu"}, 22000}}, kUsual);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE((plan->Use()[{"a", "cpu"}]), 8000);
  EXPECT_TRUE(plan->Uses(1));
  const auto none_left =
      PlanCluster(hosts, Model(), {{{"a", "cpu"}, 30000}, {{"b", "cpu"}, ~uint64_t{0}}}, kUsual);
  EXPECT_EQ(none_left.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(ClusterPlan, GpuWithoutSpeedIsOnlyReported) {
  PlanningHost host = Host("a", 30000);
  host.capacity.devices.insert(host.capacity.devices.begin(), {"gpu0", "gpu", 30000, 0, 0, 0, 0, 0});
  const auto plan = PlanCluster({host}, Model(), {}, kUsual);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->cluster.hosts[0].devices.size(), 1);
  EXPECT_EQ(UnitsOf(*plan, 0).front().device, "cpu");
}

// The kinds of units that the GPU of a host has.
std::set<UnitKind> KindsOnGpu(const ClusterPlan& plan) {
  std::set<UnitKind> kinds;
  for (const PlacedUnit& placed : UnitsOf(plan, 0)) {
    if (placed.device == "gpu0") kinds.insert(placed.unit.kind);
  }
  return kinds;
}

TEST(ClusterPlan, GpuWithSpeedGetsUnitsUnlessItCannotComputeThem) {
  for (const char* kind : {"gpu", "emulated-gpu"}) {
    PlanningHost host = Host("a", 30000);
    host.capacity.devices.push_back({"gpu0", kind, 30000, 0, 0, 1e11, 1e12, 0.01});
    placement::Model model = Model();
    const auto both = PlanCluster({host}, model, {}, kUsual);
    ASSERT_TRUE(both.ok()) << both.status();
    EXPECT_EQ(both->cluster.hosts[0].devices[1].kind, placement::DeviceKind::kGpu);
    EXPECT_EQ(KindsOnGpu(*both), (std::set<UnitKind>{UnitKind::kHeads, UnitKind::kNeurons}));
    for (placement::Section& section : model.sections) {
      section.cpu_only = section.name.kind == placement::GroupKind::kHeads;
    }
    const auto neurons = PlanCluster({host}, model, {}, kUsual);
    ASSERT_TRUE(neurons.ok()) << neurons.status();
    EXPECT_EQ(KindsOnGpu(*neurons), (std::set<UnitKind>{UnitKind::kNeurons}));
  }
}

TEST(ClusterPlan, TimeWithAnUnchangedClusterIsThePlansOwn) {
  const auto plan = PlanCluster({Host("a", 30000), Host("b", 30000)}, Model(), {}, {.use_every_host = true});
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_DOUBLE_EQ(TimeWith(*plan, plan->cluster, Model()).value(), plan->plan.time.total_us);
}

TEST(ClusterPlan, TimeWithASlowerLinkOrOtherNumbersFollowsTheNames) {
  const auto plan = PlanCluster({Host("a", 30000), Host("b", 30000)}, Model(), {}, {.use_every_host = true});
  ASSERT_TRUE(plan.ok()) << plan.status();
  placement::Cluster now = plan->cluster;
  now.hosts[1].link.round_trip_us += 1000;
  const double slower_us = TimeWith(*plan, now, Model()).value();
  EXPECT_GT(slower_us, plan->plan.time.total_us + 1000);
  now.hosts.insert(now.hosts.begin() + 1, now.hosts[1]);
  now.hosts[1].name = "new";
  EXPECT_DOUBLE_EQ(TimeWith(*plan, now, Model()).value(), slower_us);
}

TEST(ClusterPlan, TimeWithoutAHostThatHasUnitsIsUnknown) {
  const auto plan = PlanCluster({Host("a", 30000), Host("b", 30000)}, Model(), {}, {.use_every_host = true});
  ASSERT_TRUE(plan.ok()) << plan.status();
  placement::Cluster now = plan->cluster;
  now.hosts.pop_back();
  EXPECT_FALSE(TimeWith(*plan, now, Model()).has_value());
}

TEST(ClusterPlan, SamePlacementComparesNamesNotNumbers) {
  const auto alone = PlanCluster({Host("a", 30000)}, Model(), {}, kUsual);
  const auto with_idle_host = PlanCluster({Host("a", 30000), Host("b", 10)}, Model(), {}, kUsual);
  const auto shared =
      PlanCluster({Host("a", 30000), Host("b", 30000)}, Model(), {}, {.use_every_host = true});
  ASSERT_TRUE(alone.ok() && with_idle_host.ok() && shared.ok());
  EXPECT_TRUE(SamePlacement(*alone, *with_idle_host));
  EXPECT_FALSE(SamePlacement(*alone, *shared));
}

}  // namespace
}  // namespace hearth
