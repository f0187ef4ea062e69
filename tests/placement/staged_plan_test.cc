#include "placement/staged_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::HasSubstr;

TEST(StagedPlanTest, LayersAreCutInProportionToSpeedAndEveryGroupIsOnItsStagesHost) {
  const Cluster cluster{
      {LeaderHost("a", {Cpu("cpu", kGiB, 1)}), RemoteHost("b", {Cpu("x", kGiB, 2), Cpu("y", kGiB, 1)}, 50)},
      0};
  const Plan plan = MakePlan(cluster, WholeModel(8, 4, 10000), {.stages = 2}).value();
  EXPECT_EQ(plan.stages, (std::vector<PlanStage>{{0, 0, 2}, {1, 2, 8}}));
  for (size_t i = 0; i < plan.sections.size(); ++i) {
    const SectionName& name = plan.sections[i];
    const uint32_t host = name.kind == GroupKind::kOutput || name.layer < 2 ? 0 : 1;
    ASSERT_EQ(plan.assignment[i].size(), 4u);
    for (uint32_t d : plan.assignment[i]) EXPECT_EQ(plan.devices[d].device.host, host);
  }
  EXPECT_EQ(plan.time.round_trips, 1u);
  EXPECT_EQ(plan.devices[1].kind_groups[static_cast<size_t>(GroupKind::kHeads)] +
                plan.devices[2].kind_groups[static_cast<size_t>(GroupKind::kHeads)],
            6u * 4);
}

TEST(StagedPlanTest, TimeIsThatOfTheStagesAndTheirLinks) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 50)}, 0};
  const Plan plan = MakePlan(cluster, DenseModel(4, 2, 10000), {.stages = 2}).value();
  EXPECT_NEAR(plan.time.total_us, 4 * 20 + 50, 1e-2);
  EXPECT_NEAR(plan.time.link_us, 50, 1e-2);
}

TEST(StagedPlanTest, MoreStagesThanHostsOrLayersAreAsManyAsThereCanBe) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 50)}, 0};
  EXPECT_EQ(MakePlan(cluster, DenseModel(4, 2, 10000), {.stages = 9})->stages.size(), 2u);
  EXPECT_EQ(MakePlan(cluster, DenseModel(1, 2, 10000), {.stages = 2})->stages.size(), 1u);
}

TEST(StagedPlanTest, StageThatDoesNotFitItsHostNamesIt) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu", 15000)}, 50)}, 0};
  const absl::Status status = MakePlan(cluster, DenseModel(4, 2, 10000), {.stages = 2}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("host b, layers 2 to 3"));
}

}  // namespace
}  // namespace hearth::placement
