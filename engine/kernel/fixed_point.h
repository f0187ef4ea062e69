#ifndef HEARTH_ENGINE_KERNEL_FIXED_POINT_H_
#define HEARTH_ENGINE_KERNEL_FIXED_POINT_H_

#include <cmath>
#include <cstdint>
#include <limits>

namespace hearth {

// Partial sums of an FFN are added as 64-bit fixed point. Integer addition is associative, so the total does
// not depend on which device or thread computed which neuron group, nor on the order in which they answer: a
// plan never changes the text. Each group's own sum is float32 in a fixed order; only sums of groups are
// fixed point. The grid is 2^-24, one for all: as fine as float32 from |y| = 1 up, and so coarse that a sum
// of |y| < 128 fits 32 bits, in which it travels between hosts. Rounding a group's sum to it moves it by at
// most 2^-25 (3e-8); 64 bits hold |y| < 2^39.
inline constexpr float kFixedPointScale = 16777216.0f;          // 2^24
inline constexpr double kFixedPointInverse = 1.0 / 16777216.0;  // 2^-24

// Rounds to nearest even; NaN and values out of range become INT64_MIN, as the x86 conversion gives.
inline int64_t ToFixedPoint(float value) {
  const float scaled = value * kFixedPointScale;
  if (!(std::fabs(scaled) < 9.2233720368547758e18f)) return std::numeric_limits<int64_t>::min();
  return std::llrint(static_cast<double>(scaled));
}

// The nearest float32.
inline float FromFixedPoint(int64_t value) {
  return static_cast<float>(static_cast<double>(value) * kFixedPointInverse);
}

// Wraps instead of overflowing: sums of garbage are garbage, not undefined.
inline int64_t AddFixedPoint(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_FIXED_POINT_H_
