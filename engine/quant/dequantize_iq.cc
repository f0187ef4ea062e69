// The IQ types whose values are points of a grid, with signs and scales of their own.
#include <bit>
#include <cstddef>
#include <cstdint>

#include "engine/quant/dequantize.h"
#include "engine/quant/half.h"
#include "engine/quant/iq_grids.h"

namespace hearth {
namespace {

// Added to or taken from every value of IQ1_S and IQ1_M.
constexpr float kIq1Shift = 0.125f;

// Eight signs in seven bits: the number of minus signs is even, so the eighth follows from the others.
uint8_t SignsOfCode(uint32_t code) {
  code &= 127;
  return static_cast<uint8_t>(code | (std::popcount(code) & 1u) << 7);
}

// Writes `count` magnitudes times scale; bit i of `signs` set makes value i negative.
void WriteSigned(const uint8_t* magnitudes, size_t count, uint32_t signs, float scale, float* out) {
  for (size_t i = 0; i < count; ++i) {
    const float value = scale * static_cast<float>(magnitudes[i]);
    out[i] = (signs >> i) & 1 ? -value : value;
  }
}

void WriteShifted(const int8_t* point, float shift, float scale, float* out) {
  for (size_t i = 0; i < 8; ++i) out[i] = scale * (static_cast<float>(point[i]) + shift);
}

}  // namespace

void DequantizeBlock(const BlockIQ2_XXS& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (const auto& group : block.groups) {
    const uint32_t packed = group.signs_and_scale;
    const float group_scale = scale * (0.5f + static_cast<float>(packed >> 28)) * 0.25f;
    for (size_t k = 0; k < 4; ++k, out += 8) {
      WriteSigned(kIq2XxsGrid[group.index[k]].data(), 8, SignsOfCode(packed >> (7 * k)), group_scale, out);
    }
  }
}

void DequantizeBlock(const BlockIQ2_XS& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t k = 0; k < 32; ++k, out += 8) {
    const int group = (block.scales[k / 4] >> (k % 4 / 2 * 4)) & 15;
    const float group_scale = scale * (0.5f + static_cast<float>(group)) * 0.25f;
    const uint32_t packed = block.index_and_signs[k];
    WriteSigned(kIq2XsGrid[packed & 511].data(), 8, SignsOfCode(packed >> 9), group_scale, out);
  }
}

void DequantizeBlock(const BlockIQ2_S& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t k = 0; k < 32; ++k, out += 8) {
    const int group = (block.scales[k / 4] >> (k % 4 / 2 * 4)) & 15;
    const float group_scale = scale * (0.5f + static_cast<float>(group)) * 0.25f;
    const size_t index =
        block.index_low[k] | static_cast<size_t>((block.index_high[k / 4] >> (k % 4 * 2)) & 3) << 8;
    WriteSigned(kIq2SGrid[index].data(), 8, block.signs[k], group_scale, out);
  }
}

void DequantizeBlock(const BlockIQ3_XXS& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t k = 0; k < 32; ++k, out += 8) {
    const uint32_t packed = block.signs_and_scale[k / 4];
    const float group_scale = scale * (0.5f + static_cast<float>(packed >> 28)) * 0.5f;
    const uint32_t signs = SignsOfCode(packed >> (k % 4 * 7));
    WriteSigned(kIq3XxsGrid[block.index[2 * k]].data(), 4, signs, group_scale, out);
    WriteSigned(kIq3XxsGrid[block.index[2 * k + 1]].data(), 4, signs >> 4, group_scale, out + 4);
  }
}

void DequantizeBlock(const BlockIQ3_S& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t k = 0; k < 64; ++k, out += 4) {
    const int group = (block.scales[k / 16] >> (k % 16 / 8 * 4)) & 15;
    const float group_scale = scale * static_cast<float>(1 + 2 * group);
    const size_t index = block.index_low[k] | static_cast<size_t>((block.index_high[k / 8] >> (k % 8)) & 1)
                                                  << 8;
    const uint32_t signs = static_cast<uint32_t>(block.signs[k / 2]) >> (k % 2 * 4);
    WriteSigned(kIq3SGrid[index].data(), 4, signs, group_scale, out);
  }
}

void DequantizeBlock(const BlockIQ1_S& block, float* out) {
  const float scale = HalfToFloat(block.scale);
  for (size_t k = 0; k < 32; ++k, out += 8) {
    const uint32_t packed = block.index_high_and_scale[k / 4];
    const float group_scale = scale * static_cast<float>(2 * ((packed >> 12) & 7) + 1);
    const size_t index = block.index_low[k] | static_cast<size_t>((packed >> (k % 4 * 3)) & 7) << 8;
    WriteShifted(kIq1Grid[index].data(), packed & 0x8000 ? -kIq1Shift : kIq1Shift, group_scale, out);
  }
}

void DequantizeBlock(const BlockIQ1_M& block, float* out) {
  uint32_t scale_bits = 0;
  for (size_t i = 0; i < 4; ++i) scale_bits |= static_cast<uint32_t>(block.scales[i] >> 12) << (4 * i);
  const float scale = HalfToFloat(static_cast<uint16_t>(scale_bits));
  for (size_t k = 0; k < 32; ++k, out += 8) {
    // A scale for each 16 values, four of them in a word.
    const int group = (block.scales[k / 8] >> (k % 8 / 2 * 3)) & 7;
    const float group_scale = scale * static_cast<float>(2 * group + 1);
    const uint32_t packed = static_cast<uint32_t>(block.index_high[k / 2]) >> (k % 2 * 4);
    const size_t index = block.index_low[k] | static_cast<size_t>(packed & 7) << 8;
    WriteShifted(kIq1Grid[index].data(), packed & 8 ? -kIq1Shift : kIq1Shift, group_scale, out);
  }
}

}  // namespace hearth
