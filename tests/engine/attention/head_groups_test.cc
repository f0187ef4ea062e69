#include "engine/attention/head_groups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::SizeIs;

LayerSpec Layer(uint32_t heads, uint32_t kv_heads, uint32_t value_dim) {
  LayerSpec layer;
  layer.attention.heads = heads;
  layer.attention.kv_heads = kv_heads;
  layer.attention.key_dim = layer.attention.value_dim = value_dim;
  return layer;
}

TEST(MakeHeadGroups, GroupsEndWhereStripsDo) {
  EXPECT_THAT(MakeHeadGroups(Layer(32, 8, 128), TensorType::kQ4_0), SizeIs(8));
  // Heads of 128 columns: two for a strip of 256.
  EXPECT_THAT(MakeHeadGroups(Layer(32, 32, 128), TensorType::kQ4_0), SizeIs(16));
}

TEST(MakeHeadGroups, BlocksOf256ThatSpanTwoHeadsStayWhole) {
  EXPECT_THAT(MakeHeadGroups(Layer(4, 4, 128), TensorType::kQ4_K),
              ElementsAre(HeadGroup{0, 2}, HeadGroup{2, 2}));
  // Three heads of 128 have no multiple of 256 but all or none.
  EXPECT_THAT(MakeHeadGroups(Layer(3, 3, 128), TensorType::kQ4_K), ElementsAre(HeadGroup{0, 3}));
}

TEST(MakeHeadGroups, NarrowHeadsStillSplitWhereTheTypeAllows) {
  EXPECT_THAT(MakeHeadGroups(Layer(4, 2, 8), TensorType::kF32), SizeIs(2));
  EXPECT_THAT(MakeHeadGroups(Layer(8, 4, 16), TensorType::kQ8_0), SizeIs(4));
  EXPECT_THAT(MakeHeadGroups(Layer(4, 4, 8), TensorType::kQ8_0), SizeIs(1));
}

TEST(MakeHeadGroups, OneKvHeadIsOneGroup) {
  EXPECT_THAT(MakeHeadGroups(Layer(71, 1, 64), TensorType::kF16), ElementsAre(HeadGroup{0, 1}));
}

TEST(MakeHeadGroups, WhatMixesAllHeadsAtOnceStaysWhole) {
  LayerSpec whole_norm = Layer(8, 8, 64);
  whole_norm.attention.qk_norm = QkNorm::kWhole;
  EXPECT_THAT(MakeHeadGroups(whole_norm, TensorType::kF16), ElementsAre(HeadGroup{0, 8}));
  LayerSpec output_norm = Layer(8, 8, 64);
  output_norm.attention.output_norm = true;
  EXPECT_THAT(MakeHeadGroups(output_norm, TensorType::kF16), ElementsAre(HeadGroup{0, 8}));
  LayerSpec latent = Layer(8, 8, 64);
  latent.mixer = MixerKind::kLatentAttention;
  EXPECT_THAT(MakeHeadGroups(latent, TensorType::kF16), ElementsAre(HeadGroup{0, 8}));
  LayerSpec convolution;
  convolution.mixer = MixerKind::kShortConvolution;
  EXPECT_THAT(MakeHeadGroups(convolution, TensorType::kF16), ElementsAre(HeadGroup{0, 1}));
}

TEST(NarrowToGroups, KeepsTheQueryHeadsOfTheKvHeads) {
  const std::vector<HeadGroup> groups = {{1, 1}, {3, 2}};
  const LayerSpec narrow = NarrowToGroups(Layer(32, 8, 64), groups);
  EXPECT_EQ(narrow.attention.kv_heads, 3u);
  EXPECT_EQ(narrow.attention.heads, 12u);
}

}  // namespace
}  // namespace hearth
