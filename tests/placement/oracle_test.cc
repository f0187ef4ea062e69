// How far the heuristic is from the best placement there is, found by trying them all.

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>

#include "placement/plan.h"
#include "tests/placement/brute_force.h"
#include "tests/support/sanitizers.h"

namespace hearth::placement {
namespace {

// Sanitizers make trying all assignments slow.
constexpr int kCases = HEARTH_SANITIZED ? 30 : 300;

TEST(OracleTest, HeuristicStaysCloseToTheOptimum) {
  std::mt19937 random(20);
  double sum = 0, worst = 1;
  int compared = 0, missed = 0;
  for (int i = 0; i < kCases; ++i) {
    const Case c = RandomCase(random);
    const std::optional<double> best_us = BruteForce(c.cluster, c.model).BestUs();
    const absl::StatusOr<Plan> plan = MakePlan(c.cluster, c.model, {.margin = 0});
    if (!best_us) {
      EXPECT_FALSE(plan.ok());
      continue;
    }
    if (!plan.ok()) {
      ++missed;
      continue;
    }
    const double ratio = plan->time.total_us / *best_us;
    EXPECT_GE(ratio, 1 - 1e-6);
    sum += ratio;
    worst = std::max(worst, ratio);
    ++compared;
  }
  std::printf("%d cases: %.3f x the optimum on average, %.3f x at worst, %d without a plan\n", compared,
              sum / compared, worst, missed);
  EXPECT_GT(compared, kCases * 2 / 3);
  EXPECT_LT(sum / compared, HEARTH_SANITIZED ? 1.05 : 1.02);  // of a tenth of the cases
  EXPECT_LT(worst, 1.35);
  EXPECT_LE(missed, 3);
}

TEST(OracleTest, PlanIsNeverSlowerThanTheLeaderAlone) {
  std::mt19937 random(21);
  for (int i = 0; i < kCases; ++i) {
    Case c = RandomCase(random);
    for (Device& device : c.cluster.hosts[0].devices) device.memory_bytes = kGiB;
    Cluster alone = c.cluster;
    alone.hosts.pop_back();
    const absl::StatusOr<Plan> with = MakePlan(c.cluster, c.model), without = MakePlan(alone, c.model);
    ASSERT_TRUE(with.ok() && without.ok());
    EXPECT_LE(with->time.total_us, without->time.total_us * (1 + 1e-9));
  }
}

}  // namespace
}  // namespace hearth::placement
