#include "engine/tools/predictor_layer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/file/gguf_skeleton.h"
#include "engine/neuron/ffn_observer.h"
#include "engine/neuron/profile_file.h"
#include "engine/outline/default_sparsity.h"
#include "engine/outline/ffn_layers.h"
#include "engine/tools/observed_device.h"
#include "tests/engine/model/fixture.h"
#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

constexpr uint32_t kEmbd = 32, kNeurons = 64, kRank = 32;
constexpr DecoderOptions kOptions = {.sequences = 1, .context_length = 32, .max_rows = 8};

TinyModel ReluModel() {
  TinyModel model;
  model.Set("hearth.ffn_activation", std::string("relu"));
  return model;
}

// A profile with a predictor for each of `layers`; its halves are the first values of the matrix in question,
// so that it is right about half of the time.
std::shared_ptr<const GgufFile> ProfileOf(const GgufFile& model, std::vector<uint32_t> layers,
                                          uint32_t rank = kRank) {
  GgufWriter writer;
  DescribeProfile(model, 1000, {}, writer);
  for (const uint32_t layer : layers) {
    Predictor predictor;
    predictor.rank = rank;
    for (size_t i = 0; i < rank * kEmbd; ++i) {
      predictor.fc1.push_back(std::sin(static_cast<float>(i * 37 + layer)));
    }
    predictor.fc1_bias.assign(rank, 0);
    predictor.fc1_bias[0] = 4;
    for (size_t i = 0; i < kNeurons * rank; ++i) {
      predictor.fc2.push_back(std::cos(static_cast<float>(i * 53 + layer)));
    }
    AddPredictor(layer, predictor, writer);
  }
  const std::string path = ::testing::TempDir() + "hearth_predictor_layer.profile";
  EXPECT_TRUE(writer.Write(path).ok());
  return OpenProfile(path, model).value();
}

std::vector<float> Floats(const GgufFile& file, const std::string& name) {
  const GgufTensor& tensor = *file.FindTensor(name);
  std::vector<float> values(tensor.values());
  Dequantize(tensor.type, tensor.data, values.size(), values.data());
  return values;
}

double RowDot(const std::vector<float>& matrix, size_t row, const std::vector<float>& x) {
  double sum = 0;
  for (size_t c = 0; c < x.size(); ++c) sum += double{matrix[row * x.size() + c]} * x[c];
  return sum;
}

// One row of one layer: what went in and which neurons were computed.
struct Seen {
  std::vector<float> x, hidden;
  std::map<uint32_t, float> h;
};

class Recorder : public FfnObserver {
 public:
  void OnRequest(const FfnRequest& request) override {
    for (uint32_t row = 0; row < request.rows; ++row) {
      const float* x = request.x + row * kEmbd;
      Seen& seen = at({request.layer, row});
      seen.x.assign(x, x + kEmbd);
      if (request.hidden != nullptr)
        seen.hidden.assign(request.hidden + row * kRank, request.hidden + (row + 1) * kRank);
    }
  }
  void OnHidden(const FfnRequest& request, uint32_t, uint32_t row, absl::Span<const uint32_t> ids,
                const float* h) override {
    Seen& seen = at({request.layer, row});
    for (size_t i = 0; i < ids.size(); ++i) seen.h[ids[i]] = h[i];
  }
  Seen& at(std::pair<uint32_t, uint32_t> layer_and_row) {
    const std::scoped_lock lock(mutex_);
    return seen_[layer_and_row];
  }

 private:
  std::mutex mutex_;
  std::map<std::pair<uint32_t, uint32_t>, Seen> seen_;
};

class PredictorLayerTest : public ::testing::Test {
 protected:
  // Evaluates a prompt token and, in the same step, two generated ones.
  void Run(std::shared_ptr<const GgufFile> file, std::shared_ptr<const GgufFile> profile) {
    const ModelOptions options{.sparsity = SparsityMode::kPredicted, .profile = std::move(profile)};
    runtime_ = Runtime::Make(std::move(file), options, kOptions, pool_).value();
    ObservedDevice device(*runtime_->devices.share->devices()[0], {&recorder_});
    runtime_->decoder->SetDevices({&device});
    std::vector<float> logits(3 * runtime_->model->spec().n_vocab);
    ASSERT_TRUE(runtime_->decoder
                    ->Step({{0, 0, 1, true, true}, {0, 1, 2, true}, {0, 2, 3, true}}, absl::MakeSpan(logits))
                    .ok());
  }

