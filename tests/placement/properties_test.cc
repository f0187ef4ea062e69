// What holds for every plan, on random homes and models.

#include <gtest/gtest.h>

#include <random>

#include "placement/memory_budget.h"
#include "placement/plan.h"
#include "tests/placement/examples.h"
#include "tests/support/sanitizers.h"

namespace hearth::placement {
namespace {

constexpr int kHomes = HEARTH_SANITIZED ? 10 : 60;

class Random {
 public:
  explicit Random(uint32_t seed) : engine_(seed) {}
  double Real(double low, double high) { return std::uniform_real_distribution<double>(low, high)(engine_); }
  int Whole(int low, int high) { return std::uniform_int_distribution<int>(low, high)(engine_); }
  // Every size between the two equally likely.
  double Size(double low, double high) { return std::exp(Real(std::log(low), std::log(high))); }

 private:
  std::mt19937 engine_;
};

Host RandomHost(Random& random, const std::string& name, double model_bytes) {
  Host host{name, {}, {random.Size(20, 5000), random.Size(1e6, 2e9)}};
  if (random.Whole(0, 1) == 1) {
    host.devices.push_back({"gpu", DeviceKind::kGpu,
                            static_cast<uint64_t>(model_bytes * random.Real(0.05, 0.7)),
                            random.Size(1e11, 1e12), 1e14, 12});
  }
  host.devices.push_back({"cpu", DeviceKind::kCpu, static_cast<uint64_t>(model_bytes * random.Real(0.2, 1.3)),
                          random.Size(5e9, 8e10), 1e13, 5});
  return host;
}

Model RandomModel(Random& random) {
  LlamaShape shape = kLlama7b;
  shape.layers = static_cast<uint32_t>(random.Whole(2, 12));
  shape.kv_heads = random.Whole(0, 1) == 1 ? 32u : 4u;
  shape.neuron_groups = static_cast<uint32_t>(random.Whole(3, 24));
  Model model = random.Whole(0, 1) == 1 ? LlamaModel(shape) : PowerLawModel(shape, random.Real(0.3, 1.5));
  for (Section& section : model.sections) section.cpu_only = random.Whole(0, 9) == 0;
  return model;
}

Cluster RandomHome(Random& random, const Model& model, int hosts) {
  const double bytes = static_cast<double>(GroupBytes(model) + model.leader_memory_bytes);
  Cluster home;
  for (int h = 0; h < hosts; ++h) home.hosts.push_back(RandomHost(random, "host" + std::to_string(h), bytes));
  home.hosts[0].devices[0].memory_bytes += model.leader_memory_bytes;
  return home;
}

Objective RandomObjective(Random& random) {
  switch (random.Whole(0, 2)) {
    case 0:
      return {};
    case 1:
      return {ObjectiveKind::kThroughput, static_cast<uint32_t>(random.Size(2, 64))};
    default:
      return {ObjectiveKind::kPrompt, static_cast<uint32_t>(random.Size(16, 1024))};
  }
}

TEST(PlanPropertyTest, EveryGroupIsOnOneDeviceThatMayHoldItAndMemoryIsNeverExceeded) {
  Random random(1);
  int planned = 0;
  for (int i = 0; i < kHomes; ++i) {
    const Model model = RandomModel(random);
    const Cluster home = RandomHome(random, model, random.Whole(1, 4));
    const absl::StatusOr<Plan> plan = MakePlan(
        home, model, {.objective = RandomObjective(random), .use_every_host = random.Whole(0, 4) == 0});
    if (!plan.ok()) {
      EXPECT_EQ(plan.status().code(), absl::StatusCode::kResourceExhausted) << plan.status();
      continue;
    }
    ++planned;
    const std::vector<DeviceRef> devices = ListDevices(home);
    std::vector<uint64_t> used(devices.size(), 0);
    ASSERT_EQ(plan->assignment.size(), model.sections.size());
    for (size_t s = 0; s < model.sections.size(); ++s) {
      ASSERT_EQ(plan->assignment[s].size(), model.sections[s].groups.size());
      for (size_t g = 0; g < plan->assignment[s].size(); ++g) {
        const uint32_t d = plan->assignment[s][g];
        ASSERT_LT(d, devices.size());
        EXPECT_TRUE(MayHold(home, devices[d], model.sections[s]));
        used[d] += model.sections[s].groups[g].memory_bytes();
      }
    }
    const std::vector<uint64_t> memory = *GroupMemory(home, model);
    for (size_t d = 0; d < used.size(); ++d) EXPECT_LE(used[d], memory[d]) << "case " << i;
  }
  EXPECT_GT(planned, kHomes / 2);
}

TEST(PlanPropertyTest, OneMoreHostIsNeverExpectedToMakeItSlower) {
  Random random(2);
  double worst = 0;
  for (int i = 0; i < kHomes; ++i) {
    const Model model = RandomModel(random);
    Cluster home = RandomHome(random, model, random.Whole(1, 3));
    const absl::StatusOr<Plan> before = MakePlan(home, model, {.margin = 0});
    home.hosts.push_back(RandomHost(random, "one more", static_cast<double>(GroupBytes(model))));
    const absl::StatusOr<Plan> after = MakePlan(home, model, {.margin = 0});
    if (!before.ok()) continue;
    ASSERT_TRUE(after.ok()) << "case " << i << ": " << after.status();
    worst = std::max(worst, after->time.total_us / before->time.total_us);
  }
  // Both are found by a search that may stop short of the best.
  EXPECT_LT(worst, 1.02);
}

TEST(PlanPropertyTest, PlanOfAnotherObjectiveIsNeverExpectedToServeThisOneBetter) {
  Random random(4);
  double worst = 0;
  int differ = 0;
  for (int i = 0; i < kHomes; ++i) {
    const Model model = RandomModel(random);
    const Cluster home = RandomHome(random, model, random.Whole(1, 3));
    const Objective objective = RandomObjective(random), other = RandomObjective(random);
    const absl::StatusOr<Plan> own = MakePlan(home, model, {.objective = objective, .margin = 0});
    const absl::StatusOr<Plan> others = MakePlan(home, model, {.objective = other, .margin = 0});
    ASSERT_EQ(own.ok(), others.ok()) << "case " << i;
    if (!own.ok()) continue;
    differ += own->assignment != others->assignment;
    const double us = ExpectedTime(home, ForObjective(model, objective), others->assignment).total_us;
    worst = std::max(worst, own->step_time.total_us / us);
  }
  EXPECT_GT(differ, kHomes / 4);
  // Both are found by a search that may stop short of the best.
  EXPECT_LT(worst, 1.02);
}

TEST(PlanPropertyTest, StepOfMoreRowsTakesLongerAndEachRowLess) {
  Random random(5);
  for (int i = 0; i < kHomes; ++i) {
    const Model model = RandomModel(random);
    const Cluster home = RandomHome(random, model, random.Whole(1, 3));
    const absl::StatusOr<Plan> plan = MakePlan(home, model);
    if (!plan.ok()) continue;
    for (const ObjectiveKind kind : {ObjectiveKind::kThroughput, ObjectiveKind::kPrompt}) {
      double former_us = plan->time.total_us;
      for (uint32_t rows = 2; rows <= 1024; rows *= 2) {
        const double us = ExpectedTime(home, ForObjective(model, {kind, rows}), plan->assignment).total_us;
        EXPECT_GE(us, former_us) << "case " << i << ", " << rows << " rows";
        EXPECT_LE(us, 2 * former_us * (1 + 1e-9)) << "case " << i << ", " << rows << " rows";
        former_us = us;
      }
    }
  }
}

TEST(PlanPropertyTest, TwiceAsFastMachinesAndLinksTakeHalfTheTime) {
  Random random(3);
  for (int i = 0; i < kHomes / 2; ++i) {
    const Model model = RandomModel(random);
    const Cluster home = RandomHome(random, model, random.Whole(1, 3));
    Cluster twice = home;
    for (Host& host : twice.hosts) {
      host.link.round_trip_us /= 2;
      host.link.bytes_per_s *= 2;
      for (Device& device : host.devices) {
        device.read_bytes_per_s *= 2;
        device.operations_per_s *= 2;
        device.dispatch_us /= 2;
      }
    }
    const Objective objective = RandomObjective(random);
    const absl::StatusOr<Plan> once = MakePlan(home, model, {.objective = objective});
    const absl::StatusOr<Plan> halved = MakePlan(twice, model, {.objective = objective});
    ASSERT_EQ(once.ok(), halved.ok());
    if (!once.ok()) continue;
    EXPECT_NEAR(halved->step_time.total_us / once->step_time.total_us, 0.5, 0.005) << "case " << i;
  }
}

}  // namespace
}  // namespace hearth::placement
