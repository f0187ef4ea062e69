// The ternary types: 256 values of -1, 0 or 1 times one scale.
#include <cstddef>
#include <cstdint>

#include "engine/quant/dequantize.h"
#include "engine/quant/half.h"

namespace hearth {
namespace {

// Writes digits x bytes values: all first digits, then all second ones. A byte holds a base-3 fraction, so
// that multiplying by 3 moves the next digit into bits 8 and 9.
float* WriteDigits(const uint8_t* packed, size_t bytes, int digits, float scale, float* out) {
  uint8_t power = 1;
  for (int digit = 0; digit < digits; ++digit, power = static_cast<uint8_t>(power * 3)) {
    for (size_t i = 0; i < bytes; ++i) {
      const auto fraction = static_cast<uint8_t>(packed[i] * power);
      const int q = (fraction * 3) >> 8;
      *out++ = scale * static_cast<float>(q - 1);
    }
  }
  return out;
}

}  // namespace

void DequantizeBlock(const BlockTQ1_0& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  out = WriteDigits(block.fives, 32, 5, scale, out);
  out = WriteDigits(block.fives + 32, 16, 5, scale, out);
  WriteDigits(block.fours, 4, 4, scale, out);
}

void DequantizeBlock(const BlockTQ2_0& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t i = 0; i < BlockTQ2_0::kValues; ++i) {
    const int q = (block.quarters[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2)) & 3;
    out[i] = scale * static_cast<float>(q - 1);
  }
}

}  // namespace hearth
