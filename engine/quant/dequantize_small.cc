// Types with one scale for each block of 16 to 128 values.
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "engine/quant/dequantize.h"
#include "engine/quant/half.h"

namespace hearth {
namespace {

// Calls value(i, nibble) for the 2 * bytes values of a group whose low nibbles come first.
template <class F>
void ForEachNibble(const uint8_t* nibbles, size_t bytes, F&& value) {
  for (size_t i = 0; i < bytes; ++i) {
    value(i, nibbles[i] & 15);
    value(i + bytes, nibbles[i] >> 4);
  }
}

int FifthBit(const uint8_t* bits, size_t i) { return ((bits[i / 8] >> (i % 8)) & 1) << 4; }

}  // namespace

void DequantizeBlock(const BlockQ4_0& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  ForEachNibble(block.nibbles, 16, [&](size_t i, int q) { out[i] = scale * static_cast<float>(q - 8); });
}

void DequantizeBlock(const BlockQ4_1& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  const float minimum = HalfToFloat(block.minimum);
  ForEachNibble(block.nibbles, 16,
                [&](size_t i, int q) { out[i] = scale * static_cast<float>(q) + minimum; });
}

void DequantizeBlock(const BlockQ5_0& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  ForEachNibble(block.nibbles, 16, [&](size_t i, int q) {
    out[i] = scale * static_cast<float>((q | FifthBit(block.fifth_bits, i)) - 16);
  });
}

void DequantizeBlock(const BlockQ5_1& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  const float minimum = HalfToFloat(block.minimum);
  ForEachNibble(block.nibbles, 16, [&](size_t i, int q) {
    out[i] = scale * static_cast<float>(q | FifthBit(block.fifth_bits, i)) + minimum;
  });
}

void DequantizeBlock(const BlockQ8_0& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t i = 0; i < BlockQ8_0::kValues; ++i) out[i] = scale * static_cast<float>(block.values[i]);
}

void DequantizeBlock(const BlockQ1_0& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t i = 0; i < BlockQ1_0::kValues; ++i) {
    out[i] = (block.bits[i / 8] >> (i % 8)) & 1 ? scale : -scale;
  }
}

void DequantizeBlock(const BlockQ2_0& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t i = 0; i < BlockQ2_0::kValues; ++i) {
    const int q = (block.quarters[i / 4] >> (i % 4 * 2)) & 3;
    out[i] = scale * static_cast<float>(q - 1);
  }
}

float HalvedE8M0(uint8_t exponent) {
  // 2^(exponent - 128): the two smallest are subnormal.
  const uint32_t bits = exponent < 2 ? 0x00200000u << exponent : static_cast<uint32_t>(exponent - 1) << 23;
  return std::bit_cast<float>(bits);
}

float HalvedUE4M3(uint8_t value) {
  if (value == 0x7f) return 0.0f;
  const int exponent = (value >> 3) & 15;
  const float mantissa = static_cast<float>(value & 7);
  return exponent == 0 ? mantissa * 0x1p-10f : std::ldexp(8.0f + mantissa, exponent - 11);
}

void DequantizeBlock(const BlockMXFP4& block, float* out) {
  const float scale = HalvedE8M0(block.exponent);
  ForEachNibble(block.nibbles, 16,
                [&](size_t i, int q) { out[i] = scale * static_cast<float>(kDoubledE2M1[q]); });
}

void DequantizeBlock(const BlockNVFP4& block, float* out) {
  for (size_t group = 0; group < 4; ++group) {
    const float scale = HalvedUE4M3(block.scales[group]);
    float* group_out = out + group * 16;
    ForEachNibble(block.nibbles + group * 8, 8,
                  [&](size_t i, int q) { group_out[i] = scale * static_cast<float>(kDoubledE2M1[q]); });
  }
}

void DequantizeBlock(const BlockIQ4_NL& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  ForEachNibble(block.nibbles, 16,
                [&](size_t i, int q) { out[i] = scale * static_cast<float>(kIq4Levels[q]); });
}

void DequantizeBlock(const BlockIQ4_XS& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t group = 0; group < 8; ++group) {
    const int low = (block.scales_low[group / 2] >> (group % 2 * 4)) & 15;
    const int high = (block.scales_high >> (group * 2)) & 3;
    const float group_scale = scale * static_cast<float>((low | high << 4) - 32);
    float* group_out = out + group * 32;
    ForEachNibble(block.nibbles + group * 16, 16,
                  [&](size_t i, int q) { group_out[i] = group_scale * static_cast<float>(kIq4Levels[q]); });
  }
}

}  // namespace hearth
