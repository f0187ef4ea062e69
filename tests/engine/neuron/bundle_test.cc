#include "engine/neuron/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "tests/engine/neuron/ffn_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

FfnLayerSpec SmallSpec() {
  FfnLayerSpec spec;
  spec.n_embd = 8;
  spec.gate.present = true;
  return spec;
}

float FloatAt(const std::vector<uint8_t>& bytes, uint64_t offset, uint64_t index) {
  float value;
  std::memcpy(&value, bytes.data() + offset + index * sizeof(float), sizeof(float));
  return value;
}

TEST(Bundle, HoldsTheRowsAndColumnsOfItsNeurons) {
  const FfnFixture ffn(SmallSpec(), 1, 12);
  const NeuronGroup group{0, {3, 4, 9}, 1};
  const std::vector<uint8_t> bytes = ffn.Bundle(group);
  const BundleLayout layout = *MakeBundleLayout(ffn.spec(), 0, 3, false);
  const FfnBlockSource& block = ffn.source().blocks[0];
  for (uint32_t i = 0; i < 3; ++i) {
    for (uint32_t c = 0; c < 8; ++c) {
      EXPECT_EQ(FloatAt(bytes, layout.Find(BundlePart::kGate)->offset, i * 8 + c),
                ffn.At(block.gate, group.neurons[i], c));
      EXPECT_EQ(FloatAt(bytes, layout.Find(BundlePart::kUp)->offset, i * 8 + c),
                ffn.At(block.up, group.neurons[i], c));
      EXPECT_EQ(FloatAt(bytes, layout.Find(BundlePart::kDown)->offset, c * 3 + i),
                ffn.At(block.down, c, group.neurons[i]));
    }
  }
}

TEST(Bundle, DownBiasTravelsWithTheFirstGroupOnly) {
  FfnLayerSpec spec = SmallSpec();
  spec.down_bias = true;
  const FfnFixture ffn(spec, 1, 12);
  EXPECT_TRUE(IsFirstOfBlock({0, {0, 5}, 1}));
  EXPECT_FALSE(IsFirstOfBlock({0, {1, 5}, 1}));
  EXPECT_NE(MakeBundleLayout(ffn.spec(), 0, 4, true)->Find(BundlePart::kDownBias), nullptr);
  EXPECT_EQ(MakeBundleLayout(ffn.spec(), 0, 4, false)->Find(BundlePart::kDownBias), nullptr);
}

TEST(Bundle, PartsStartAtMultiplesOf64) {
  const FfnFixture ffn(SmallSpec(), 1, 12);
  const BundleLayout layout = *MakeBundleLayout(ffn.spec(), 0, 3, true);
  for (const BundleEntry& entry : layout.entries) EXPECT_EQ(entry.offset % 64, 0u);
}

TEST(Bundle, RefusesAGroupLargerThanItsBlock) {
  const FfnFixture ffn(SmallSpec(), 1, 12);
  const auto layout = MakeBundleLayout(ffn.spec(), 0, 13, true);
  EXPECT_EQ(layout.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(layout.status().message()), HasSubstr("13 neurons"));
}

TEST(Bundle, RefusesAnEmptyGroupAndAnUnknownBlock) {
  const FfnFixture ffn(SmallSpec(), 1, 12);
  EXPECT_FALSE(MakeBundleLayout(ffn.spec(), 0, 0, true).ok());
  EXPECT_FALSE(MakeBundleLayout(ffn.spec(), 1, 4, true).ok());
}

TEST(Bundle, RefusesPartOfAQuantisedBlock) {
  FfnLayerSpec spec = SmallSpec();
  spec.n_embd = 32;
  spec.block_neurons = {64};
  spec.up.present = spec.down.present = true;
  spec.down.type = TensorType::kQ8_0;
  EXPECT_TRUE(MakeBundleLayout(spec, 0, 32, true).ok());
  EXPECT_FALSE(MakeBundleLayout(spec, 0, 33, true).ok());
}

TEST(Bundle, RefusesSizesThatOverflow) {
  FfnLayerSpec spec = SmallSpec();
  spec.n_embd = std::numeric_limits<uint32_t>::max();
  spec.block_neurons = {std::numeric_limits<uint32_t>::max()};
  spec.up.present = spec.down.present = true;
  EXPECT_FALSE(MakeBundleLayout(spec, 0, std::numeric_limits<uint32_t>::max(), true).ok());
}

}  // namespace
}  // namespace hearth