  // What the layer must have done with a row: `keep` says which neurons are computed.
  template <class Keep>
  void ExpectComputed(uint32_t layer, uint32_t row, Keep keep) {
    const GgufFile& file = runtime_->model->file();
    const std::string name = "blk." + std::to_string(layer) + ".";
    const std::vector<float> gate = Floats(file, name + "ffn_gate.weight");
    const std::vector<float> up = Floats(file, name + "ffn_up.weight");
    const Seen& seen = recorder_.at({layer, row});
    for (uint32_t i = 0; i < kNeurons; ++i) {
      const double h = std::max(0.0, RowDot(gate, i, seen.x)) * RowDot(up, i, seen.x);
      const std::optional<bool> kept = keep(i);
      if (!kept || std::abs(h) < 1e-6) continue;  // too close to call
      const auto computed = seen.h.find(i);
      ASSERT_EQ(computed != seen.h.end(), *kept) << "layer " << layer << " row " << row << " neuron " << i;
      if (*kept) {
        ASSERT_NEAR(computed->second, h, 1e-4);
      }
    }
  }

  // The rule of profile_file.h in double precision.
  void ExpectPredicted(const GgufFile& profile, uint32_t layer, uint32_t row) {
    const std::string name = "blk." + std::to_string(layer) + ".";
    const std::vector<float> fc1 = Floats(profile, name + "fc1.weight"),
                             bias = Floats(profile, name + "fc1.bias");
    const std::vector<float> fc2 = Floats(profile, name + "fc2.weight");
    const Seen& seen = recorder_.at({layer, row});
    std::vector<float> hidden(kRank);
    for (uint32_t r = 0; r < kRank; ++r) {
      hidden[r] = static_cast<float>(RowDot(fc1, r, seen.x) + bias[r]);
      ASSERT_NEAR(seen.hidden[r], hidden[r], 1e-4);
    }
    ExpectComputed(layer, row, [&](uint32_t i) -> std::optional<bool> {
      const double score = RowDot(fc2, i, hidden);
      if (std::abs(score) < 1e-3) return std::nullopt;
      return score > 0;
    });
  }

  ThreadPool pool_{2};
  Recorder recorder_;
  std::optional<Runtime> runtime_;
};

TEST_F(PredictorLayerTest, GeneratedTokensFollowTheRuleOfTheProfile) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value(),
                                        profile = ProfileOf(*file, {0, 1});
  Run(file, profile);
  for (const uint32_t layer : {0, 1}) {
    for (const uint32_t row : {1, 2}) ExpectPredicted(*profile, layer, row);
  }
}

TEST_F(PredictorLayerTest, PromptsAreComputedExactly) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value();
  Run(file, ProfileOf(*file, {0, 1}));
  for (const uint32_t layer : {0, 1}) ExpectComputed(layer, 0, [](uint32_t) { return true; });
}

TEST_F(PredictorLayerTest, LayersWithoutAPredictorAreComputedExactly) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value(), profile = ProfileOf(*file, {1});
  Run(file, profile);
  ExpectComputed(0, 1, [](uint32_t) { return true; });
  ExpectPredicted(*profile, 1, 1);
}

TEST_F(PredictorLayerTest, PredictorsOfTheProfileReplaceThoseOfTheFile) {
  TinyModel model = ReluModel();
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    model.AddTensor(layer + "fc1.weight", {32, 16});
    model.AddTensor(layer + "fc2.weight", {16, 64});
  }
  const std::shared_ptr<const GgufFile> file = model.Build().value(), profile = ProfileOf(*file, {0, 1});
  Run(file, profile);
  ExpectPredicted(*profile, 0, 1);
}

TEST_F(PredictorLayerTest, PredictorsMakePredictedTheDefault) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value(), profile = ProfileOf(*file, {1});
  EXPECT_EQ(DefaultSparsity(*file, {})->mode, SparsityMode::kExact);
  EXPECT_EQ(DefaultSparsity(*file, {.profile = profile})->mode, SparsityMode::kPredicted);
}

TEST_F(PredictorLayerTest, AHostWithoutTheFilesOutlinesTheSame) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value(), profile = ProfileOf(*file, {1});
  ModelOptions options{.sparsity = SparsityMode::kPredicted, .profile = profile};
  const ModelOutline whole = OutlineModel(*file, options).value();
  const auto skeleton = ParseSkeleton(MakeSkeleton(*file, profile.get()).value(), "skeleton").value();
  options.profile = nullptr;
  const ModelOutline outline = OutlineModel(*skeleton, options).value();
  for (const uint32_t layer : {0, 1}) {
    EXPECT_EQ(outline.ffn_specs[layer].predictor_rank, layer == 1 ? kRank : 0);
    EXPECT_EQ(outline.ffn_specs[layer].predictor_type, whole.ffn_specs[layer].predictor_type);
    EXPECT_EQ(outline.spec.layers[layer].ffn.predictor_linear, layer == 1);
    EXPECT_EQ(outline.neuron_groups[layer].size(), whole.neuron_groups[layer].size());
  }
  EXPECT_EQ(outline.leader_weight_bytes, whole.leader_weight_bytes);
}

