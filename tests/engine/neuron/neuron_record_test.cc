#include "engine/neuron/neuron_record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace hearth {
namespace {

using ::testing::HasSubstr;

FfnLayerSpec Spec(TensorType type, TensorType down) {
  FfnLayerSpec spec;
  spec.n_embd = 256;
  spec.block_neurons = {64};
  spec.gate = spec.up = {true, type};
  spec.down = {true, down};
  return spec;
}

TEST(NeuronRecordTest, HoldsGateUpDownAndTwoChecksums) {
  const NeuronRecord record = NeuronRecord::Of(Spec(TensorType::kQ4_0, TensorType::kQ4_0), 0);
  EXPECT_EQ(record.gate_bytes, 144u);
  EXPECT_EQ(record.up(), 144u);
  EXPECT_EQ(record.down(), 288u);
  EXPECT_EQ(record.down_bytes, 128u);  // codes alone
  EXPECT_EQ(record.scale_bytes, 512u);
  EXPECT_EQ(record.bytes, 448u);
}

TEST(NeuronRecordTest, LeavesOutWhatCannotBeTurned) {
  const NeuronRecord record = NeuronRecord::Of(Spec(TensorType::kQ4_K, TensorType::kQ6_K), 0);
  EXPECT_EQ(record.down_bytes, 0u);
  EXPECT_EQ(record.bytes, 320u);
  FfnLayerSpec by_neuron = Spec(TensorType::kQ4_K, TensorType::kQ6_K);
  by_neuron.neuron_major = true;
  EXPECT_EQ(NeuronRecord::Of(by_neuron, 0).down_bytes, 210u);
}

TEST(NeuronRecordTest, EveryChangedBitIsFoundWhereItIsLookedFor) {
  const NeuronRecord layout = NeuronRecord::Of(Spec(TensorType::kQ4_0, TensorType::kQ4_0), 0);
  std::vector<uint8_t> record(layout.bytes);
  for (size_t i = 0; i < layout.checksums(); ++i) record[i] = static_cast<uint8_t>(i * 37);
  SealRecord(layout, record.data());
  ASSERT_TRUE(IsIntact(layout, record.data(), true));
  for (size_t i = 0; i < layout.checksums(); ++i) {
    record[i] ^= 16;
    EXPECT_FALSE(IsIntact(layout, record.data(), true)) << i;
    EXPECT_EQ(IsIntact(layout, record.data() + layout.gate_bytes, false), i < layout.gate_bytes) << i;
    record[i] ^= 16;
  }
}

TEST(CheckPackedBlocksTest, SizesThatAreNotTheLayersAreRefused) {
  const FfnLayerSpec spec = Spec(TensorType::kQ4_0, TensorType::kQ4_0);
  const NeuronRecord record = NeuronRecord::Of(spec, 0);
  const std::vector<uint8_t> records(64 * record.bytes), scales(2 * record.scale_bytes);
  const PackedBlock fits = {record.bytes, records, scales, {}};
  EXPECT_TRUE(CheckPackedBlocks(spec, {fits}).ok());
  EXPECT_THAT(CheckPackedBlocks(spec, {fits, fits}).message(), HasSubstr("2 packed blocks where 1 belong"));
  PackedBlock few = fits, narrow = fits, bare = fits;
  few.records.remove_suffix(record.bytes);
  narrow.record_bytes -= 64;
  bare.scales = {};
  for (const PackedBlock& block : {few, narrow, bare})
    EXPECT_THAT(CheckPackedBlocks(spec, {block}).message(), HasSubstr("block 0 have another size"));
}

}  // namespace
}  // namespace hearth
