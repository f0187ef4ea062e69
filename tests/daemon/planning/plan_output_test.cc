#include "daemon/planning/plan_output.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace hearth {
namespace {

using nlohmann::json;

class PlanOutputTest : public ::testing::Test {
 protected:
  PlanOutputTest() {
    placement::Host leader{"a", {{"gpu", placement::DeviceKind::kGpu, 3000, 1e10, 1e15, 0}}, {}};
    placement::Host helper{"b", {{"cpu", placement::DeviceKind::kCpu, 1 << 20, 1e9, 1e15, 0}}, {10, 1e15}};
    cluster_ = {{leader, helper}, 0};
    placement::Model model;
    model.leader_memory_bytes = 500;
    for (uint32_t layer = 0; layer < 3; ++layer) {
      placement::Section ffn{{}, 100, 200, {placement::GroupKind::kNeurons, layer}};
      for (int g = 0; g < 2; ++g) ffn.groups.push_back({16, 0, 500, 1, 2});
      model.sections.push_back(ffn);
    }
    plan_ = placement::MakePlan(cluster_, model).value();
  }

  placement::Cluster cluster_;
  placement::Plan plan_;
};

TEST_F(PlanOutputTest, JsonHoldsTimesDevicesAndGroups) {
  const json document = json::parse(PlanToJson(cluster_, plan_));
  EXPECT_DOUBLE_EQ(document["time_per_token_us"], plan_.time.total_us);
  EXPECT_NEAR(document["tokens_per_second"].get<double>() * plan_.time.total_us, 1e6, 1);
  EXPECT_EQ(document["round_trips_per_token"], plan_.time.round_trips);
  ASSERT_EQ(document["devices"].size(), 2u);
  EXPECT_EQ(document["devices"][0]["host"], "a");
  EXPECT_EQ(document["devices"][0]["kind"], "gpu");
  EXPECT_EQ(document["devices"][0]["memory_budget_bytes"], 3000);
  EXPECT_EQ(document["devices"][1]["neuron_groups"], document["devices"][1]["groups"]);
  EXPECT_EQ(document["devices"][1]["head_groups"], 0);
  EXPECT_TRUE(document["attention"].empty());
  ASSERT_EQ(document["layers"].size(), 3u);
  EXPECT_EQ(document["layers"][0]["devices"].size(), 2u);
  EXPECT_EQ(document["explanation"], json(plan_.explanation));
}

TEST_F(PlanOutputTest, JsonOfAnObjectiveHasTheTimesOfItsSteps) {
  EXPECT_EQ(json::parse(PlanToJson(cluster_, plan_))["objective"], "latency");
  plan_.objective = {placement::ObjectiveKind::kThroughput, 4};
  plan_.step_time.total_us = 2000;
  const json document = json::parse(PlanToJson(cluster_, plan_));
  EXPECT_EQ(document["objective"], "throughput:4");
  EXPECT_DOUBLE_EQ(document["step_us"], 2000);
  EXPECT_DOUBLE_EQ(document["time_per_token_us"], 500);
  EXPECT_DOUBLE_EQ(document["tokens_per_second"], 2000);
  ASSERT_EQ(document["expected"].size(), 3u);
  EXPECT_EQ(document["expected"][0]["objective"], "latency");
  EXPECT_DOUBLE_EQ(document["expected"][0]["step_us"], plan_.time.total_us);
}

TEST_F(PlanOutputTest, NeuronsInJsonAddUpPerLayer) {
  const json document = json::parse(PlanToJson(cluster_, plan_));
  for (size_t layer = 0; layer < 3; ++layer) {
    uint64_t neurons = 0;
    for (const json& device : document["devices"]) neurons += device["neurons"][layer].get<uint64_t>();
    EXPECT_EQ(neurons, 32u);
  }
}

TEST_F(PlanOutputTest, TextJoinsLayersThatAreAlike) {
  // The GPU holds five groups: two layers as a whole, the third is shared.
  const std::string text = PlanToText(cluster_, plan_);
  EXPECT_EQ(text.substr(text.find("\nNeurons per layer")),
            "\nNeurons per layer:\n"
            "layer         a/gpu     b/cpu        time\n"
            "0-1              32         0      0.1 us\n"
            "2                16        16       11 us\n");
}

TEST_F(PlanOutputTest, TextBeginsWithTheExplanation) {
  const std::string text = PlanToText(cluster_, plan_);
  EXPECT_EQ(text.substr(0, plan_.explanation[0].size()), plan_.explanation[0]);
}

}  // namespace
}  // namespace hearth
