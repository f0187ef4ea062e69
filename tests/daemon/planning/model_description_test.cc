#include "daemon/planning/model_description.h"

#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "engine/file/gguf.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

struct Described {
  ModelOutline outline;
  placement::Model model;
};

// One of tests/engine/model/fixtures, described in a mode of sparsity.
Described Describe(const std::string& name, SparsityMode sparsity) {
  const auto file = GgufFile::Open("tests/engine/model/fixtures/" + name + ".gguf").value();
  ModelOptions options;
  options.sparsity = sparsity;
  Described described{OutlineModel(*file, options).value(), {}};
  described.model = DescribeModel(described.outline, sparsity, 1000).value();
  return described;
}

uint64_t NeuronsOf(const placement::Layer& layer) {
  uint64_t neurons = 0;
  for (const placement::Group& group : layer.groups) neurons += group.neurons;
  return neurons;
}

// Bytes of one of the three matrices of a group.
uint64_t MatrixBytes(const Described& described, uint64_t neurons) {
  return neurons * RowBytes(described.outline.ffn_specs[0].gate.type, described.outline.spec.n_embd).value();
}

TEST(DescribeModelTest, DenseGroupsAreAlwaysReadInFull) {
  const Described described = Describe("llama_relu", SparsityMode::kDense);
  ASSERT_EQ(described.model.layers.size(), described.outline.spec.n_layers);
  for (size_t i = 0; i < described.model.layers.size(); ++i) {
    EXPECT_EQ(NeuronsOf(described.model.layers[i]), described.outline.ffn_specs[i].block_neurons[0]);
    for (const placement::Group& group : described.model.layers[i].groups) {
      EXPECT_EQ(group.firing_bytes, 0u);
      EXPECT_EQ(group.always_bytes, 3 * MatrixBytes(described, group.neurons));  // gate, up and down
    }
  }
}

TEST(DescribeModelTest, ExactSparsityAlwaysReadsTheGateOnly) {
  const Described described = Describe("llama_relu", SparsityMode::kExact);
  const placement::Group& group = described.model.layers[0].groups[0];
  EXPECT_EQ(group.always_bytes, MatrixBytes(described, group.neurons));
  EXPECT_EQ(group.firing_bytes, 2 * group.always_bytes);
}

TEST(DescribeModelTest, ExactSparsityWithoutAGateAlwaysReadsUp) {
  FfnLayerSpec spec;
  spec.activation = Activation::kReluSquared;
  EXPECT_TRUE(ReadsAllOf(spec, 0, BundlePart::kUp, SparsityMode::kExact));
  spec.gate.present = true;
  EXPECT_FALSE(ReadsAllOf(spec, 0, BundlePart::kUp, SparsityMode::kExact));
}

TEST(DescribeModelTest, DownThatCannotBeReadByNeuronIsAlwaysRead) {
  FfnLayerSpec spec;
  spec.n_embd = 256;
  spec.activation = Activation::kRelu;
  spec.down.type = TensorType::kQ4_0;
  EXPECT_FALSE(ReadsAllOf(spec, 0, BundlePart::kDown, SparsityMode::kExact));
  spec.down.type = TensorType::kQ4_K;
  EXPECT_TRUE(ReadsAllOf(spec, 0, BundlePart::kDown, SparsityMode::kExact));
  spec.neuron_major = true;
  EXPECT_FALSE(ReadsAllOf(spec, 0, BundlePart::kDown, SparsityMode::kExact));
}

TEST(DescribeModelTest, LayersThatTellNothingAboutTheirNeuronsAreDense) {
  FfnLayerSpec spec;
  EXPECT_EQ(LayerSparsity(spec, SparsityMode::kExact), SparsityMode::kDense);
  spec.predictor_rank = 8;
  EXPECT_EQ(LayerSparsity(spec, SparsityMode::kPredicted), SparsityMode::kPredicted);
  spec.predictor_rank = 0;
  spec.activation = Activation::kRelu;
  EXPECT_EQ(LayerSparsity(spec, SparsityMode::kPredicted), SparsityMode::kExact);
  spec.normalize_hidden = true;
  EXPECT_EQ(LayerSparsity(spec, SparsityMode::kExact), SparsityMode::kDense);
}

TEST(DescribeModelTest, PredictedSparsityAlwaysReadsThePredictorOnly) {
  const Described described = Describe("predicted_gated", SparsityMode::kPredicted);
  const placement::Group& group = described.model.layers[0].groups[0];
  const uint32_t rank = described.outline.ffn_specs[0].predictor_rank;
  ASSERT_GT(rank, 0u);
  EXPECT_EQ(group.always_bytes,
            group.neurons * RowBytes(described.outline.ffn_specs[0].predictor_type, rank).value());
  EXPECT_EQ(described.model.layers[0].sent_bytes, (described.outline.spec.n_embd + rank) * 4);
}

TEST(DescribeModelTest, ExpertsFireAsOftenAsTheRouterPicksThem) {
  const Described described = Describe("shared_expert_with_gate", SparsityMode::kDense);
  const RouterSpec& router = described.outline.spec.layers[0].ffn.router.value();
  const std::vector<placement::Group>& groups = described.model.layers[0].groups;
  ASSERT_EQ(groups.size(), router.experts + 1);
  for (uint32_t e = 0; e < router.experts; ++e) {
    EXPECT_DOUBLE_EQ(groups[e].frequency, static_cast<double>(router.chosen) / router.experts);
    EXPECT_EQ(groups[e].always_bytes, 0u);
  }
  EXPECT_EQ(groups.back().frequency, 1);
  EXPECT_EQ(groups.back().firing_bytes, 0u);
}

TEST(DescribeModelTest, LeaderHoldsItsWeightsAndBuffers) {
  const Described described = Describe("llama_tied", SparsityMode::kDense);
  const ModelOutline& outline = described.outline;
  const uint64_t placed = outline.mixer_weight_bytes + outline.output_weight_bytes;
  EXPECT_EQ(described.model.leader_memory_bytes, outline.leader_weight_bytes + placed + 1000);
  EXPECT_EQ(described.model.leader_bytes_per_token, outline.leader_bytes_per_token + placed);
  EXPECT_EQ(described.model.layers[0].sent_bytes, described.outline.spec.n_embd * 4);
  EXPECT_EQ(described.model.layers[0].returned_bytes, described.outline.spec.n_embd * 4);
}

TEST(DescribeModelTest, ProfileOfTheModelReachesTheGroups) {
  const auto file = GgufFile::Open("deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf").value();
  ModelOptions options;
  options.sparsity = SparsityMode::kPredicted;
  const ModelOutline outline = OutlineModel(*file, options).value();
  const placement::Model model = DescribeModel(outline, options.sparsity, 0).value();
  const std::vector<placement::Group>& groups = model.layers[0].groups;
  EXPECT_GT(groups.front().frequency, 2 * groups.back().frequency);
  EXPECT_LT(groups.back().expected_bytes(), 0.5 * static_cast<double>(groups.back().memory_bytes()));
}

TEST(DescribeModelTest, GroupThatCannotBeIsRefused) {
  Described described = Describe("llama_tied", SparsityMode::kDense);
  described.outline.neuron_groups[0][0].neurons.clear();
  EXPECT_EQ(DescribeModel(described.outline, SparsityMode::kDense, 0).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hearth
