#include "engine/model/model.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/model/fixture.h"
#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class ModelTest : public ::testing::Test {
 protected:
  absl::StatusOr<std::shared_ptr<const Model>> Load(ModelOptions options = {}) {
    absl::StatusOr<std::shared_ptr<const GgufFile>> file = tiny_.Build();
    if (!file.ok()) return file.status();
    return Model::Load(*file, options, pool_);
  }

  // The error of loading, which must be one line.
  absl::Status Error(ModelOptions options = {}) {
    const absl::Status status = Load(options).status();
    EXPECT_FALSE(status.ok());
    EXPECT_EQ(std::string(status.message()).find('\n'), std::string::npos);
    return status;
  }

  ThreadPool pool_{1};
  TinyModel tiny_;
};

TEST_F(ModelTest, CompleteFileLoads) {
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  const ModelSpec& spec = (*model)->spec();
  EXPECT_EQ(spec.n_vocab, 20u);
  EXPECT_THAT(spec.layers, SizeIs(2));
  EXPECT_EQ((*model)->outline().ffn_specs[0].block_neurons, std::vector<uint32_t>{64});
}

TEST_F(ModelTest, UnknownArchitectureIsNamedAndSupportedOnesAreListed) {
  tiny_.Set("general.architecture", std::string("abacus"));
  const absl::Status status = Error();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("abacus"), HasSubstr("llama, "), HasSubstr("gemma3")));
}

TEST_F(ModelTest, FileWithoutArchitectureIsRefused) {
  tiny_.Erase("general.architecture");
  EXPECT_THAT(std::string(Error().message()), HasSubstr("general.architecture"));
}

TEST_F(ModelTest, MissingTensorIsNamedWithItsShape) {
  tiny_.EraseTensor("blk.1.attn_k.weight");
  const absl::Status status = Error();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("blk.1.attn_k.weight"), HasSubstr("{32, 32}")));
}

TEST_F(ModelTest, MissingFeedForwardTensorIsNamed) {
  tiny_.EraseTensor("blk.0.ffn_down.weight");
  EXPECT_THAT(std::string(Error().message()), HasSubstr("blk.0.ffn_down.weight"));
}

TEST_F(ModelTest, TensorOfWrongShapeIsNamedWithBothShapes) {
  tiny_.AddTensor("blk.0.ffn_up.weight", {32, 63});
  EXPECT_THAT(std::string(Error().message()),
              AllOf(HasSubstr("blk.0.ffn_up.weight"), HasSubstr("32, 63"), HasSubstr("32, 64")));
}

TEST_F(ModelTest, BiasOfWrongLengthIsRefused) {
  tiny_.AddTensor("blk.0.attn_q.bias", {31});
  EXPECT_THAT(std::string(Error().message()), HasSubstr("blk.0.attn_q.bias"));
}

TEST_F(ModelTest, QuantisedBiasOfAFeedForwardLayerIsRefused) {
  tiny_.AddTensor("blk.0.ffn_up.bias", {64});
  EXPECT_TRUE(Load().ok());
  tiny_.SetType("blk.0.ffn_up.bias", TensorType::kQ8_0);
  const absl::Status status = Error();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("blk.0.ffn_up.bias"), HasSubstr("Q8_0")));
}

TEST_F(ModelTest, NormOfNeuronsWithDownStoredByNeuronIsRefused) {
  tiny_ = TinyModel("bitnet");
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    tiny_.AddTensor(layer + "attn_sub_norm.weight", {32});
    tiny_.AddTensor(layer + "ffn_sub_norm.weight", {64});
  }
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  tiny_.EraseTensor("blk.1.ffn_down.weight");
  tiny_.AddTensor("blk.1.ffn_down_t.weight", {32, 64});
  const absl::Status status = Error();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("layer 1"), HasSubstr("by neuron")));
}

TEST_F(ModelTest, ScaleThatIsNoNumberIsRefused) {
  tiny_.AddTensor("blk.0.ffn_down.scale", {1});
  tiny_.Fill("blk.0.ffn_down.scale", std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(std::string(Error().message()),
              AllOf(HasSubstr("layer 0"), HasSubstr("scale"), HasSubstr("nan")));
}

TEST_F(ModelTest, TensorThatNothingUsesIsRefused) {
  tiny_.AddTensor("blk.0.attn_q_norm.weight", {32});
  const absl::Status status = Error();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(status.message()), HasSubstr("blk.0.attn_q_norm.weight"));
}

TEST_F(ModelTest, MissingSizeIsNamed) {
  tiny_.Erase("llama.embedding_length");
  EXPECT_THAT(std::string(Error().message()), HasSubstr("llama.embedding_length"));
}

TEST_F(ModelTest, SizeOfWrongKindIsNamed) {
  tiny_.Set("llama.attention.head_count", std::string("many"));
  EXPECT_THAT(std::string(Error().message()), HasSubstr("llama.attention.head_count"));
}

TEST_F(ModelTest, MoreLayersThanTensorsAreRefusedBeforeAnythingIsAllocated) {
  tiny_.Set("llama.block_count", uint64_t{2000000000});
  EXPECT_THAT(std::string(Error().message()), HasSubstr("block_count"));
}

