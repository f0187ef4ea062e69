#ifndef HEARTH_ENGINE_QUANT_HALF_H_
#define HEARTH_ENGINE_QUANT_HALF_H_

#include <bit>
#include <cstdint>

namespace hearth {

// IEEE half precision (1 sign, 5 exponent, 10 mantissa bits) and bfloat16 (the upper half of a float).
// Widening is exact. Narrowing rounds to nearest, ties to even; infinities stay, a NaN becomes a quiet NaN.

// Exact.
inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = static_cast<uint32_t>(half & 0x8000u) << 16;
  const uint32_t magnitude = half & 0x7fffu;
  // A subnormal counts units of 2^-24. Everything else moves to the wider exponent, whose bias is 112 larger;
  // the largest exponent (infinity, NaN) moves by as much again.
  const uint32_t subnormal = std::bit_cast<uint32_t>(static_cast<float>(magnitude) * 0x1p-24f);
  const uint32_t rebiased = (magnitude << 13) + (magnitude >= 0x7c00u ? 224u << 23 : 112u << 23);
  return std::bit_cast<float>(sign | (magnitude < 0x0400u ? subnormal : rebiased));
}

// To the nearest, ties to even.
inline uint16_t FloatToHalf(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return static_cast<uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x01ffu));
  // 65520 is halfway between the largest half (65504) and what would follow it.
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {
    // Below 2^-14 a half counts units of 2^-24, the last bit of a float in [0.5, 1): adding 0.5 rounds.
    const float aligned = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(aligned) - 0x3f000000u));
  }
  const uint32_t rounded = magnitude + 0x0fffu + ((magnitude >> 13) & 1u);
  return static_cast<uint16_t>(sign | ((rounded - (112u << 23)) >> 13));
}

// Exact.
inline float BFloat16ToFloat(uint16_t value) {
  return std::bit_cast<float>(static_cast<uint32_t>(value) << 16);
}

// To the nearest, ties to even.
inline uint16_t FloatToBFloat16(float value) {
  const uint32_t bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<uint16_t>((bits >> 16) | 0x0040u);
  return static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_QUANT_HALF_H_
