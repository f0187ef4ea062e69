#include "placement/objective.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_join.h"
#include "placement/lower_bound.h"
#include "placement/plan.h"
#include "placement/step_rows.h"
#include "tests/placement/examples.h"

namespace hearth::placement {
namespace {

using ::testing::HasSubstr;

constexpr Objective kEightStreams{ObjectiveKind::kThroughput, 8};
constexpr Objective kPrompts{ObjectiveKind::kPrompt, 512};
const std::vector<Objective> kAll = {{}, kEightStreams, kPrompts};

TEST(ObjectiveTest, TextsAreReadBackAsTheyWereWritten) {
  for (const char* text : {"latency", "throughput:2", "throughput:8", "throughput:256", "prompt:2",
                           "prompt:512", "prompt:4096"}) {
    const absl::StatusOr<Objective> objective = ParseObjective(text);
    ASSERT_TRUE(objective.ok()) << text;
    EXPECT_EQ(ObjectiveText(*objective), text);
  }
  EXPECT_EQ(*ParseObjective("latency"), Objective{});
  EXPECT_EQ(*ParseObjective("prompt"), kPrompts);
}

TEST(ObjectiveTest, WhatIsNoneIsRefusedWithWhatIsAllowed) {
  for (const char* text : {"",
                           "fast",
                           "Latency",
                           "latency:1",
                           "latency ",
                           "throughput",
                           "throughput:",
                           "throughput:0",
                           "throughput:1",
                           "throughput:257",
                           "throughput:-8",
                           "throughput:+8",
                           "throughput:8x",
                           "throughput: 8",
                           "throughput:8:8",
                           "throughput:99999999999999999999",
                           "prompt:",
                           "prompt:1",
                           "prompt:4097",
                           "prompt:0x10",
                           "prompt:512 "}) {
    const absl::Status status = ParseObjective(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(
        std::string(status.message()),
        HasSubstr("expected latency, throughput:N (N streams at a time, 2 to 256), prompt or prompt:N"));
  }
  EXPECT_FALSE(ParseObjective(std::string_view("latency\0", 8)).ok());
}

TEST(ObjectiveTest, OfOneStreamOrRowWhatIsLeftIsLatency) {
  EXPECT_EQ(AtMost(kEightStreams, 4, 512), (Objective{ObjectiveKind::kThroughput, 4}));
  EXPECT_EQ(AtMost(kEightStreams, 16, 1), kEightStreams);
  EXPECT_EQ(AtMost(kEightStreams, 1, 512), Objective{});
  EXPECT_EQ(AtMost(kPrompts, 1, 256), (Objective{ObjectiveKind::kPrompt, 256}));
  EXPECT_EQ(AtMost(kPrompts, 8, 1), Objective{});
  EXPECT_EQ(AtMost({}, 1, 1), Objective{});
}

// ---- What plans are made for.

Host Worker(double round_trip_us, double link_bytes_per_s, double read_bytes_per_s, double operations_per_s) {
  return {"worker",
          {{"cpu", DeviceKind::kCpu, 16 * kGiB, read_bytes_per_s, operations_per_s, 5}},
          {round_trip_us, link_bytes_per_s}};
}

Cluster With(const Host& worker) {
  return {{{"desktop", {{"cpu", DeviceKind::kCpu, 16 * kGiB, 2e10, 5e11, 5}}, {}}, worker}, 0};
}

// Both multiply so fast that weights are read no faster; eight rows take its link longer than it saves.
Cluster WithSlowLink() {
  Cluster cluster = With(Worker(100, 2e7, 2e10, 4e12));
  cluster.hosts[0].devices[0].operations_per_s = 4e12;
  return cluster;
}

// Groups that the worker has of the plan.
uint64_t WorkersShare(const Cluster& cluster, const Objective& objective) {
  return GroupsOn(MakePlan(cluster, LlamaModel(kLlama7b), {.objective = objective}).value(), 1);
}

TEST(ObjectiveTest, LinkThatDoesForOneStreamIsTooSlowForManyTogether) {
  EXPECT_GT(WorkersShare(WithSlowLink(), {}), 0u);
  EXPECT_EQ(WorkersShare(WithSlowLink(), kEightStreams), 0u);
}

// It reads slowly and multiplies fast, and its round trips are too long for single tokens.
TEST(ObjectiveTest, MachineThatMultipliesFastReadsPromptsAndNoTokens) {
  const Cluster cluster = With(Worker(4000, 1.15e9, 1e10, 4e12));
  EXPECT_EQ(WorkersShare(cluster, {}), 0u);
  EXPECT_EQ(WorkersShare(cluster, kEightStreams), 0u);
  EXPECT_GT(WorkersShare(cluster, kPrompts), 0u);
}

// Neuron groups that a processor has beside a card with memory for everything.
uint64_t LeftToTheProcessor(uint32_t streams) {
  const Device cpu{"cpu", DeviceKind::kCpu, 16 * kGiB, 4e10, 1e12, 5};
  const Device card{"gpu", DeviceKind::kGpu, 16 * kGiB, 4e11, 4e13, 10};
  const Plan plan = MakePlan({{{"desktop", {cpu, card}, {}}}, 0}, PowerLawModel(kLlama7b),
                             {.objective = OfStreams(streams)})
                        .value();
  return plan.devices[0].kind_groups[static_cast<size_t>(GroupKind::kNeurons)];
}

TEST(ObjectiveTest, CardTakesMoreNeuronsTheMoreStreamsThereAre) {
  EXPECT_GT(LeftToTheProcessor(32), 0u);
  EXPECT_LT(LeftToTheProcessor(32), LeftToTheProcessor(8));
  EXPECT_LT(LeftToTheProcessor(8), LeftToTheProcessor(1));
}

TEST(ObjectiveTest, EveryObjectiveIsBestServedByItsOwnPlan) {
  const Model model = LlamaModel(kLlama7b);
  for (const Cluster& cluster : {WithSlowLink(), With(Worker(4000, 1.15e9, 1e10, 4e12))}) {
    for (const Objective& objective : kAll) {
      const Plan own = MakePlan(cluster, model, {.objective = objective}).value();
      for (const Objective& other : kAll) {
        const Plan plan = MakePlan(cluster, model, {.objective = other}).value();
        const double us = ExpectedTime(cluster, ForObjective(model, objective), plan.assignment).total_us;
        EXPECT_LE(own.step_time.total_us, us * (1 + 1e-9))
            << ObjectiveText(objective) << ObjectiveText(other);
      }
    }
  }
}

TEST(ObjectiveTest, PlanTellsWhatItsOwnAndOtherStepsAreExpectedToTake) {
  const Cluster cluster = With(Worker(100, 1.17e8, 2e10, 5e11));
  const Model model = LlamaModel(kLlama7b);
  const Objective four{ObjectiveKind::kThroughput, 4};
  const Plan plan = MakePlan(cluster, model, {.objective = four}).value();
  EXPECT_EQ(plan.objective, four);
  EXPECT_EQ(plan.time, ExpectedTime(cluster, model, plan.assignment));
  EXPECT_EQ(plan.step_time, ExpectedTime(cluster, WithRows(model, 4), plan.assignment));
  ASSERT_EQ(plan.expected.size(), 3u);
  EXPECT_EQ(plan.expected[0], (Expectation{{}, plan.time.total_us}));
  EXPECT_EQ(plan.expected[1], (Expectation{four, plan.step_time.total_us}));
  EXPECT_EQ(plan.expected[2].objective, kPrompts);
  EXPECT_DOUBLE_EQ(plan.expected[1].tokens_per_second(), 4e6 / plan.step_time.total_us);
  EXPECT_DOUBLE_EQ(plan.expected[1].us_per_token(), plan.step_time.total_us / 4);
}

TEST(ObjectiveTest, WordsSayWhatThePlanIsFor) {
  const auto words = [](const PlanOptions& options) {
    const Cluster cluster = With(Worker(4000, 1.15e9, 1e10, 4e12));
    return absl::StrJoin(MakePlan(cluster, LlamaModel(kLlama7b), options)->explanation, "\n");
  };
  EXPECT_THAT(words({}), HasSubstr("One token is expected to take"));
  EXPECT_THAT(words({.objective = kEightStreams}),
              HasSubstr("The plan is for 8 streams at a time: a round of one token for each is expected"));
  const std::string prompts = words({.objective = kPrompts});
  EXPECT_THAT(prompts, HasSubstr("The plan is for reading prompts: a chunk of 512 tokens is expected"));
  EXPECT_THAT(prompts, HasSubstr("Host worker saves"));
  EXPECT_THAT(prompts, HasSubstr("per chunk: host desktop alone would take"));
  EXPECT_THAT(prompts, HasSubstr("tokens/s for a single stream and"));
  EXPECT_THAT(words({.objective = kPrompts, .stages = 2}), HasSubstr("a chunk of 512 tokens is expected"));
}

TEST(ObjectiveTest, OptionsThatForceASplitKeepTheObjective) {
  const Cluster cluster = With(Worker(100, 1.17e8, 2e10, 5e11));
  const Model model = LlamaModel(kLlama7b);
  for (PlanOptions options :
       {PlanOptions{.use_every_host = true}, PlanOptions{.stages = 2}, PlanOptions{.keep_attention = true}}) {
    options.objective = kEightStreams;
    const Plan plan = MakePlan(cluster, model, options).value();
    EXPECT_EQ(plan.objective, kEightStreams);
    EXPECT_GT(plan.step_time.total_us, plan.time.total_us);
    EXPECT_EQ(plan.expected[1].step_us, plan.step_time.total_us);
  }
}

// For prompts layers are cut by arithmetic, else by reading.
TEST(ObjectiveTest, StagesAreCutByWhatTheirHostsDoFast) {
  const Cluster cluster = With(Worker(100, 1.15e9, 1e10, 4e12));
  const auto led_by_worker = [&](const Objective& objective) {
    const Plan plan = MakePlan(cluster, LlamaModel(kLlama7b), {.objective = objective, .stages = 2}).value();
    return plan.stages[1].last - plan.stages[1].first;
  };
  EXPECT_LT(led_by_worker({}), 16u);
  EXPECT_GT(led_by_worker(kPrompts), 16u);
}

TEST(ObjectiveTest, ProofIsOfStepsOfThePlansKind) {
  const Cluster cluster = With(Worker(100, 1.17e8, 2e10, 5e11));
  const Model model = LlamaModel({.layers = 4,
                                  .embedding = 4096,
                                  .feed_forward = 11008,
                                  .head_size = 128,
                                  .heads = 32,
                                  .kv_heads = 32,
                                  .vocabulary = 32000});
  for (const Objective& objective : kAll) {
    const Plan plan = MakePlan(cluster, model, {.objective = objective, .margin = 0}).value();
    const LowerBound bound = ProveLowerBound(cluster, model, plan).value();
    EXPECT_LE(bound.total_us, plan.step_time.total_us * (1 + 1e-6));
    EXPECT_GT(bound.total_us, plan.step_time.total_us * 0.98) << ObjectiveText(objective);
  }
}

}  // namespace
}  // namespace hearth::placement
