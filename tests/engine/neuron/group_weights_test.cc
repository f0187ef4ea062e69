#include "engine/neuron/group_weights.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>

#include "tests/engine/neuron/ffn_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

float FloatAt(const std::vector<uint8_t>& bytes, uint64_t offset, uint64_t index) {
  float value;
  std::memcpy(&value, bytes.data() + offset + index * sizeof(float), sizeof(float));
  return value;
}

TEST(GroupWeights, BundleFromTheFileHoldsTheRowsAndColumnsOfItsNeurons) {
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

TEST(GroupWeights, RowsReadInPartsAreThoseOfTheBundleWhereverTheyLie) {
  for (const bool by_neuron : {false, true}) {
    FfnLayerSpec spec = SmallSpec();
    spec.neuron_major = by_neuron;
    spec.up_bias = spec.down_bias = true;
    const FfnFixture ffn(spec, 2, 12);
    const NeuronGroup group{1, {0, 3, 4, 9}, 1};
    const std::vector<uint8_t> bundle = ffn.Bundle(group);
    const GroupWeights sources[] = {*GroupWeights::FromFile(ffn.spec(), ffn.source(), group),
                                    *GroupWeights::FromBundle(ffn.spec(), group, bundle)};
    for (const GroupWeights& weights : sources) {
      for (const BundleEntry& entry : weights.layout().entries) {
        const size_t row_bytes = entry.bytes / entry.rows;
        const size_t stride = row_bytes + 5;
        std::vector<uint8_t> rows(entry.rows * stride, 0xEE);
        const size_t half = entry.rows / 2;
        weights.CopyRows(entry, 0, half, rows.data(), stride);
        weights.CopyRows(entry, half, entry.rows - half, rows.data() + half * stride, stride);
        for (size_t r = 0; r < entry.rows; ++r) {
          EXPECT_TRUE(std::equal(rows.begin() + r * stride, rows.begin() + r * stride + row_bytes,
                                 bundle.begin() + entry.offset + r * row_bytes));
          EXPECT_EQ(rows[r * stride + row_bytes], 0xEE) << "wrote behind a row";
        }
      }
    }
  }
}

TEST(GroupWeights, ColumnsOfAQuantisedDownAreTakenInWholeBlocks) {
  const FfnLayerSpec spec = SpecWithDown(TensorType::kQ8_0, 2, 128);
  std::vector<uint8_t> up_bytes(128 * 2 * sizeof(float)), down_bytes(2 * 4 * 34);
  for (size_t i = 0; i < down_bytes.size(); ++i)
    down_bytes[i] = static_cast<uint8_t>(i / 34);  // the block's number
  GgufTensor up, down;
  up.ne = {2, 128, 1, 1};
  up.data = up_bytes;
  down.type = TensorType::kQ8_0;
  down.ne = {128, 2, 1, 1};
  down.data = down_bytes;
  FfnLayerSource source{{FfnBlockSource{}}};
  source.blocks[0].up.tensor = &up;
  source.blocks[0].down.tensor = &down;
  NeuronGroup group;
  for (uint32_t i = 0; i < 32; ++i) group.neurons.push_back(32 + i);
  for (uint32_t i = 0; i < 32; ++i) group.neurons.push_back(96 + i);
  const absl::StatusOr<GroupWeights> weights = GroupWeights::FromFile(spec, source, group);
  ASSERT_TRUE(weights.ok()) << weights.status();
  std::vector<uint8_t> row(2 * 34);
  weights->CopyRows(*weights->layout().Find(BundlePart::kDown), 1, 1, row.data(), row.size());
  EXPECT_EQ(row.front(), 5);
  EXPECT_EQ(row.back(), 7);
}

TEST(GroupWeights, RefusesABundleOfTheWrongSize) {
  const FfnFixture ffn(SmallSpec(), 1, 64);
  const NeuronGroup group = MakeNeuronGroups(ffn.spec(), {})[0];
  std::vector<uint8_t> bytes = ffn.Bundle(group);
  bytes.pop_back();
  const absl::Status status = GroupWeights::FromBundle(ffn.spec(), group, bytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("bytes of weights"));
}

TEST(GroupWeights, RefusesNeuronsOutsideTheBlockAndOutOfOrder) {
  const FfnFixture ffn(SmallSpec(), 1, 64);
  const std::vector<uint8_t> bytes = ffn.Bundle({0, {3, 4}, 1});
  EXPECT_TRUE(GroupWeights::FromBundle(ffn.spec(), {0, {3, 4}, 1}, bytes).ok());
  EXPECT_FALSE(GroupWeights::FromBundle(ffn.spec(), {0, {3, 64}, 1}, bytes).ok());
  EXPECT_FALSE(GroupWeights::FromBundle(ffn.spec(), {0, {4, 3}, 1}, bytes).ok());
  EXPECT_FALSE(GroupWeights::FromBundle(ffn.spec(), {7, {3, 4}, 1}, bytes).ok());
  EXPECT_FALSE(GroupWeights::FromFile(ffn.spec(), ffn.source(), {0, {3, 64}, 1}).ok());
  EXPECT_FALSE(GroupWeights::FromFile(ffn.spec(), ffn.source(), {7, {3, 4}, 1}).ok());
}

TEST(GroupWeights, RefusesNeuronsThatTearAQuantisedBlock) {
  const FfnLayerSpec spec = SpecWithDown(TensorType::kQ8_0, 32, 64);
  NeuronGroup group;
  for (uint32_t i = 0; i < 32; ++i) group.neurons.push_back(16 + i);
  const BundleLayout layout = *MakeBundleLayout(spec, 0, 32, false);
  const absl::Status status =
      GroupWeights::FromBundle(spec, group, std::vector<uint8_t>(layout.bytes)).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("whole blocks of 32"));
}

}  // namespace
}  // namespace hearth
