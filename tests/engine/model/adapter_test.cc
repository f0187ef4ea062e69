// LoRA adapters: the logits of a model whose weights were merged with them beforehand, with the same bits
// however the work is shared out.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/file/gguf_skeleton.h"
#include "engine/outline/default_sparsity.h"
#include "engine/weights/adapter_file.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/fixture.h"
#include "tests/engine/model/tiny_model.h"
#include "tests/support/lora_file.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

constexpr DecoderOptions kDecoder = {.sequences = 3, .context_length = 48, .max_rows = 32};
constexpr int kTokens = 20;

std::vector<TokenId> SomeTokens() {
  std::vector<TokenId> tokens;
  for (TokenId i = 0; i < kTokens; ++i) tokens.push_back(i * 7 % 20);
  return tokens;
}

// Four query heads over two KV heads: two head groups, and two groups of neurons, in each of two layers.
TinyModel GroupedModel(const std::string& architecture = "llama") {
  TinyModel model(architecture);
  model.Set(architecture + ".attention.head_count", uint64_t{4});
  model.Set(architecture + ".attention.head_count_kv", uint64_t{2});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* name : {"attn_k", "attn_v"}) model.AddTensor(layer + name + ".weight", {32, 16});
  }
  return model;
}

// Query, key and value in one tensor, gate and up in another.
TinyModel FusedModel() {
  TinyModel model = GroupedModel("phi3");
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* name : {"attn_q", "attn_k", "attn_v", "ffn_gate"})
      model.EraseTensor(layer + name + ".weight");
    model.AddTensor(layer + "attn_qkv.weight", {32, 64});
    model.AddTensor(layer + "ffn_up.weight", {32, 128});
  }
  return model;
}

// Blocks of 32 values, so that one KV head is no group.
TinyModel QuantisedModel(const std::string& architecture = "llama") {
  TinyModel model = GroupedModel(architecture);
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
      model.SetType(layer + name + ".weight", TensorType::kQ8_0);
    }
  }
  return model;
}

TinyModel ReluModel() {
  TinyModel model = GroupedModel();
  model.Set("hearth.ffn_activation", std::string("relu"));
  return model;
}

class AdapterTest : public ::testing::Test {
 protected:
  // The model with the adapter at each of the paths.
  absl::StatusOr<Runtime> Open(const std::shared_ptr<const GgufFile>& model,
                               const std::vector<AdapterSource>& adapters, int devices = 1, int threads = 2,
                               ModelOptions options = {}) {
    HEARTH_ASSIGN_OR_RETURN(options.adapter, OpenAdapters(adapters, *model));
    options.context_length = kDecoder.context_length;
    pools_.push_back(std::make_unique<ThreadPool>(threads));
    return Runtime::Make(model, options, kDecoder, *pools_.back(), devices);
  }

  std::vector<float> Evaluate(const std::shared_ptr<const GgufFile>& model,
                              const std::vector<AdapterSource>& adapters, int devices = 1, int threads = 2,
                              size_t chunk = 32) {
    absl::StatusOr<Runtime> runtime = Open(model, adapters, devices, threads);
    EXPECT_TRUE(runtime.ok()) << runtime.status();
    if (!runtime.ok()) return {};
    return *runtime->Evaluate(SomeTokens(), chunk);
  }

  std::vector<std::unique_ptr<ThreadPool>> pools_;  // outlive the runtimes
};

