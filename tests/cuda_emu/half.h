#ifndef HEARTH_TESTS_CUDA_EMU_HALF_H_
#define HEARTH_TESTS_CUDA_EMU_HALF_H_

#include <cstdint>
#include <cstring>

// Sixteen-bit floating point as bits, converted without help of the CPU's instruction set.
namespace hearth::cuda_emu {

namespace internal {

// The bits of `value` as another type of the same size.
template <class To, class From>
inline To BitCast(const From& value) {
  static_assert(sizeof(To) == sizeof(From), "only types of one size have the same bits");
  To result;
  std::memcpy(&result, &value, sizeof result);
  return result;
}

}  // namespace internal

// The value of an IEEE binary16; exact.
inline float HalfToFloat(uint16_t half) {
  const uint32_t sign = uint32_t{half & 0x8000u} << 16;
  const uint32_t exponent = half >> 10 & 31u;
  const uint32_t fraction = half & 1023u;
  if (exponent == 31) return internal::BitCast<float>(sign | 0x7f800000u | fraction << 13);
  if (exponent != 0) return internal::BitCast<float>(sign | (exponent + 112) << 23 | fraction << 13);
  const float subnormal = static_cast<float>(fraction) * 0x1p-24f;
  return internal::BitCast<float>(sign | internal::BitCast<uint32_t>(subnormal));
}

// The nearest IEEE binary16, ties to even; beyond the largest it is infinite, NaN becomes 0x7fff as on the
// device.
inline uint16_t FloatToHalf(float value) {
  const uint32_t bits = internal::BitCast<uint32_t>(value);
  const uint32_t sign = bits >> 16 & 0x8000u;
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return 0x7fff;
  if (magnitude >= 0x477ff000u) return static_cast<uint16_t>(sign | 0x7c00u);
  if (magnitude < 0x38800000u) {  // subnormal: the addition of 0.5 shifts and rounds
    const float shifted = internal::BitCast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (internal::BitCast<uint32_t>(shifted) - 0x3f000000u));
  }
  const uint32_t rebiased = magnitude - 0x38000000u;
  return static_cast<uint16_t>(sign | (rebiased + 0xfffu + (rebiased >> 13 & 1)) >> 13);
}

// The value of a bfloat16; exact.
inline float Bfloat16ToFloat(uint16_t bfloat16) { return internal::BitCast<float>(uint32_t{bfloat16} << 16); }

// The nearest bfloat16, ties to even; NaN becomes 0x7fff as on the device.
inline uint16_t FloatToBfloat16(float value) {
  const uint32_t bits = internal::BitCast<uint32_t>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0x7fff;
  return static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

}  // namespace hearth::cuda_emu

#endif  // HEARTH_TESTS_CUDA_EMU_HALF_H_