TEST_F(PredictorLayerTest, RefusesAPredictorOfAnotherRankOrWidth) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value();
  GgufWriter writer;
  DescribeProfile(*file, 1000, {}, writer);
  writer.AddFloats("blk.0.fc1.weight", {kEmbd, 8}, std::vector<float>(kEmbd * 8));
  writer.AddFloats("blk.0.fc2.weight", {16, kNeurons}, std::vector<float>(16 * kNeurons));
  const std::string path = ::testing::TempDir() + "hearth_wrong_rank.profile";
  ASSERT_TRUE(writer.Write(path).ok());
  const ModelOptions options{.sparsity = SparsityMode::kPredicted,
                             .profile = OpenProfile(path, *file).value()};
  const absl::Status status = OutlineModel(*file, options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("blk.0.fc2.weight"));
}

TEST_F(PredictorLayerTest, RefusesAPredictorOfAnUnknownKind) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value();
  GgufWriter writer;
  writer.Set("hearth.predictor.0", std::string("cubic"));
  writer.AddFloats("blk.0.fc1.weight", {kEmbd, 8}, std::vector<float>(kEmbd * 8));
  const std::vector<uint8_t> bytes = writer.Serialize().value();
  const auto profile = GgufFile::Parse(bytes, "p").value();
  const absl::Status status = ReadModelSpec(*file, {.profile = profile.get()}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("hearth.predictor.0"));
}

TEST_F(PredictorLayerTest, TaskHoldsTheGateAndTheMassOfHeldOutTokens) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value();
  Runtime runtime = Runtime::Make(file, {.sparsity = SparsityMode::kExact}, kOptions, pool_).value();
  std::vector<float> inputs(40 * kEmbd);
  for (size_t i = 0; i < inputs.size(); ++i) inputs[i] = std::sin(static_cast<float>(i * 29));
  const PredictorTask task = MakePredictorTask(runtime.model->outline(), 1, inputs,
                                               *runtime.devices.share->devices()[0], kOptions.max_rows)
                                 .value();
  EXPECT_EQ(task.inputs.size(), 30 * kEmbd);
  EXPECT_EQ(task.held_out, std::vector<float>(inputs.begin() + 30 * kEmbd, inputs.end()));
  EXPECT_EQ(task.gate, Floats(*file, "blk.1.ffn_gate.weight"));
  EXPECT_EQ(task.gate_bytes, 4 * kEmbd);
  EXPECT_EQ(task.rest_bytes, 8 * kEmbd);
  const std::vector<float> up = Floats(*file, "blk.1.ffn_up.weight"),
                           down = Floats(*file, "blk.1.ffn_down.weight");
  for (size_t t = 0; t < 10; ++t) {
    const std::vector<float> x(task.held_out.begin() + t * kEmbd, task.held_out.begin() + (t + 1) * kEmbd);
    for (size_t i = 0; i < kNeurons; ++i) {
      double squares = 0;
      for (size_t c = 0; c < kEmbd; ++c) squares += std::pow(down[c * kNeurons + i], 2);
      const double h = std::max(0.0, RowDot(task.gate, i, x)) * RowDot(up, i, x);
      ASSERT_NEAR(task.mass[t * kNeurons + i], std::abs(h) * std::sqrt(squares), 1e-4);
    }
  }
}

TEST_F(PredictorLayerTest, TooFewTokensAreRefused) {
  const std::shared_ptr<const GgufFile> file = ReluModel().Build().value();
  Runtime runtime = Runtime::Make(file, {.sparsity = SparsityMode::kExact}, kOptions, pool_).value();
  const auto task = MakePredictorTask(runtime.model->outline(), 0, std::vector<float>(3 * kEmbd),
                                      *runtime.devices.share->devices()[0], kOptions.max_rows);
  EXPECT_THAT(std::string(task.status().message()), ::testing::HasSubstr("too short"));
}

TEST(CanPredict, OnlyOneBlockOfTheReluFamily) {
  FfnLayerSpec spec;
  spec.block_neurons = {8};
  EXPECT_FALSE(CanPredict(spec));  // SiLU
  spec.activation = Activation::kReluSquared;
  EXPECT_TRUE(CanPredict(spec));
  spec.block_neurons = {8, 8};
  EXPECT_FALSE(CanPredict(spec));
}

}  // namespace
}  // namespace hearth
