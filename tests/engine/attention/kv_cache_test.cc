#include "engine/attention/kv_cache.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace hearth {
namespace {

constexpr uint32_t kHeads = 3;
constexpr uint32_t kSequences = 2;
constexpr uint32_t kContext = 5;

KvLayerLayout FloatLayout(uint64_t key_dim, uint64_t value_dim) {
  KvLayerLayout layout;
  layout.heads = kHeads;
  layout.key_bytes = kHeads * key_dim * sizeof(float);
  layout.value_bytes = kHeads * value_dim * sizeof(float);
  return layout;
}

// What is cached for a position: all numbers of a cache differ.
std::vector<float> Numbers(uint32_t kind, uint32_t sequence, uint32_t position, size_t count) {
  std::vector<float> numbers(count);
  for (size_t i = 0; i < count; ++i) {
    numbers[i] = static_cast<float>(((kind * kSequences + sequence) * kContext + position) * 100 + i);
  }
  return numbers;
}

// Head h's numbers of a position are a part of what was cached for it.
void ExpectHeads(const uint8_t* data, KvStrides strides, const std::vector<float>& numbers,
                 uint32_t position) {
  const size_t dim = numbers.size() / kHeads;
  for (uint32_t head = 0; head < kHeads; ++head) {
    std::vector<float> found(dim);
    std::memcpy(found.data(), data + strides.Offset(head, position), dim * sizeof(float));
    const auto begin = numbers.begin() + static_cast<std::ptrdiff_t>(head * dim);
    EXPECT_EQ(found, std::vector<float>(begin, begin + static_cast<std::ptrdiff_t>(dim)))
        << "head " << head << ", position " << position;
  }
}

TEST(KvLayer, GivesBackEveryNumberOfEverySequence) {
  KvLayerLayout layout = FloatLayout(4, 2);
  layout.far_key_bytes = layout.key_bytes;
  KvLayer layer = *KvLayer::Create(layout, kSequences, kContext);
  for (uint32_t s = 0; s < kSequences; ++s) {
    for (uint32_t p = 0; p < kContext; ++p) {
      layer.StoreKey(s, p, Numbers(0, s, p, 12).data(), 12);
      layer.StoreFarKey(s, p, Numbers(1, s, p, 12).data(), 12);
      layer.StoreValue(s, p, Numbers(2, s, p, 6).data(), 6);
    }
  }
  for (uint32_t s = 0; s < kSequences; ++s) {
    const KvView view = layer.View(s);
    for (uint32_t p = 0; p < kContext; ++p) {
      ExpectHeads(view.keys, view.key_strides, Numbers(0, s, p, 12), p);
      ExpectHeads(view.far_keys, view.key_strides, Numbers(1, s, p, 12), p);
      ExpectHeads(view.values, view.value_strides, Numbers(2, s, p, 6), p);
    }
  }
}

TEST(KvLayer, KeepsThePositionsOfAHeadTogether) {
  const KvLayer layer = *KvLayer::Create(FloatLayout(4, 2), kSequences, kContext);
  const KvView view = layer.View(1);
  EXPECT_EQ(view.key_strides, (KvStrides{kContext * 4 * sizeof(float), 4 * sizeof(float)}));
  EXPECT_EQ(view.value_strides, (KvStrides{kContext * 2 * sizeof(float), 2 * sizeof(float)}));
}

TEST(KvLayer, TakesValuesFromTheKeysWhereItCachesNone) {
  const KvLayer layer = *KvLayer::Create(FloatLayout(4, 0), kSequences, kContext);
  const KvView view = layer.View(1);
  EXPECT_EQ(view.values, view.keys);
  EXPECT_EQ(view.value_strides, view.key_strides);
}

TEST(KvLayer, HasNoFarKeysUnlessTheLayoutAsks) {
  const KvLayer layer = *KvLayer::Create(FloatLayout(4, 2), kSequences, kContext);
  EXPECT_EQ(layer.View(0).far_keys, nullptr);
}

// A layer with a state of two values per sequence.
KvLayer StateLayer() {
  KvLayerLayout layout;
  layout.state_values = 2;
  return *KvLayer::Create(layout, kSequences, kContext);
}

// A step whose rows each add 1 to the state; what its last row finds.
float CountRows(KvLayer& layer, uint32_t sequence, uint32_t begin, uint32_t end) {
  layer.BeginStep();
  float found = -1;
  for (uint32_t p = begin; p < end; ++p) {
    float* state = layer.State(sequence, p);
    EXPECT_EQ(state[0], state[1]);
    found = state[0];
    state[0] += 1;
    state[1] += 1;
  }
  return found;
}

TEST(KvLayerState, EachPositionFindsWhatTheOneBeforeLeft) {
  KvLayer layer = StateLayer();
  EXPECT_EQ(CountRows(layer, 1, 0, 3), 2);
  EXPECT_EQ(CountRows(layer, 0, 0, 1), 0);
  EXPECT_EQ(CountRows(layer, 1, 3, 4), 3);
  EXPECT_EQ(CountRows(layer, 1, 4, 5), 4);
}

TEST(KvLayerState, RepeatedStepFindsWhatItsFirstAttemptFound) {
  KvLayer layer = StateLayer();
  CountRows(layer, 0, 0, 4);  // failed
  CountRows(layer, 0, 0, 2);
  CountRows(layer, 0, 2, 5);  // failed
  CountRows(layer, 0, 2, 3);  // failed
  EXPECT_EQ(CountRows(layer, 0, 2, 4), 3);
  EXPECT_EQ(CountRows(layer, 0, 4, 5), 4);
}

TEST(KvLayerState, SequenceThatStartsAnewFindsZeros) {
  KvLayer layer = StateLayer();
  CountRows(layer, 0, 0, 3);
  CountRows(layer, 0, 3, 4);
  EXPECT_EQ(CountRows(layer, 0, 0, 3), 2);
  EXPECT_EQ(CountRows(layer, 0, 3, 4), 3);
}

}  // namespace
}  // namespace hearth
