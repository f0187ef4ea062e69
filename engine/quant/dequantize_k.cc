// The K types: super-blocks of 256 values with integer scales for groups of 16 or 32.
#include <cstddef>
#include <cstdint>

#include "engine/quant/dequantize.h"
#include "engine/quant/half.h"

namespace hearth {
namespace {

// Value i of 256 two-bit numbers: each run of 128 values lies in 32 bytes, 32 values to each pair of bits.
int QuarterAt(const uint8_t* quarters, size_t i) {
  return (quarters[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
}

// Value i of 256 four-bit numbers: each run of 64 values lies in 32 bytes, low nibbles first.
int NibbleAt(const uint8_t* nibbles, size_t i) {
  return (nibbles[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4)) & 15;
}

// Value i of 256 bits: bit i / 32 of byte i % 32.
int BitAt(const uint8_t* bits, size_t i) { return (bits[i % 32] >> (i / 32)) & 1; }

// Scale `group` (0..15) of Q3_K: 4 low bits in a nibble of bytes 0-7, 2 high bits in bytes 8-11.
int Q3Scale(const uint8_t* scales, size_t group) {
  const int low = (scales[group % 8] >> (group / 8 * 4)) & 15;
  const int high = (scales[8 + group % 4] >> (group / 4 * 2)) & 3;
  return (low | high << 4) - 32;
}

}  // namespace

void DequantizeBlock(const BlockQ2_K& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  const float minimum = HalfToFloat(block.minimum);
  for (size_t group = 0; group < 16; ++group) {
    const float group_scale = scale * static_cast<float>(block.scales[group] & 15);
    const float group_minimum = minimum * static_cast<float>(block.scales[group] >> 4);
    for (size_t i = group * 16; i < group * 16 + 16; ++i) {
      out[i] = group_scale * static_cast<float>(QuarterAt(block.quarters, i)) - group_minimum;
    }
  }
}

void DequantizeBlock(const BlockQ3_K& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t group = 0; group < 16; ++group) {
    const float group_scale = scale * static_cast<float>(Q3Scale(block.scales, group));
    for (size_t i = group * 16; i < group * 16 + 16; ++i) {
      const int q = QuarterAt(block.quarters, i) + 4 * BitAt(block.third_bits, i) - 4;
      out[i] = group_scale * static_cast<float>(q);
    }
  }
}

void DequantizeBlock(const BlockQ4_K& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  const float minimum = HalfToFloat(block.minimum);
  for (int group = 0; group < 8; ++group) {
    const float group_scale = scale * static_cast<float>(GroupScale(block.scales, group));
    const float group_minimum = minimum * static_cast<float>(GroupMinimum(block.scales, group));
    for (size_t i = static_cast<size_t>(group) * 32; i < static_cast<size_t>(group) * 32 + 32; ++i) {
      out[i] = group_scale * static_cast<float>(NibbleAt(block.nibbles, i)) - group_minimum;
    }
  }
}

void DequantizeBlock(const BlockQ5_K& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  const float minimum = HalfToFloat(block.minimum);
  for (int group = 0; group < 8; ++group) {
    const float group_scale = scale * static_cast<float>(GroupScale(block.scales, group));
    const float group_minimum = minimum * static_cast<float>(GroupMinimum(block.scales, group));
    for (size_t i = static_cast<size_t>(group) * 32; i < static_cast<size_t>(group) * 32 + 32; ++i) {
      const int q = NibbleAt(block.nibbles, i) | BitAt(block.fifth_bits, i) << 4;
      out[i] = group_scale * static_cast<float>(q) - group_minimum;
    }
  }
}

void DequantizeBlock(const BlockQ6_K& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t group = 0; group < 16; ++group) {
    const float group_scale = scale * static_cast<float>(block.scales[group]);
    for (size_t i = group * 16; i < group * 16 + 16; ++i) {
      // Each run of 128 values has 64 bytes of low nibbles: all low halves, then all high halves.
      const int low = (block.nibbles[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4)) & 15;
      const int q = low | QuarterAt(block.upper_bits, i) << 4;
      out[i] = group_scale * static_cast<float>(q - 32);
    }
  }
}

}  // namespace hearth
