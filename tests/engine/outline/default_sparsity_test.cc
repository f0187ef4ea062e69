#include "engine/outline/default_sparsity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

SparsityChoice ChoiceOf(const TinyModel& model) {
  const std::shared_ptr<const GgufFile> file = *model.Build();
  const absl::StatusOr<SparsityChoice> choice = DefaultSparsity(*file, {});
  EXPECT_TRUE(choice.ok()) << choice.status();
  return choice.value_or(SparsityChoice{SparsityMode::kDense, "failed"});
}

TinyModel ReluModel() {
  TinyModel model;
  model.Set("hearth.ffn_activation", std::string("relu"));
  return model;
}

// ReLU squared and no gate.
TinyModel WithoutGate() {
  TinyModel model("arcee");
  for (const char* layer : {"blk.0.", "blk.1."}) model.EraseTensor(std::string(layer) + "ffn_gate.weight");
  return model;
}

// Stores `down` in a type that cannot be read by neuron.
void StoreDownInBlocks(TinyModel& model, const std::string& architecture) {
  model.Set(architecture + ".feed_forward_length", uint64_t{256});
  for (const std::string layer : {"blk.0.", "blk.1."}) {
    if (architecture == "llama") model.AddTensor(layer + "ffn_gate.weight", {32, 256});
    model.AddTensor(layer + "ffn_up.weight", {32, 256});
    model.AddTensor(layer + "ffn_down.weight", {256, 32});
    model.SetType(layer + "ffn_down.weight", TensorType::kQ4_K);
  }
}

void SetFiring(TinyModel& model, float first_layer, float second_layer) {
  model.Set("hearth.profile.tokens", uint64_t{1000});
  model.Set("hearth.profile.0", std::vector<float>(64, first_layer));
  model.Set("hearth.profile.1", std::vector<float>(64, second_layer));
}

TEST(DefaultSparsityTest, NeuronsThatAlwaysFireAreComputedDense) {
  const SparsityChoice choice = ChoiceOf(TinyModel());
  EXPECT_EQ(choice.mode, SparsityMode::kDense);
  EXPECT_THAT(choice.why, HasSubstr("without ReLU"));
}

TEST(DefaultSparsityTest, ReluMakesExactTheDefault) {
  const SparsityChoice choice = ChoiceOf(ReluModel());
  EXPECT_EQ(choice.mode, SparsityMode::kExact);
  EXPECT_THAT(choice.why, HasSubstr("ReLU"));
}

TEST(DefaultSparsityTest, ReluSquaredWithoutAGateSkipsDown) {
  EXPECT_EQ(ChoiceOf(WithoutGate()).mode, SparsityMode::kExact);
}

TEST(DefaultSparsityTest, PredictorsMakePredictedTheDefault) {
  TinyModel model = ReluModel();
  model.AddTensor("blk.1.fc1.weight", {32, 16});
  model.AddTensor("blk.1.fc2.weight", {16, 64});
  const SparsityChoice choice = ChoiceOf(model);
  EXPECT_EQ(choice.mode, SparsityMode::kPredicted);
  EXPECT_THAT(choice.why, HasSubstr("predictors"));
}

TEST(DefaultSparsityTest, TypesThatLetNothingBeSkippedMakeItDense) {
  TinyModel model = WithoutGate();
  StoreDownInBlocks(model, "arcee");
  const SparsityChoice choice = ChoiceOf(model);
  EXPECT_EQ(choice.mode, SparsityMode::kDense);
  EXPECT_THAT(choice.why, HasSubstr("types"));
}

TEST(DefaultSparsityTest, AGateLetsUpBeSkippedWhateverTheTypes) {
  TinyModel model = ReluModel();
  StoreDownInBlocks(model, "llama");
  EXPECT_EQ(ChoiceOf(model).mode, SparsityMode::kExact);
}

TEST(DefaultSparsityTest, AProfileInWhichFewFireKeepsItExact) {
  TinyModel model = ReluModel();
  SetFiring(model, 0.4f, 0.06f);
  const SparsityChoice choice = ChoiceOf(model);
  EXPECT_EQ(choice.mode, SparsityMode::kExact);
  EXPECT_EQ(choice.why, "its profile says that 23 % of the neurons fire");
}

TEST(DefaultSparsityTest, AProfileInWhichManyFireMakesItDense) {
  TinyModel model = ReluModel();
  SetFiring(model, 0.4f, 0.2f);
  const SparsityChoice choice = ChoiceOf(model);
  EXPECT_EQ(choice.mode, SparsityMode::kDense);
  EXPECT_THAT(choice.why, HasSubstr("30 %"));
}

TEST(DefaultSparsityTest, LayersThatAProfileDoesNotKnowCountForNothing) {
  TinyModel model = ReluModel();
  model.Set("hearth.profile.tokens", uint64_t{1000});
  model.Set("hearth.profile.1", std::vector<float>(64, 0.5f));
  EXPECT_EQ(ChoiceOf(model).mode, SparsityMode::kDense);
}

TEST(DefaultSparsityTest, AProfileOfNoMeasuredTextCountsForNothing) {
  TinyModel model = ReluModel();
  SetFiring(model, 0.5f, 0.5f);
  model.Erase("hearth.profile.tokens");
  EXPECT_EQ(ChoiceOf(model).mode, SparsityMode::kExact);
}

TEST(DefaultSparsityTest, AFileThatIsNoModelIsRefused) {
  TinyModel model = ReluModel();
  model.EraseTensor("blk.1.ffn_down.weight");
  const std::shared_ptr<const GgufFile> file = *model.Build();
  EXPECT_THAT(std::string(DefaultSparsity(*file, {}).status().message()), HasSubstr("blk.1.ffn_down.weight"));
}

}  // namespace
}  // namespace hearth
