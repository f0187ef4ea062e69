#include "engine/neuron/neuron_group.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

namespace hearth {
namespace {

using ::testing::ElementsAre;

FfnLayerSpec DenseSpec(uint32_t neurons) {
  FfnLayerSpec spec;
  spec.n_embd = 64;
  spec.block_neurons = {neurons};
  spec.up.present = spec.down.present = true;
  return spec;
}

TEST(NeuronGroup, EveryNeuronIsInExactlyOneGroup) {
  const FfnLayerSpec spec = DenseSpec(1000);
  std::set<uint32_t> seen;
  for (const NeuronGroup& group : MakeNeuronGroups(spec, {})) {
    for (uint32_t neuron : group.neurons) EXPECT_TRUE(seen.insert(neuron).second) << neuron;
  }
  EXPECT_EQ(seen.size(), 1000u);
}

TEST(NeuronGroup, NeverMoreGroupsThanAskedFor) {
  EXPECT_LE(MakeNeuronGroups(DenseSpec(11008), {}, 16).size(), 16u);
}

TEST(NeuronGroup, GroupsOfALargeLayerAreWholeStrips) {
  for (const uint32_t neurons : {4096u, 5632u, 11008u, 14336u}) {
    const std::vector<NeuronGroup> groups = MakeNeuronGroups(DenseSpec(neurons), {});
    EXPECT_LE(groups.size(), 32u);
    EXPECT_GE(groups.size(), 16u);  // enough to share
    for (const NeuronGroup& group : groups) EXPECT_EQ(group.neurons.front() % 256, 0u) << neurons;
  }
}

TEST(NeuronGroup, GroupsOfASmallLayerAreNotWidenedToStrips) {
  EXPECT_EQ(MakeNeuronGroups(DenseSpec(2048), {}).size(), 32u);
}

TEST(NeuronGroup, RowsOfNeuronsNeedNoStrips) {
  FfnLayerSpec spec = DenseSpec(11008);
  spec.neuron_major = true;
  EXPECT_GT(MakeNeuronGroups(spec, {}).size(), 28u);
}

TEST(NeuronGroup, QuantisedDownKeepsWholeBlocksTogether) {
  FfnLayerSpec spec = DenseSpec(1024);
  spec.down.type = TensorType::kQ4_K;
  const std::vector<float> frequencies(1024, 0.5f);
  for (const NeuronGroup& group : MakeNeuronGroups(spec, frequencies)) {
    EXPECT_EQ(group.neurons.size() % 256, 0u);
    EXPECT_EQ(group.neurons.front() % 256, 0u);
    EXPECT_EQ(group.neurons.back(), group.neurons.front() + group.neurons.size() - 1);
  }
}

TEST(NeuronGroup, NeuronMajorLayerIsSortedByFallingFrequency) {
  FfnLayerSpec spec = DenseSpec(64);
  spec.neuron_major = true;
  std::vector<float> frequencies(64, 0.01f);
  for (uint32_t i = 1; i < 64; i += 2) frequencies[i] = 0.9f;
  const std::vector<NeuronGroup> groups = MakeNeuronGroups(spec, frequencies);
  ASSERT_EQ(groups.size(), 2u);
  EXPECT_FLOAT_EQ(groups[0].frequency, 0.9f);
  EXPECT_FLOAT_EQ(groups[1].frequency, 0.01f);
  EXPECT_EQ(groups[0].neurons.front(), 1u);
  EXPECT_EQ(groups[1].neurons.front(), 0u);
}

TEST(NeuronGroup, AnExpertIsOneGroupWithItsOwnFrequency) {
  FfnLayerSpec spec = DenseSpec(0);
  spec.block_neurons = {48, 48, 96};
  std::vector<float> frequencies(192, 0.25f);
  std::fill(frequencies.begin() + 96, frequencies.end(), 1.0f);
  const std::vector<NeuronGroup> groups = MakeNeuronGroups(spec, frequencies);
  ASSERT_EQ(groups.size(), 3u);
  EXPECT_THAT((std::vector<uint32_t>{groups[0].block, groups[1].block, groups[2].block}),
              ElementsAre(0, 1, 2));
  EXPECT_FLOAT_EQ(groups[1].frequency, 0.25f);
  EXPECT_FLOAT_EQ(groups[2].frequency, 1.0f);
  EXPECT_EQ(groups[2].neurons.size(), 96u);
}

TEST(NeuronGroup, WithoutProfileEveryGroupCountsAsAlwaysFiring) {
  for (const NeuronGroup& group : MakeNeuronGroups(DenseSpec(256), {})) EXPECT_EQ(group.frequency, 1.0f);
}

}  // namespace
}  // namespace hearth
