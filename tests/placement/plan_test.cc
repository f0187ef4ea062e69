#include "placement/plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::AnyOf;
using ::testing::Contains;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::Not;

Plan MustPlan(const Cluster& cluster, const Model& model, const PlanOptions& options = {}) {
  const absl::StatusOr<Plan> plan = MakePlan(cluster, model, options);
  EXPECT_TRUE(plan.ok()) << plan.status();
  return plan.ok() ? *plan : Plan{};
}

void ExpectWithinMemory(const Plan& plan) {
  for (const DeviceUse& use : plan.devices) EXPECT_LE(use.memory_bytes, use.memory_budget_bytes);
}

TEST(MakePlanTest, SingleHostHoldsEverything) {
  const Plan plan = MustPlan({{LeaderHost("a", {Cpu("cpu")})}, 0}, DenseModel(2, 4, 1000));
  EXPECT_EQ(GroupsOn(plan, 0), 8u);
  EXPECT_DOUBLE_EQ(plan.time.total_us, 8);
  EXPECT_EQ(plan.time.round_trips, 0u);
}

TEST(MakePlanTest, FastLinkSharesEqualHostsEvenly) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 0)}, 0};
  const Plan plan = MustPlan(cluster, DenseModel(3, 8, 100000));
  EXPECT_EQ(GroupsOn(plan, 0), 12u);
  EXPECT_EQ(GroupsOn(plan, 1), 12u);
  EXPECT_NEAR(plan.time.total_us, 1200, 1);
}

TEST(MakePlanTest, SlowLinkGetsNothing) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 900)}, 0};
  const Plan plan = MustPlan(cluster, DenseModel(3, 8, 100000));
  EXPECT_EQ(GroupsOn(plan, 1), 0u);
  EXPECT_DOUBLE_EQ(plan.time.total_us, 2400);
}

TEST(MakePlanTest, OneGoodAndOneBadHostOnlyTheGoodOneHelps) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("far", {Cpu("cpu")}, 5000),
                         RemoteHost("near", {Cpu("cpu")}, 20)},
                        0};
  const Plan plan = MustPlan(cluster, DenseModel(4, 8, 100000));
  EXPECT_EQ(GroupsOn(plan, 1), 0u);
  EXPECT_GT(GroupsOn(plan, 2), 8u);
}

TEST(MakePlanTest, HostThatSavesLessThanTheMarginGetsNothing) {
  // A thirtieth of the leader's speed saves 3 %.
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu", kGiB, 1.0 / 30)}, 0)}, 0};
  const Model model = DenseModel(3, 100, 100000);
  const Plan careful = MustPlan(cluster, model);
  EXPECT_EQ(GroupsOn(careful, 1), 0u);
  EXPECT_THAT(careful.explanation,
              Contains(HasSubstr("Host b gets nothing: it would save 3.0 % of a token's time")));
  EXPECT_GT(GroupsOn(MustPlan(cluster, model, {.margin = 0.02}), 1), 0u);
}

TEST(MakePlanTest, HostThatSavesLessThanTheMarginHelpsWhereTheModelFitsOnlyWithIt) {
  const Cluster cluster{
      {LeaderHost("a", {Cpu("cpu", 29900000)}), RemoteHost("b", {Cpu("cpu", kGiB, 1.0 / 30)}, 0)}, 0};
  EXPECT_GT(GroupsOn(MustPlan(cluster, DenseModel(3, 100, 100000)), 1), 0u);
}

TEST(MakePlanTest, HostsAreAddedOnlyWhileTheLeadersCardCarriesThem) {
  // Each alone would save a third of a token's time; six of them wait for one another's bytes.
  Cluster cluster{{LeaderHost("a", {Cpu("cpu")})}, 0};
  for (const char* name : {"b", "c", "d", "e", "f", "g"}) {
    cluster.hosts.push_back(RemoteHost(name, {Cpu("cpu")}, 10));
    cluster.hosts.back().link.bytes_per_s = 12288 / 100e-6;  // a section's input and sum in 100 us
  }
  const Plan plan = MustPlan(cluster, DenseModel(2, 32, 16000));
  uint64_t used = 0;
  for (uint32_t d = 1; d < plan.devices.size(); ++d) used += GroupsOn(plan, d) > 0 ? 1 : 0;
  EXPECT_GE(used, 1u);
  EXPECT_LE(used, 2u);
}

TEST(MakePlanTest, HotNeuronsGoToTheGpuUntilItsBudgetIsFull) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu"), Gpu("gpu", 8000)})}, 0};
  const Plan plan =
      MustPlan(cluster, SparseModel(2, {0.05, 0.9, 0.1, 0.8, 0.05, 0.7, 0.6, 0.05, 0.05, 0.05}, 1000));
  EXPECT_EQ(GroupsOn(plan, 1), 8u);
  for (const std::vector<uint32_t>& section : plan.assignment) {
    for (size_t hot : {1, 3, 5, 6}) EXPECT_EQ(section[hot], 1u) << hot;
  }
}

