#include "engine/neuron/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>

#include "tests/engine/neuron/ffn_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

TEST(Bundle, DownBiasTravelsWithTheFirstGroupOnly) {
  FfnLayerSpec spec = SmallSpec();
  spec.down_bias = true;
  const FfnFixture ffn(spec, 1, 12);
  EXPECT_TRUE(IsFirstOfBlock({0, {0, 5}, 1}));
  EXPECT_FALSE(IsFirstOfBlock({0, {1, 5}, 1}));
  EXPECT_NE(MakeBundleLayout(ffn.spec(), 0, 4, true)->Find(BundlePart::kDownBias), nullptr);
  EXPECT_EQ(MakeBundleLayout(ffn.spec(), 0, 4, false)->Find(BundlePart::kDownBias), nullptr);
}

TEST(Bundle, AdapterTravelsWithItsNeurons) {
  FfnLayerSpec spec = SmallSpec();
  spec.gate_rank = 2;
  spec.up_rank = 3;
  spec.down_rank = 5;
  const FfnFixture ffn(spec, 1, 12);
  const BundleLayout layout = *MakeBundleLayout(ffn.spec(), 0, 4, false);
  const auto shape = [&](BundlePart part) {
    const BundleEntry* entry = layout.Find(part);
    return entry == nullptr ? std::pair<uint64_t, uint64_t>() : std::pair(entry->rows, entry->cols);
  };
  EXPECT_EQ(shape(BundlePart::kGateAdapter), std::pair(uint64_t{4}, uint64_t{2}));
  EXPECT_EQ(shape(BundlePart::kUpAdapter), std::pair(uint64_t{4}, uint64_t{3}));
  EXPECT_EQ(shape(BundlePart::kDownAdapter), std::pair(uint64_t{5}, uint64_t{4}));
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

}  // namespace
}  // namespace hearth
