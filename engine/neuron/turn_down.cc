#include "engine/neuron/turn_down.h"

#include <cstring>

#include "engine/base/check.h"

namespace hearth {
namespace {

constexpr uint16_t kHalfOne = 0x3C00;
constexpr size_t kScaleBytes = sizeof(uint16_t);

// Value-wise transposition of (rows, cols) to (cols, rows).
std::vector<uint8_t> TurnValues(const uint8_t* from, size_t rows, size_t cols, size_t value_bytes) {
  std::vector<uint8_t> turned(rows * cols * value_bytes);
  for (size_t r = 0; r < rows; ++r) {
    for (size_t c = 0; c < cols; ++c, from += value_bytes) {
      std::memcpy(turned.data() + (c * rows + r) * value_bytes, from, value_bytes);
    }
  }
  return turned;
}

float ReadScale(const uint8_t* block) {
  uint16_t half;
  std::memcpy(&half, block, sizeof(half));
  return HalfToFloat(half);
}

// The integer codes of one block: bytes for Q8_0, nibbles (0..15) for Q4_0.
uint8_t ReadCode(TensorType type, const uint8_t* block, size_t i) {
  const uint8_t* codes = block + kScaleBytes;
  if (type == TensorType::kQ8_0) return codes[i];
  return i < 16 ? codes[i] & 15 : codes[i - 16] >> 4;
}

void WriteCode(TensorType type, uint8_t* block, size_t i, uint8_t code) {
  uint8_t* codes = block + kScaleBytes;
  if (type == TensorType::kQ8_0) {
    codes[i] = code;
  } else {
    codes[i % 16] |= static_cast<uint8_t>(i < 16 ? code : code << 4);
  }
}

// (n_embd, neurons) in blocks along the neurons becomes (neurons, n_embd) in blocks of scale 1 along n_embd.
std::vector<uint8_t> TurnBlocks(TensorType type, const uint8_t* from, size_t n_embd, size_t neurons,
                                std::vector<float>& scales) {
  const size_t block_bytes = GetTypeInfo(type).block_bytes;
  const size_t turned_row_bytes = n_embd / kTurnedBlock * block_bytes;
  std::vector<uint8_t> turned(neurons * turned_row_bytes);
  for (size_t at = 0; at < turned.size(); at += block_bytes)
    std::memcpy(turned.data() + at, &kHalfOne, kScaleBytes);
  scales.resize(neurons / kTurnedBlock * n_embd);
  for (size_t r = 0; r < n_embd; ++r) {
    for (size_t b = 0; b < neurons / kTurnedBlock; ++b, from += block_bytes) {
      scales[b * n_embd + r] = ReadScale(from);
      for (size_t i = 0; i < kTurnedBlock; ++i) {
        uint8_t* row = turned.data() + (b * kTurnedBlock + i) * turned_row_bytes;
        WriteCode(type, row + r / kTurnedBlock * block_bytes, r % kTurnedBlock, ReadCode(type, from, i));
      }
    }
  }
  return turned;
}

}  // namespace

bool CanTurnDown(const FfnLayerSpec& spec) {
  const auto can_turn = [&spec](TensorType type) {
    if (GetTypeInfo(type).block_values == 1) return true;
    return (type == TensorType::kQ8_0 || type == TensorType::kQ4_0) && spec.n_embd % kTurnedBlock == 0;
  };
  return can_turn(spec.down.type) && (!spec.shared_types || can_turn(spec.shared_down_type));
}

std::vector<float> TurnDown(LoadedGroup& group) {
  std::vector<float> scales;
  for (BundleEntry& entry : group.layout.entries) {
    if (entry.part != BundlePart::kDown) continue;
    uint8_t* bytes = group.bytes.data() + entry.offset;
    const TypeInfo& info = GetTypeInfo(entry.type);
    const std::vector<uint8_t> turned = info.block_values == 1
                                            ? TurnValues(bytes, entry.rows, entry.cols, info.block_bytes)
                                            : TurnBlocks(entry.type, bytes, entry.rows, entry.cols, scales);
    HEARTH_CHECK(turned.size() == entry.bytes);
    std::memcpy(bytes, turned.data(), turned.size());
    std::swap(entry.rows, entry.cols);
  }
  return scales;
}

}  // namespace hearth
