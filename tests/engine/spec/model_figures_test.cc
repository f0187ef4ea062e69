#include "engine/spec/model_figures.h"

#include <string>

#include "engine/outline/model_outline.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

ModelFigures Small() {
  return {.architecture = "llama",
          .weights = "Q4_K_M",
          .layers = 8,
          .embedding = 256,
          .feed_forward = 512,
          .heads = 4,
          .kv_heads = 2,
          .vocabulary = 1000,
          .context = 2048};
}

TensorType TypeOf(const GgufFile& file, const std::string& tensor) {
  const GgufTensor* const found = file.FindTensor(tensor);
  EXPECT_NE(found, nullptr) << tensor;
  return found == nullptr ? TensorType::kF32 : found->type;
}

absl::Status StatusOf(const ModelFigures& figures) {
  const auto file = FileOfFigures(figures);
  return file.ok() ? OutlineModel(**file, {}).status() : file.status();
}

TEST(ModelFiguresTest, SumsTheBlocksOfEveryMatrix) {
  ModelFigures figures = Small();
  figures.weights = "Q8_0";
  figures.layers = 1;
  const auto file = FileOfFigures(figures);
  ASSERT_TRUE(file.ok()) << file.status();
  // 34 bytes for 32 values: embedding, which is the head as well; q, output, k, v; gate, up, down.
  const uint64_t values = 256 * 1000 + 2 * 256 * 256 + 2 * 256 * 128 + 3 * 256 * 512;
  EXPECT_EQ(TensorBytes(**file), values / 32 * 34 + 3 * 256 * 4);
}

TEST(ModelFiguresTest, MixtureGivesMoreBitsWhereLlamaCppDoes) {
  const auto file = FileOfFigures(Small());
  ASSERT_TRUE(file.ok()) << file.status();
  std::string more;  // one letter per layer
  for (int layer = 0; layer < 8; ++layer) {
    const std::string block = "blk." + std::to_string(layer) + ".";
    EXPECT_EQ(TypeOf(**file, block + "attn_q.weight"), TensorType::kQ4_K);
    EXPECT_EQ(TypeOf(**file, block + "attn_v.weight"), TypeOf(**file, block + "ffn_down.weight"));
    more += TypeOf(**file, block + "ffn_down.weight") == TensorType::kQ6_K ? '6' : '4';
  }
  EXPECT_EQ(more, "64464466");
  EXPECT_EQ(TypeOf(**file, "token_embd.weight"), TensorType::kQ6_K) << "it is the head as well";
}

TEST(ModelFiguresTest, RowsThatAreNoWholeBlocksGetAnotherType) {
  ModelFigures figures = Small();
  figures.embedding = 288;
  figures.head_size = 64;
  const auto file = FileOfFigures(figures);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(TypeOf(**file, "blk.1.ffn_up.weight"), TensorType::kQ5_0);
  EXPECT_EQ(TypeOf(**file, "token_embd.weight"), TensorType::kQ8_0);
  EXPECT_EQ(TypeOf(**file, "blk.1.ffn_down.weight"), TensorType::kQ4_K) << "512 columns";
}

TEST(ModelFiguresTest, ExpertsHaveTheirOwnTypeInAMixtureForThem) {
  ModelFigures figures = Small();
  figures.weights = "MXFP4";
  figures.experts = 4;
  figures.experts_used = 2;
  const auto file = FileOfFigures(figures);
  ASSERT_TRUE(file.ok()) << file.status();
  EXPECT_EQ(TypeOf(**file, "blk.0.ffn_down_exps.weight"), TensorType::kMXFP4);
  EXPECT_EQ(TypeOf(**file, "blk.0.attn_q.weight"), TensorType::kQ8_0);
  EXPECT_EQ(TypeOf(**file, "blk.0.ffn_gate_inp.weight"), TensorType::kF32);
}

TEST(ModelFiguresTest, WhatIsNotKnownIsNamedWithWhatIs) {
  ModelFigures figures = Small();
  figures.architecture = "abacus\n";
  EXPECT_EQ(StatusOf(figures).code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(StatusOf(figures).message()),
              HasSubstr("\"abacus\\n\" is not known; known are llama"));
  figures = Small();
  figures.weights = "Q4_K_XXL";
  EXPECT_EQ(StatusOf(figures).code(), absl::StatusCode::kUnimplemented);
  EXPECT_THAT(std::string(StatusOf(figures).message()), HasSubstr("known are Q4_K_M, MXFP4, F32"));
}

TEST(ModelFiguresTest, FiguresOfWhichNoModelCanBeAreRefused) {
  const auto refused = [](auto change) {
    ModelFigures figures = Small();
    change(figures);
    return absl::IsInvalidArgument(StatusOf(figures));
  };
  EXPECT_TRUE(StatusOf(Small()).ok()) << StatusOf(Small());
  EXPECT_TRUE(refused([](ModelFigures& f) { f.layers = 0; }));
  EXPECT_TRUE(refused([](ModelFigures& f) { f.layers = 100000; }));
  EXPECT_TRUE(refused([](ModelFigures& f) { f.heads = 0; }));
  EXPECT_TRUE(refused([](ModelFigures& f) { f.kv_heads = 3; }));
  EXPECT_TRUE(refused([](ModelFigures& f) { f.vocabulary = UINT32_MAX; }));
  EXPECT_TRUE(refused([](ModelFigures& f) { f.head_size = UINT32_MAX; }));
  EXPECT_TRUE(refused([](ModelFigures& f) { f.experts = 8; })) << "none of them is used";
  EXPECT_TRUE(refused([](ModelFigures& f) { f.experts = f.experts_used = UINT32_MAX; }));
  EXPECT_TRUE(refused([](ModelFigures& f) { f.feed_forward = 9 << 20; })) << "in 8 layers";
  EXPECT_TRUE(refused([](ModelFigures& f) {
    f.vocabulary = f.feed_forward = 1 << 24;
    f.layers = 1024;
  }));
}

TEST(ModelFiguresTest, ArchitectureOfWhichTheyDoNotTellEnoughIsRefused) {
  ModelFigures figures = Small();
  figures.architecture = "deepseek2";
  EXPECT_TRUE(absl::IsInvalidArgument(StatusOf(figures))) << StatusOf(figures);
}

}  // namespace
}  // namespace hearth