TEST(MakePlanTest, HotExpertsGoToTheGpu) {
  // 8 experts, 2 picked per token, two of them favourites.
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu"), Gpu("gpu", 6 * kMiB)})}, 0};
  const Plan plan = MustPlan(cluster, SparseModel(3, {0.1, 0.1, 0.7, 0.1, 0.1, 0.1, 0.7, 0.1}, kMiB));
  for (const std::vector<uint32_t>& section : plan.assignment) {
    EXPECT_EQ(section[2], 1u);
    EXPECT_EQ(section[6], 1u);
    EXPECT_EQ(std::count(section.begin(), section.end(), 1u), 2);
  }
}

TEST(MakePlanTest, DeviceWithoutMemoryGetsNothing) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu"), Gpu("gpu", 0)})}, 0};
  const Plan plan = MustPlan(cluster, DenseModel(2, 4, 1000));
  EXPECT_EQ(GroupsOn(plan, 1), 0u);
}

TEST(MakePlanTest, LeaderThatOnlyLeadsHoldsNothingOnAnyDevice) {
  Cluster cluster{{LeaderHost("a", {Cpu("cpu"), Gpu("gpu", kGiB)}), RemoteHost("b", {Cpu("cpu")}, 5000)}, 0};
  ASSERT_GT(GroupsOn(MustPlan(cluster, WholeModel(2, 4, 1000)), 1), 0u);
  cluster.leader_only_leads = true;
  for (const bool every_host : {false, true}) {
    const Plan plan = MustPlan(cluster, WholeModel(2, 4, 1000), {.use_every_host = every_host});
    EXPECT_EQ(GroupsOn(plan, 0) + GroupsOn(plan, 1), 0u);
    EXPECT_THAT(plan.explanation, Not(Contains(AnyOf(HasSubstr("saves"), HasSubstr("have to help")))));
  }
}

TEST(MakePlanTest, LeaderThatOnlyLeadsLeavesAPlanWhereOthersHaveTheMemory) {
  Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu", 7999)}, 10)}, 0};
  cluster.leader_only_leads = true;
  EXPECT_EQ(MakePlan(cluster, DenseModel(2, 4, 1000), {}).status().code(),
            absl::StatusCode::kResourceExhausted);
  cluster.hosts[1].devices[0].memory_bytes = 8000;
  EXPECT_EQ(GroupsOn(MustPlan(cluster, DenseModel(2, 4, 1000)), 1), 8u);
}

TEST(MakePlanTest, SectionsForCpusNeverLandOnAGpu) {
  const Cluster cluster{
      {LeaderHost("a", {Cpu("cpu"), Gpu("gpu", kGiB)}), RemoteHost("b", {Gpu("gpu", kGiB)}, 1)}, 0};
  Model model = DenseModel(3, 4, 100000);
  model.sections[1].cpu_only = true;
  for (const bool every_host : {false, true}) {
    const Plan plan = MustPlan(cluster, model, {.use_every_host = every_host});
    EXPECT_THAT(plan.assignment[1], Each(0u));
    EXPECT_THAT(plan.assignment[0], Contains(1u));
  }
}

TEST(MakePlanTest, SectionsForCpusThatFitNoCpuDoNotFit) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", 3000), Gpu("gpu", kGiB)})}, 0};
  Model model = DenseModel(2, 4, 1000);
  EXPECT_TRUE(MakePlan(cluster, model).ok());
  model.sections[0].cpu_only = true;
  EXPECT_EQ(MakePlan(cluster, model).status().code(), absl::StatusCode::kResourceExhausted);
}

TEST(MakePlanTest, LeadersPartComesOutOfItsFirstDevice) {
  Model model = DenseModel(1, 4, 1000);
  model.leader_memory_bytes = 2500;
  const Cluster cluster{{LeaderHost("a", {Gpu("gpu", 4500), Cpu("cpu")})}, 0};
  const Plan plan = MustPlan(cluster, model);
  EXPECT_EQ(GroupsOn(plan, 0), 2u);
  EXPECT_EQ(plan.devices[0].memory_bytes, 4500u);
}

TEST(MakePlanTest, DispatchKeepsLayersOffADeviceThatIsSlowToStart) {
  Cluster cluster{{LeaderHost("a", {Cpu("cpu"), Gpu("gpu", kGiB)})}, 0};
  cluster.hosts[0].devices[1].dispatch_us = 50;
  EXPECT_EQ(GroupsOn(MustPlan(cluster, DenseModel(2, 4, 10000)), 1), 0u);
  EXPECT_GT(GroupsOn(MustPlan(cluster, DenseModel(2, 4, 100000)), 1), 0u);
}

TEST(MakePlanTest, ModelLargerThanTheLeaderUsesSlowHostsToo) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", 20000)}), RemoteHost("b", {Cpu("cpu")}, 1000)}, 0};
  const Plan plan = MustPlan(cluster, DenseModel(8, 4, 1000));
  ExpectWithinMemory(plan);
  EXPECT_EQ(GroupsOn(plan, 0) + GroupsOn(plan, 1), 32u);
  // What does not fit is concentrated: 12 groups are 3 sections' worth, so 3 round trips and not 8.
  EXPECT_EQ(plan.time.round_trips, 3u);
}