float LargestDifference(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  float largest = 0;
  for (size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    largest = std::max(largest, std::abs(a[i] - b[i]));
  return largest;
}

struct Case {
  const char* name;
  TinyModel model;
  std::vector<std::string> matrices;
};

class MergedTest : public AdapterTest, public ::testing::WithParamInterface<Case> {};

TEST_P(MergedTest, GivesTheLogitsOfMergedWeights) {
  const std::shared_ptr<const GgufFile> model = *GetParam().model.Build();
  const LoraFile lora(*model, 3, GetParam().matrices);
  const std::vector<float> expected = Evaluate(lora.MergedInto(*model), {});
  EXPECT_GT(LargestDifference(Evaluate(model, {}), expected), 0.01f)
      << "the adapter changes too little to tell";
  EXPECT_LT(LargestDifference(Evaluate(model, {{lora.Write("merged.gguf")}}), expected), 2e-5f);
}

const std::vector<std::string> kAll = {"attn_q",      "attn_k",   "attn_v", "attn_qkv",
                                       "attn_output", "ffn_gate", "ffn_up", "ffn_down"};
INSTANTIATE_TEST_SUITE_P(
    Matrices, MergedTest,
    ::testing::Values(Case{"all", GroupedModel(), kAll}, Case{"query", GroupedModel(), {"attn_q"}},
                      Case{"key", GroupedModel(), {"attn_k"}}, Case{"value", GroupedModel(), {"attn_v"}},
                      Case{"output", GroupedModel(), {"attn_output"}},
                      Case{"gate", GroupedModel(), {"ffn_gate"}}, Case{"up", GroupedModel(), {"ffn_up"}},
                      Case{"down", GroupedModel(), {"ffn_down"}}, Case{"fused", FusedModel(), kAll},
                      Case{"relu", ReluModel(), kAll}, Case{"quantised", QuantisedModel(), kAll}),
    [](const auto& info) { return info.param.name; });

class SameBitsTest : public AdapterTest, public ::testing::WithParamInterface<Case> {};

TEST_P(SameBitsTest, OnAnyNumberOfDevicesAndThreadsInAnyPieces) {
  const std::shared_ptr<const GgufFile> model = *GetParam().model.Build();
  const std::vector<AdapterSource> adapter = {{LoraFile(*model).Write("bits.gguf")}};
  const std::vector<float> expected = Evaluate(model, adapter, 1, 1);
  for (const int threads : {2, 3}) EXPECT_EQ(Evaluate(model, adapter, 1, threads), expected) << threads;
  for (const int devices : {2, 3}) EXPECT_EQ(Evaluate(model, adapter, devices), expected) << devices;
  for (const size_t chunk : {1, 7}) EXPECT_EQ(Evaluate(model, adapter, 2, 2, chunk), expected) << chunk;
}

TEST_P(SameBitsTest, AloneAndBesideOthers) {
  const std::shared_ptr<const GgufFile> model = *GetParam().model.Build();
  Runtime runtime = *Open(model, {{LoraFile(*model).Write("beside.gguf")}}, 2);
  const std::vector<float> alone = *runtime.Evaluate(SomeTokens(), 1);
  const size_t vocabulary = runtime.model->spec().n_vocab;
  std::vector<float> logits(3 * vocabulary);
  for (uint32_t t = 0; t < kTokens; ++t) {
    std::vector<BatchRow> rows;
    for (const uint32_t sequence : {1, 0, 2}) {
      rows.push_back(
          {sequence, t, sequence == 0 ? SomeTokens()[t] : static_cast<TokenId>((t + sequence) % 20), true});
    }
    if (t == 0) ASSERT_TRUE(runtime.decoder->Truncate(0, 0).ok());
    ASSERT_TRUE(runtime.decoder->Step(rows, absl::MakeSpan(logits)).ok());
    EXPECT_TRUE(std::equal(logits.begin() + vocabulary, logits.begin() + 2 * vocabulary,
                           alone.begin() + t * vocabulary))
        << "position " << t;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, SameBitsTest,
                         ::testing::Values(Case{"plain", GroupedModel(), {}}, Case{"fused", FusedModel(), {}},
                                           Case{"quantised", QuantisedModel(), {}}),
                         [](const auto& info) { return info.param.name; });

TEST_F(AdapterTest, ScaleAndSeveralAdaptersAddUp) {
  const std::shared_ptr<const GgufFile> model = *GroupedModel().Build();
  const LoraFile first(*model, 2, {"attn_q", "ffn_down"}), second(*model, 5, {"ffn_down", "ffn_up"});
  const std::shared_ptr<const GgufFile> merged = second.MergedInto(*first.MergedInto(*model, 0.5), -1);
  const std::vector<float> logits =
      Evaluate(model, {{first.Write("first.gguf"), 0.5f}, {second.Write("second.gguf"), -1}});
  EXPECT_LT(LargestDifference(logits, Evaluate(merged, {})), 2e-5f);
}

TEST_F(AdapterTest, ScaleOfZeroIsTheModelItself) {
  const std::shared_ptr<const GgufFile> model = *QuantisedModel().Build();
  const std::string path = LoraFile(*model).Write("zero.gguf");
  EXPECT_EQ(Evaluate(model, {{path, 0}}), Evaluate(model, {}));
}

TEST_F(AdapterTest, HalvesOfHalfPrecisionAreReadAsTheyAre) {
  const std::shared_ptr<const GgufFile> model = *GroupedModel().Build();
  for (const TensorType type : {TensorType::kF16, TensorType::kBF16}) {
    LoraFile lora(*model);
    for (const char* name : {"blk.0.attn_q.weight.lora_a", "blk.1.ffn_down.weight.lora_b"}) {
      for (float& value : lora.values(name)) value = std::round(value * 64) / 64;  // which both types have
    }
    LoraFile rounded = lora;
    rounded.SetType(type);
    const float difference = LargestDifference(Evaluate(model, {{rounded.Write("half.gguf")}}),
                                               Evaluate(lora.MergedInto(*model), {}));
    EXPECT_LT(difference, type == TensorType::kF16 ? 2e-3f : 2e-2f);
  }
}

TEST_F(AdapterTest, WithoutAlphaTheScaleStandsAlone) {
  const std::shared_ptr<const GgufFile> model = *GroupedModel().Build();
  LoraFile lora(*model, 6, {"attn_v"});
  lora.EraseTensor("blk.1.attn_v.weight.lora_a");
  lora.EraseTensor("blk.1.attn_v.weight.lora_b");
  const std::vector<float> expected = Evaluate(model, {{lora.Write("alpha.gguf")}});  // 6 / 6
  lora.Set("adapter.lora.alpha", 0.0);
  EXPECT_EQ(Evaluate(model, {{lora.Write("no_alpha.gguf")}}), expected);
}

TEST_F(AdapterTest, ExactSparsityHasTheBitsOfDense) {
  const std::shared_ptr<const GgufFile> model = *ReluModel().Build();
  // Of one layer: the other one skips neurons.
  LoraFile lora(*model);
  for (const char* matrix : {"ffn_gate", "ffn_up", "ffn_down"}) {
    for (const char* half : {".lora_a", ".lora_b"}) {
      lora.EraseTensor(std::string("blk.1.") + matrix + ".weight" + half);
    }
  }
  const std::vector<AdapterSource> adapter = {{lora.Write("relu.gguf")}};
  Runtime exact = *Open(model, adapter, 2, 2, {.sparsity = SparsityMode::kExact});
  EXPECT_EQ(*exact.Evaluate(SomeTokens(), 1), Evaluate(model, adapter));
}

TEST_F(AdapterTest, LayersThatItChangesAreComputedWholeAndNotPredicted) {
  TinyModel tiny = ReluModel();
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    tiny.AddTensor(layer + "fc1.weight", {32, 16});
    tiny.AddTensor(layer + "fc2.weight", {16, 64});
  }
  const std::shared_ptr<const GgufFile> model = *tiny.Build();
  ModelOptions options;
  options.adapter = *OpenAdapters({{LoraFile(*model).Write("predicted.gguf")}}, *model);
  const absl::StatusOr<SparsityChoice> choice = DefaultSparsity(*model, options);
  ASSERT_TRUE(choice.ok()) << choice.status();
  EXPECT_EQ(choice->mode, SparsityMode::kDense);
  EXPECT_THAT(choice->why, HasSubstr("LoRA"));
  options.sparsity = SparsityMode::kPredicted;
  EXPECT_THAT(std::string(OutlineModel(*model, options).status().message()),
              HasSubstr("LoRA adapter changes"));

  options.adapter = *OpenAdapters({{LoraFile(*model, 2, {"attn_q"}).Write("attention.gguf")}}, *model);
  EXPECT_EQ(DefaultSparsity(*model, options)->mode, SparsityMode::kPredicted);
}

TEST_F(AdapterTest, WorkersMakeTheUnitsOfTheSkeleton) {
  const std::shared_ptr<const GgufFile> model = *GroupedModel().Build();
  ModelOptions options;
  options.adapter = *OpenAdapters({{LoraFile(*model).Write("skeleton.gguf")}}, *model);
  const ModelOutline whole = *OutlineModel(*model, options);
  const auto skeleton = *ParseSkeleton(*MakeSkeleton(*model, nullptr, options.adapter.get()), "skeleton");
  const absl::StatusOr<ModelOutline> outline = OutlineModel(*skeleton, {});
  ASSERT_TRUE(outline.ok()) << outline.status();
  const ModelOutline plain = *OutlineModel(*model, {});
  for (uint32_t layer = 0; layer < 2; ++layer) {
    for (const UnitKind kind : {UnitKind::kHeads, UnitKind::kNeurons, UnitKind::kLayer}) {
      const UnitId unit{kind, layer, 0};
      EXPECT_EQ(*outline->BundleBytes(unit), *whole.BundleBytes(unit));
      EXPECT_GT(*whole.BundleBytes(unit), *plain.BundleBytes(unit)) << "an adapter takes memory";
    }
  }
}

TEST_F(AdapterTest, RequestsOfAPeerWithoutItsValuesAreRefused) {
  const std::shared_ptr<const GgufFile> model = *GroupedModel().Build();
  Runtime runtime = *Open(model, {{LoraFile(*model).Write("missing.gguf")}});
  Device& device = *runtime.devices.share->devices()[0];
  const ModelOutline& outline = runtime.model->outline();
  const std::vector<float> x(outline.spec.n_embd);
  std::vector<int64_t> sums(2 * x.size());
  const RowPlace place{0, 0, false};
  const Request requests[] = {
      MixRequest{.step = 1,
                 .rows = {&place, 1},
                 .x = x.data(),
                 .output_values = 32 + outline.spec.layers[0].adapter.output},
      FfnRequest{.rows = 1, .x = x.data(), .output_values = outline.ffn_specs[0].output_values()}};
  for (const Request& request : requests) {
    const absl::Status status =
        device.Collect(device.Submit(request), absl::MakeSpan(sums).first(SumsOf(request)));
    EXPECT_THAT(std::string(status.message()), HasSubstr("LoRA adapter are missing"));
  }
}

TEST_F(AdapterTest, OfLatentAttentionIsRefused) {
  const auto latent = *GgufFile::Open(FixturePath("latent_split_grouped.gguf"));
  LoraFile lora(*latent, 3, {"attn_output"});
  ModelOptions options;
  options.adapter = *OpenAdapters({{lora.Write("latent.gguf")}}, *latent);
  EXPECT_THAT(std::string(OutlineModel(*latent, options).status().message()), HasSubstr("latent"));
}

TEST_F(AdapterTest, GpusLeaveAdaptedUnitsToProcessors) {
  const std::shared_ptr<const GgufFile> model = *GroupedModel().Build();
  ModelOptions options;
  options.adapter = *OpenAdapters({{LoraFile(*model, 3, {"attn_q", "ffn_up"}).Write("gpu.gguf")}}, *model);
  const ModelOutline outline = *OutlineModel(*model, options);
  for (const UnitKind kind : {UnitKind::kHeads, UnitKind::kNeurons}) {
    EXPECT_THAT(std::string(GpuDevice::Supports(outline, {kind, 0, 0}, KvType::kF32).message()),
                HasSubstr("LoRA adapters"));
  }
  EXPECT_TRUE(GpuDevice::Supports(outline, {UnitKind::kOutput, 0, 0}, KvType::kF32).ok());
}

}  // namespace
}  // namespace hearth
