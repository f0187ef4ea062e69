#include "daemon/planning/cluster_plan.h"

#include <gtest/gtest.h>

namespace hearth {
namespace {

constexpr uint64_t kGroupBytes = 1000;
constexpr uint32_t kGroups = 8;

// Two layers of equal groups on a leader that needs nothing itself.
placement::Model Model() {
  placement::Model model;
  for (int i = 0; i < 2; ++i) {
    placement::Layer layer;
    layer.groups.assign(kGroups, {.neurons = 10, .always_bytes = kGroupBytes});
    layer.sent_bytes = layer.returned_bytes = 100;
    model.layers.push_back(layer);
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

ModelOutline Outline() {
  ModelOutline outline;
  for (int i = 0; i < 2; ++i) {
    FfnLayerSpec spec;
    spec.n_embd = 32;
    spec.block_neurons = {10 * kGroups};
    spec.up.present = spec.down.present = true;
    outline.ffn_specs.push_back(spec);
    std::vector<NeuronGroup> groups(kGroups);
    for (uint32_t g = 0; g < kGroups; ++g) groups[g].neurons = {g * 10, g * 10 + 1};
    outline.neuron_groups.push_back(groups);
  }
  return outline;
}

TEST(ClusterPlan, EveryGroupIsDescribedForExactlyOneHost) {
  const auto plan = PlanCluster({Host("a", 20000), Host("b", 20000)}, Model(), {}, /*use_every_host=*/true);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_TRUE(plan->Uses(0));
  EXPECT_TRUE(plan->Uses(1));
  const auto on_a = PlacesOf(*plan, 0);
  const auto on_b = PlacesOf(*plan, 1);
  EXPECT_EQ(on_a.size() + on_b.size(), 2 * kGroups);
  const ShardDescription shard = DescribeShard(on_b, Outline(), {});
  size_t described = 0;
  for (const ShardLayer& share : shard.shares) {
    for (const PlacedGroup& group : share.groups) {
      EXPECT_EQ(group.group.neurons, Outline().neuron_groups[share.layer][on_b[described].group].neurons);
      EXPECT_GT(group.bytes, 0);
      ++described;
    }
  }
  EXPECT_EQ(described, on_b.size());
}

TEST(ClusterPlan, MemoryThatOtherModelsHoldIsNotGivenAway) {
  const std::vector<PlanningHost> hosts = {Host("a", 20000), Host("b", 20000)};
  const auto plan = PlanCluster(hosts, Model(), {{{"a", "cpu"}, 12000}}, false);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_LE((plan->Use()[{"a", "cpu"}]), 8000);
  EXPECT_TRUE(plan->Uses(1));
  const auto none_left =
      PlanCluster(hosts, Model(), {{{"a", "cpu"}, 20000}, {{"b", "cpu"}, ~uint64_t{0}}}, false);
  EXPECT_EQ(none_left.status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(ClusterPlan, GpusAreOnlyReported) {
  PlanningHost host = Host("a", 20000);
  host.capacity.devices.insert(host.capacity.devices.begin(), {"gpu0", "gpu", 0, 0, 0, 0, 0, 0});
  const auto plan = PlanCluster({host}, Model(), {}, false);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(plan->cluster.hosts[0].devices.size(), 1);
  EXPECT_EQ(PlacesOf(*plan, 0).front().device, "cpu");
}

TEST(ClusterPlan, SamePlacementComparesNamesNotNumbers) {
  const auto alone = PlanCluster({Host("a", 20000)}, Model(), {}, false);
  const auto with_idle_host = PlanCluster({Host("a", 20000), Host("b", 10)}, Model(), {}, false);
  const auto shared = PlanCluster({Host("a", 20000), Host("b", 20000)}, Model(), {}, true);
  ASSERT_TRUE(alone.ok() && with_idle_host.ok() && shared.ok());
  EXPECT_TRUE(SamePlacement(*alone, *with_idle_host));
  EXPECT_FALSE(SamePlacement(*alone, *shared));
}

}  // namespace
}  // namespace hearth
