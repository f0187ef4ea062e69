#include "engine/neuron/turn_down.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>

#include "tests/engine/neuron/ffn_fixture.h"

namespace hearth {
namespace {

constexpr uint32_t kEmbd = 96;
constexpr uint32_t kNeurons = 64;

// A group of all neurons whose `down` holds quantised random numbers.
LoadedGroup RandomGroup(const FfnLayerSpec& spec) {
  NeuronGroup group;
  for (uint32_t i = 0; i < kNeurons; ++i) group.neurons.push_back(i);
  const BundleLayout layout = *MakeBundleLayout(spec, 0, kNeurons, true);
  std::vector<uint8_t> bytes(layout.bytes);
  std::mt19937 random(5);
  std::vector<float> values(kEmbd * kNeurons);
  for (float& value : values) value = static_cast<float>(random() % 2001) / 1000.0f - 1.0f;
  const BundleEntry* down = layout.Find(BundlePart::kDown);
  const absl::Status quantised =
      Quantize(spec.down.type, values, {}, absl::MakeSpan(bytes).subspan(down->offset, down->bytes));
  EXPECT_TRUE(quantised.ok()) << quantised;
  return std::move(GroupWeights::FromBundle(spec, group, bytes)).value().Load();
}

std::vector<float> DownValues(const LoadedGroup& group) {
  std::vector<float> values(kEmbd * kNeurons);
  Dequantize(group.layout.Find(BundlePart::kDown)->type, group.Part(BundlePart::kDown), values.size(),
             values.data());
  return values;
}

class TurnDownTypes : public ::testing::TestWithParam<TensorType> {};
INSTANTIATE_TEST_SUITE_P(Types, TurnDownTypes,
                         ::testing::Values(TensorType::kF32, TensorType::kF16, TensorType::kBF16,
                                           TensorType::kQ8_0, TensorType::kQ4_0),
                         [](const auto& info) { return std::string(GetTypeInfo(info.param).name); });

TEST_P(TurnDownTypes, ColumnsBecomeRowsWithoutLoss) {
  const FfnLayerSpec spec = SpecWithDown(GetParam(), kEmbd, kNeurons);
  ASSERT_TRUE(CanTurnDown(spec));
  LoadedGroup group = RandomGroup(spec);
  const std::vector<float> before = DownValues(group);  // (n_embd, neurons)
  const std::vector<float> scales = TurnDown(group);
  const std::vector<float> after = DownValues(group);  // (neurons, n_embd)
  for (uint32_t i = 0; i < kNeurons; ++i) {
    for (uint32_t c = 0; c < kEmbd; ++c) {
      const float scale = scales.empty() ? 1.0f : scales[i / kTurnedBlock * kEmbd + c];
      ASSERT_EQ(after[i * kEmbd + c] * scale, before[c * kNeurons + i]) << "neuron " << i << " value " << c;
    }
  }
}

TEST(TurnDown, TypesWithSharedBlocksOf256AreNotTurned) {
  FfnLayerSpec spec = SpecWithDown(TensorType::kQ4_K, kEmbd, kNeurons);
  EXPECT_FALSE(CanTurnDown(spec));
}

TEST(TurnDown, RowsThatAreNoWholeBlocksAreNotTurned) {
  FfnLayerSpec spec = SpecWithDown(TensorType::kQ8_0, kEmbd, kNeurons);
  spec.n_embd = 80;
  EXPECT_FALSE(CanTurnDown(spec));
}

}  // namespace
}  // namespace hearth