TEST_F(ModelTest, HeadsThatDoNotShareEvenlyAreRefused) {
  tiny_.Set("llama.attention.head_count", uint64_t{4});
  tiny_.Set("llama.attention.head_count_kv", uint64_t{3});
  EXPECT_THAT(std::string(Error().message()), HasSubstr("KV heads"));
}

TEST_F(ModelTest, OddRotationIsRefused) {
  tiny_.Set("llama.rope.dimension_count", uint64_t{5});
  EXPECT_THAT(std::string(Error().message()), HasSubstr("rotate"));
}

TEST_F(ModelTest, UnknownActivationIsRefused) {
  tiny_.Set("hearth.ffn_activation", std::string("tanh"));
  EXPECT_THAT(std::string(Error().message()), HasSubstr("tanh"));
}

TEST_F(ModelTest, UnknownRopeScalingIsRefused) {
  tiny_.Set("llama.rope.scaling.type", std::string("bent"));
  EXPECT_THAT(std::string(Error().message()), HasSubstr("bent"));
}

TEST_F(ModelTest, RopeScalingOptionThatIsNotUnderstoodIsRefused) {
  for (const std::string text : {"rerope", "rerope:window=0", "rerope:window=x", "linear", "bent:factor=2",
                                 "linear:window=3", "rerope:window=4,factor=2", "yarn:factor=0.5"}) {
    const absl::Status status = Error({.rope_scaling = text});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << text;
    EXPECT_THAT(std::string(status.message()), HasSubstr("use none, linear:factor=F")) << text;
  }
}

TEST_F(ModelTest, ExactSparsityNeedsRelu) {
  const absl::Status status = Error({.sparsity = SparsityMode::kExact});
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ReLU"));
  tiny_.Set("hearth.ffn_activation", std::string("relu"));
  EXPECT_TRUE(Load({.sparsity = SparsityMode::kExact}).ok());
}

TEST_F(ModelTest, PredictedSparsityNeedsPredictors) {
  tiny_.Set("hearth.ffn_activation", std::string("relu"));
  EXPECT_THAT(std::string(Error({.sparsity = SparsityMode::kPredicted}).message()), HasSubstr("fc1"));
}

TEST_F(ModelTest, ProfileOfAnotherModelIsRefused) {
  tiny_.Set("hearth.profile.0", std::vector<float>(63, 0.5f));
  EXPECT_THAT(std::string(Error().message()), HasSubstr("hearth.profile.0"));
}

TEST_F(ModelTest, FilesWithPredictorsSayWhoIsKept) {
  const auto runtime = OpenFixture("predicted_gated", pool_);
  ASSERT_TRUE(runtime.ok()) << runtime.status();
  EXPECT_FLOAT_EQ(runtime->model->outline().ffn_specs[0].sparse_threshold, 0.05f);
}

TEST_F(ModelTest, PredictorsStayInTheFileWhereTheyAreNotWanted) {
  absl::StatusOr<std::shared_ptr<const GgufFile>> file = GgufFile::Open(FixturePath("predicted_gated.gguf"));
  ASSERT_TRUE(file.ok()) << file.status();
  const auto model = Model::Load(*file, {.sparsity = SparsityMode::kExact}, pool_);
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->outline().ffn_specs[0].predictor_rank, 0u);
  EXPECT_TRUE((*model)->outline().ffn_specs[0].neuron_major);
}

TEST_F(ModelTest, OutlineSaysWhatLoadingFindsWithoutLoading) {
  const auto file = tiny_.Build();
  ASSERT_TRUE(file.ok()) << file.status();
  const auto outline = OutlineModel(**file, {});
  const auto model = Load();
  ASSERT_TRUE(outline.ok() && model.ok());
  EXPECT_EQ(outline->leader_weight_bytes, (*model)->weight_bytes());
  // Two norms per layer and that of the output, and the table of tokens, of which a token reads one row.
  EXPECT_EQ(outline->leader_bytes_per_token, sizeof(float) * (2 * 2 * 32 + 32));
  EXPECT_EQ(outline->leader_weight_bytes, outline->leader_bytes_per_token + sizeof(float) * 20 * 32);
  // Four square matrices per layer; the table of tokens once more, turned round.
  EXPECT_EQ(outline->mixer_weight_bytes, sizeof(float) * 2 * 4 * 32 * 32);
  EXPECT_EQ(outline->output_weight_bytes, sizeof(float) * 20 * 32);
  EXPECT_EQ(outline->neuron_groups.size(), (*model)->outline().neuron_groups.size());
}

TEST_F(ModelTest, OutlineFindsTheSameErrors) {
  tiny_.EraseTensor("blk.1.attn_k.weight");
  const auto file = tiny_.Build();
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_THAT(std::string(OutlineModel(**file, {}).status().message()), HasSubstr("blk.1.attn_k.weight"));
}

TEST_F(ModelTest, LayersBehindTheModelsOwnAreLeftAlone) {
  tiny_.Set("llama.block_count", uint64_t{3});
  tiny_.Set("llama.nextn_predict_layers", uint64_t{1});
  tiny_.AddTensor("blk.2.nextn.eh_proj.weight", {64, 32});
  const auto model = Load();
  ASSERT_TRUE(model.ok()) << model.status();
  EXPECT_EQ((*model)->spec().n_layers, 2u);
}

}  // namespace
}  // namespace hearth