TEST(MakePlanTest, ModelLargerThanTheLeaderIsSpreadOverFastLinks) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", 2000000)}), RemoteHost("b", {Cpu("cpu")}, 1)}, 0};
  const Plan plan = MustPlan(cluster, DenseModel(8, 4, 100000));
  ExpectWithinMemory(plan);
  EXPECT_EQ(plan.time.round_trips, 8u);
}

TEST(MakePlanTest, ModelThatFillsAllMemoryToTheLastByteFits) {
  const Cluster cluster{
      {LeaderHost("a", {Cpu("cpu", 13000), Gpu("gpu", 3000)}), RemoteHost("b", {Cpu("cpu", 8000)}, 9)}, 0};
  const Plan plan = MustPlan(cluster, DenseModel(6, 4, 1000));
  ExpectWithinMemory(plan);
  EXPECT_EQ(GroupsOn(plan, 0) + GroupsOn(plan, 1) + GroupsOn(plan, 2), 24u);
}

TEST(MakePlanTest, ModelThatFitsNowhereSaysHowMuchIsMissing) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", 3 * kMiB)}), RemoteHost("b", {Cpu("cpu", 2 * kMiB)}, 1)},
                        0};
  const absl::Status status = MakePlan(cluster, DenseModel(4, 2, kMiB)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(
      std::string(status.message()),
      HasSubstr("needs 8.0 MiB besides the leader's part, all devices offer 5.0 MiB: 3.0 MiB are missing"));
}

TEST(MakePlanTest, PiecesThatAreTooSmallAreToldApart) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", kMiB * 3 / 2), Cpu("cpu2", kMiB * 3 / 2)})}, 0};
  const absl::Status status = MakePlan(cluster, DenseModel(1, 3, kMiB)).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("pieces that are too small"));
}

TEST(MakePlanTest, LeaderWithoutRoomForItsOwnPartSaysSo) {
  Model model = DenseModel(1, 1, 1000);
  model.leader_memory_bytes = 3 * kMiB;
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", kMiB)}), RemoteHost("b", {Cpu("cpu")}, 1)}, 0};
  const absl::Status status = MakePlan(cluster, model).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kResourceExhausted);
  EXPECT_THAT(std::string(status.message()), HasSubstr("device a/cpu offers 1.0 MiB: 2.0 MiB are missing"));
}

TEST(MakePlanTest, BadInputIsRefused) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu", kGiB, 0)})}, 0};
  EXPECT_EQ(MakePlan(cluster, DenseModel(1, 1, 1)).status().code(), absl::StatusCode::kInvalidArgument);
  const Cluster good{{LeaderHost("a", {Cpu("cpu")})}, 0};
  EXPECT_EQ(MakePlan(good, Model{}).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(MakePlanTest, SameInputGivesTheSamePlan) {
  const Cluster cluster{{LeaderHost("a", {Gpu("gpu", 5000), Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 2)},
                        0};
  const Model model = SparseModel(5, {0.3, 0.3, 0.3, 0.9, 0.1, 0.3}, 1000);
  EXPECT_EQ(MustPlan(cluster, model), MustPlan(cluster, model));
}

TEST(MakePlanTest, UseOfMemoryAndNeuronsAddsUp) {
  const Cluster cluster{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 0)}, 0};
  const Plan plan = MustPlan(cluster, DenseModel(2, 4, 100000));
  for (size_t section = 0; section < 2; ++section) {
    EXPECT_EQ(plan.devices[0].neurons[section] + plan.devices[1].neurons[section], 64u);
  }
  EXPECT_EQ(plan.devices[0].memory_bytes + plan.devices[1].memory_bytes, 800000u);
}

class UseEveryHostTest : public ::testing::Test {
 protected:
  const Cluster slow_link_{{LeaderHost("a", {Cpu("cpu")}), RemoteHost("b", {Cpu("cpu")}, 5000)}, 0};
  const PlanOptions every_host_{.use_every_host = true};
};

TEST_F(UseEveryHostTest, EqualHostsShareEvenlyInSpiteOfTheLink) {
  const Plan plan = MustPlan(slow_link_, DenseModel(3, 8, 1000), every_host_);
  EXPECT_EQ(GroupsOn(plan, 0), 12u);
  EXPECT_EQ(GroupsOn(plan, 1), 12u);
  EXPECT_NEAR(plan.time.total_us, 3 * 5004, 1);
}

TEST_F(UseEveryHostTest, VerySlowHostStillGetsOneGroupOfEachLayer) {
  Cluster cluster = slow_link_;
  cluster.hosts[1].devices[0].read_bytes_per_s = 1e3;
  const Plan plan = MustPlan(cluster, DenseModel(3, 8, 1000), every_host_);
  EXPECT_THAT(plan.devices[1].neurons, Each(16u));
}

TEST_F(UseEveryHostTest, HostWithoutMemoryIsLeftOut) {
  Cluster cluster = slow_link_;
  cluster.hosts[1].devices[0].memory_bytes = 999;
  EXPECT_EQ(GroupsOn(MustPlan(cluster, DenseModel(3, 8, 1000), every_host_), 1), 0u);
}

}  // namespace
}  // namespace hearth::placement
