// How low the time per token can be: against all assignments where they can be tried, against plans where
// not.

#include "placement/lower_bound.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <random>

#include "placement/plan.h"
#include "tests/placement/brute_force.h"
#include "tests/placement/homes.h"
#include "tests/support/sanitizers.h"

namespace hearth::placement {
namespace {

constexpr int kTried = HEARTH_SANITIZED ? 10 : 100;  // by brute force

double BoundOf(const Cluster& cluster, const Model& model, const Plan& plan) {
  const absl::StatusOr<LowerBound> bound = ProveLowerBound(cluster, model, plan);
  EXPECT_TRUE(bound.ok()) << bound.status();
  return bound.ok() ? bound->total_us : 0;
}

TEST(LowerBoundTest, IsNeverAboveTheOptimumAndCloseToIt) {
  std::mt19937 random(22);
  double sum = 0;
  int compared = 0;
  for (int i = 0; i < kTried; ++i) {
    const Case c = RandomCase(random);
    const absl::StatusOr<Plan> plan = MakePlan(c.cluster, c.model, {.margin = 0});
    if (!plan.ok()) continue;
    const double best_us = *BruteForce(c.cluster, c.model).BestUs();
    const double bound_us = BoundOf(c.cluster, c.model, *plan);
    EXPECT_LE(bound_us, best_us * (1 + 1e-9)) << "case " << i;
    sum += bound_us / best_us;
    ++compared;
  }
  std::printf("%d cases: the bound is %.3f of the optimum on average\n", compared, sum / compared);
  EXPECT_GT(compared, kTried * 6 / 10);
  EXPECT_GT(sum / compared, 0.9);
}

TEST(LowerBoundTest, PlansOfHomesAreCloseToIt) {
  for (const Situation& situation : QuickSituations()) {
    SCOPED_TRACE(situation.name);
    const absl::StatusOr<Plan> plan = MakePlan(situation.cluster, situation.model, {.margin = 0});
    ASSERT_TRUE(plan.ok()) << plan.status();
    EXPECT_LT(plan->time.total_us, 1.01 * BoundOf(situation.cluster, situation.model, *plan));
  }
}

TEST(LowerBoundTest, SameInputGivesTheSameBound) {
  const Situation situation = QuickSituations()[1];
  const absl::StatusOr<Plan> plan = MakePlan(situation.cluster, situation.model);
  ASSERT_TRUE(plan.ok()) << plan.status();
  EXPECT_EQ(*ProveLowerBound(situation.cluster, situation.model, *plan),
            *ProveLowerBound(situation.cluster, situation.model, *plan));
}

TEST(LowerBoundTest, SearchesThatAreGivenUpAreCountedAndTheBoundHolds) {
  const Situation situation = QuickSituations()[1];
  const absl::StatusOr<Plan> plan = MakePlan(situation.cluster, situation.model, {.margin = 0});
  ASSERT_TRUE(plan.ok()) << plan.status();
  const absl::StatusOr<LowerBound> bound =
      ProveLowerBound(situation.cluster, situation.model, *plan, {.rounds = 2, .nodes_per_problem = 1});
  ASSERT_TRUE(bound.ok()) << bound.status();
  EXPECT_GT(bound->unfinished, 0u);
  EXPECT_LE(bound->total_us, plan->time.total_us);
}

TEST(LowerBoundTest, ClusterThatCannotBeIsRefused) {
  Situation situation = QuickSituations()[2];
  const absl::StatusOr<Plan> plan = MakePlan(situation.cluster, situation.model);
  ASSERT_TRUE(plan.ok()) << plan.status();
  situation.cluster.hosts[0].devices[0].read_bytes_per_s = -1;
  EXPECT_EQ(ProveLowerBound(situation.cluster, situation.model, *plan).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hearth::placement
