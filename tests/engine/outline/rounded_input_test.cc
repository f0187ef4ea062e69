#include "engine/outline/rounded_input.h"

#include <gtest/gtest.h>

#include "tests/engine/model/tiny_model.h"

namespace hearth {
namespace {

// A model whose matrices of layer 0 are all of `type`.
TinyModel ModelOf(TensorType type) {
  TinyModel model;
  for (const char* name : {"attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"}) {
    model.SetType(std::string("blk.0.") + name + ".weight", type);
  }
  return model;
}

uint32_t Block(const TinyModel& model, UnitKind kind, uint32_t layer = 0,
               Arithmetic arithmetic = Arithmetic::kFast) {
  const std::shared_ptr<const GgufFile> file = *model.Build();
  ModelOptions options;
  options.arithmetic = arithmetic;
  return RoundedInputBlock(*OutlineModel(*file, options), kind, layer);
}

TEST(RoundedInputBlock, IsThatOfTheWeights) {
  const TinyModel model = ModelOf(TensorType::kQ4_0);
  EXPECT_EQ(Block(model, UnitKind::kHeads), 32u);
  EXPECT_EQ(Block(model, UnitKind::kNeurons), 32u);
}

TEST(RoundedInputBlock, OfOutputRowsIsThatOfTheHead) {
  TinyModel model;
  EXPECT_EQ(Block(model, UnitKind::kOutput), 0u);
  model.SetType("token_embd.weight", TensorType::kQ8_0);  // tied
  EXPECT_EQ(Block(model, UnitKind::kOutput), 32u);
}

TEST(RoundedInputBlock, IsNoneForFloatWeights) {
  const TinyModel model = ModelOf(TensorType::kQ4_0);
  EXPECT_EQ(Block(model, UnitKind::kHeads, 1), 0u);
  EXPECT_EQ(Block(model, UnitKind::kNeurons, 1), 0u);
}

TEST(RoundedInputBlock, IsNoneForFloatArithmetic) {
  const TinyModel model = ModelOf(TensorType::kQ4_0);
  EXPECT_EQ(Block(model, UnitKind::kHeads, 0, Arithmetic::kFloat32), 0u);
  EXPECT_EQ(Block(model, UnitKind::kNeurons, 0, Arithmetic::kFloat32), 0u);
}

TEST(RoundedInputBlock, IsNoneWhereOneOfTheMatricesDoesNotRound) {
  TinyModel model = ModelOf(TensorType::kQ4_0);
  model.SetType("blk.0.attn_v.weight", TensorType::kF16);
  model.SetType("blk.0.ffn_gate.weight", TensorType::kF16);
  EXPECT_EQ(Block(model, UnitKind::kHeads), 0u);
  EXPECT_EQ(Block(model, UnitKind::kNeurons), 0u);
}

TEST(RoundedInputBlock, IgnoresWhatMultipliesTheUnitsOwnResults) {
  TinyModel model = ModelOf(TensorType::kQ4_0);
  model.SetType("blk.0.attn_output.weight", TensorType::kF16);
  model.SetType("blk.0.ffn_down.weight", TensorType::kF16);
  EXPECT_EQ(Block(model, UnitKind::kHeads), 32u);
  EXPECT_EQ(Block(model, UnitKind::kNeurons), 32u);
}

}  // namespace
}  // namespace hearth
