#include "daemon/planning/model_description.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>

#include "engine/attention/kv_cache.h"
#include "engine/file/gguf.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/quant/types.h"
#include "engine/weights/adapter_file.h"
#include "tests/support/lora_file.h"

namespace hearth {
namespace {

using placement::GroupKind;

constexpr DecoderOptions kOptions{.sequences = 2, .context_length = 64};

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
  described.model = DescribeModel(described.outline, kOptions).value();
  return described;
}

// The section of a kind and layer.
const placement::Section& SectionOf(const placement::Model& model, GroupKind kind, uint32_t layer) {
  return *std::find_if(model.sections.begin(), model.sections.end(), [&](const placement::Section& section) {
    return section.name == placement::SectionName{kind, layer};
  });
}

const placement::Section& Ffn(const placement::Model& model, uint32_t layer) {
  return SectionOf(model, GroupKind::kNeurons, layer);
}

uint64_t NeuronsOf(const placement::Section& section) {
  uint64_t neurons = 0;
  for (const placement::Group& group : section.groups) neurons += group.neurons;
  return neurons;
}

// Bytes of one of the three matrices of a group.
uint64_t MatrixBytes(const Described& described, uint64_t neurons) {
  return neurons * RowBytes(described.outline.ffn_specs[0].gate.type, described.outline.spec.n_embd).value();
}

TEST(DescribeModelTest, DenseGroupsAreAlwaysReadInFull) {
  const Described described = Describe("llama_relu", SparsityMode::kDense);
  ASSERT_EQ(described.model.layers(), described.outline.spec.n_layers);
  for (uint32_t i = 0; i < described.model.layers(); ++i) {
    EXPECT_EQ(NeuronsOf(Ffn(described.model, i)), described.outline.ffn_specs[i].block_neurons[0]);
    for (const placement::Group& group : Ffn(described.model, i).groups) {
      EXPECT_EQ(group.firing_bytes, 0u);
      EXPECT_EQ(group.always_bytes, 3 * MatrixBytes(described, group.neurons));  // gate, up and down
    }
  }
}

TEST(DescribeModelTest, ExactSparsityAlwaysReadsTheGateOnly) {
  const Described described = Describe("llama_relu", SparsityMode::kExact);
  const placement::Group& group = Ffn(described.model, 0).groups[0];
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
  const placement::Group& group = Ffn(described.model, 0).groups[0];
  const uint32_t rank = described.outline.ffn_specs[0].predictor_rank;
  ASSERT_GT(rank, 0u);
  EXPECT_EQ(group.always_bytes,
            group.neurons * RowBytes(described.outline.ffn_specs[0].predictor_type, rank).value());
  EXPECT_EQ(Ffn(described.model, 0).sent_bytes, (described.outline.spec.n_embd + rank) * 4);
}

TEST(DescribeModelTest, AdapterCostsMemoryAndBytesOnTheWire) {
  const auto file = GgufFile::Open("tests/engine/model/fixtures/llama_relu.gguf").value();
  const Described plain = Describe("llama_relu", SparsityMode::kExact);
  ModelOptions options = plain.outline.options;
  options.adapter = OpenAdapters({{LoraFile(*file).Write("described.gguf")}}, *file).value();
  const ModelOutline outline = OutlineModel(*file, options).value();
  const placement::Model adapted = DescribeModel(outline, kOptions).value();
  EXPECT_GT(adapted.leader_memory_bytes, plain.model.leader_memory_bytes);
  const AdapterRanks& ranks = outline.spec.layers[0].adapter;
  for (const GroupKind kind : {GroupKind::kHeads, GroupKind::kNeurons}) {
    const placement::Section& with = SectionOf(adapted, kind, 0);
    const placement::Section& without = SectionOf(plain.model, kind, 0);
    const bool heads = kind == GroupKind::kHeads;
    EXPECT_EQ(with.sent_bytes - without.sent_bytes, (heads ? ranks.mixer_inputs() : ranks.ffn_inputs()) * 4);
    EXPECT_EQ(with.returned_bytes - without.returned_bytes, (heads ? ranks.output : ranks.down) * 4);
    EXPECT_TRUE(with.cpu_only);
    EXPECT_FALSE(without.cpu_only);
    EXPECT_GT(with.groups[0].memory_bytes(), without.groups[0].memory_bytes());
  }
  EXPECT_EQ(Ffn(adapted, 0).groups[0].firing_bytes, 0u) << "its neurons are all computed";
}

TEST(DescribeModelTest, ExpertsFireAsOftenAsTheRouterPicksThem) {
  const Described described = Describe("shared_expert_with_gate", SparsityMode::kDense);
  const RouterSpec& router = described.outline.spec.layers[0].ffn.router.value();
  const std::vector<placement::Group>& groups = Ffn(described.model, 0).groups;
  ASSERT_EQ(groups.size(), router.experts + 1);
  for (uint32_t e = 0; e < router.experts; ++e) {
    EXPECT_DOUBLE_EQ(groups[e].frequency, static_cast<double>(router.chosen) / router.experts);
    EXPECT_EQ(groups[e].always_bytes, 0u);
  }
  EXPECT_EQ(groups.back().frequency, 1);
  EXPECT_EQ(groups.back().firing_bytes, 0u);
}

TEST(DescribeModelTest, LeaderHoldsWhatIsNoUnit) {
  const Described described = Describe("llama_tied", SparsityMode::kDense);
  EXPECT_EQ(described.model.leader_memory_bytes, described.outline.leader_weight_bytes);
  EXPECT_EQ(described.model.leader_bytes_per_token, described.outline.leader_bytes_per_token);
  EXPECT_EQ(Ffn(described.model, 0).sent_bytes, described.outline.spec.n_embd * 4);
  EXPECT_EQ(Ffn(described.model, 0).returned_bytes, described.outline.spec.n_embd * 4);
}

TEST(DescribeModelTest, HeadsBringTheirPartOfTheCache) {
  const Described described = Describe("llama_tied", SparsityMode::kDense);
  const ModelOutline& outline = described.outline;
  uint64_t cache_bytes = 0;
  for (uint32_t layer = 0; layer < outline.spec.n_layers; ++layer) {
    const placement::Section& heads = SectionOf(described.model, GroupKind::kHeads, layer);
    ASSERT_EQ(heads.groups.size(), outline.head_groups[layer].size());
    for (uint32_t g = 0; g < heads.groups.size(); ++g) {
      EXPECT_EQ(UnitOf(heads.name, g), (UnitId{UnitKind::kHeads, layer, g}));
      EXPECT_EQ(heads.groups[g].always_bytes, outline.BundleBytes({UnitKind::kHeads, layer, g}).value());
      cache_bytes += heads.groups[g].cache_bytes;
    }
  }
  EXPECT_EQ(cache_bytes, KvCacheBytes(outline.spec, kOptions).value());
}

TEST(DescribeModelTest, OutputRowsReturnTheirLogitsOnly) {
  const Described described = Describe("llama_tied", SparsityMode::kDense);
  const placement::Section& output = described.model.sections.back();
  ASSERT_EQ(output.name.kind, GroupKind::kOutput);
  EXPECT_EQ(output.returned_bytes, 0u);
  uint64_t returned = 0;
  for (const placement::Group& group : output.groups) returned += group.returned_bytes;
  EXPECT_EQ(returned, described.outline.spec.n_vocab * 4);
}

TEST(DescribeModelTest, ProfileOfTheModelReachesTheGroups) {
  const auto file = GgufFile::Open("deploy/demo_model/hearth-demo-q8_0.powerinfer.gguf").value();
  ModelOptions options;
  options.sparsity = SparsityMode::kPredicted;
  const ModelOutline outline = OutlineModel(*file, options).value();
  const placement::Model model = DescribeModel(outline, kOptions).value();
  const std::vector<placement::Group>& groups = Ffn(model, 0).groups;
  EXPECT_GT(groups.front().frequency, 2 * groups.back().frequency);
  EXPECT_LT(groups.back().expected_bytes(), 0.5 * static_cast<double>(groups.back().memory_bytes()));
}

TEST(DescribeModelTest, GroupThatCannotBeIsRefused) {
  Described described = Describe("llama_tied", SparsityMode::kDense);
  described.outline.neuron_groups[0][0].neurons.clear();
  EXPECT_EQ(DescribeModel(described.outline, kOptions).status().code(), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace hearth
