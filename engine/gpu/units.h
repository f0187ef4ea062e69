#ifndef HEARTH_ENGINE_GPU_UNITS_H_
#define HEARTH_ENGINE_GPU_UNITS_H_

// Device code: how a thread reads a unit of 32 weights.

#include <type_traits>

#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_matrix.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

// 32 weights as 8-bit codes, four to a number; weight i = scale[i / 16] * (code - kOffset) + minimum.
struct Unit {
  int codes[8];
  float scale[2];
  float minimum;
};

template <GpuType kType>
struct UnitTraits {
  static constexpr PlaneBytes kBytes = PlanesOf(kType);
  static constexpr bool kCodes = HasCodes(kType);
  static constexpr bool kSuper = kBytes.super > 0;
  static constexpr bool kHalves = kType == GpuType::kQ3_K || kType == GpuType::kQ6_K;
  static constexpr bool kMinimum = kType == GpuType::kQ4_1 || kType == GpuType::kQ5_1 ||
                                   kType == GpuType::kQ4_K || kType == GpuType::kQ5_K;
  static constexpr int kOffset = kType == GpuType::kQ4_0   ? 8
                                 : kType == GpuType::kQ5_0 ? 16
                                 : kType == GpuType::kQ3_K ? 4
                                 : kType == GpuType::kQ6_K ? 32
                                                           : 0;
  static constexpr bool kNibbles = kType != GpuType::kQ8_0;
  static constexpr bool kFifthBits =
      kType == GpuType::kQ5_0 || kType == GpuType::kQ5_1 || kType == GpuType::kQ5_K;
  static constexpr bool kUpperBits = kType == GpuType::kQ6_K;
  static constexpr bool kLevels =
      kType == GpuType::kIQ4_NL || kType == GpuType::kIQ4_XS || kType == GpuType::kMXFP4;
};

// Four nibbles (one to a byte) as the levels that they number: IQ4's, or doubled E2M1.
template <GpuType kType>
__device__ __forceinline__ int Levels(int nibbles) {
  constexpr bool kE2M1 = kType == GpuType::kMXFP4;
  // {-127, -104, -83, -65}, {-49, -35, -22, -10}, {1, 13, 25, 38}, {53, 69, 89, 113}
  // {0, 1, 2, 3}, {4, 6, 8, 12}, and the same below zero.
  constexpr unsigned kTable[4] = {kE2M1 ? 0x03020100u : 0xbfad9881u, kE2M1 ? 0x0c080604u : 0xf6eaddcfu,
                                  kE2M1 ? 0xfdfeff00u : 0x26190d01u, kE2M1 ? 0xf4f8fafcu : 0x71594535u};
  const unsigned all = static_cast<unsigned>(nibbles);
  unsigned select = all & 0x07070707u;
  select = (select | select >> 4) & 0x00ff00ffu;
  select = (select | select >> 8) & 0x0000ffffu;
  const unsigned low = __byte_perm(kTable[0], kTable[1], select);
  const unsigned high = __byte_perm(kTable[2], kTable[3], select);
  const unsigned upper = (all >> 3 & 0x01010101u) * 0xffu;
  return static_cast<int>((low & ~upper) | (high & upper));
}

// 2^(exponent - 128): half of an E8M0 scale, since the levels are doubled.
__device__ __forceinline__ float HalvedExponent(uint8_t exponent) {
  return __int_as_float(exponent < 2 ? 0x00200000 << exponent : (exponent - 1) << 23);
}

__device__ __forceinline__ uint16_t Load16(const uint8_t* from) {
  return __ldg(reinterpret_cast<const uint16_t*>(from));
}

// The bytes of a unit's scales: its own, and those of its super-block.
struct RawScales {
  uint32_t own;
  uint32_t super;
};

template <GpuType kType>
__device__ __forceinline__ RawScales LoadRawScales(const GpuMatrix& matrix, size_t unit) {
  using Traits = UnitTraits<kType>;
  constexpr PlaneBytes kBytes = Traits::kBytes;
  const uint8_t* own = matrix.scales + unit * kBytes.scales;
  const uint8_t* super = matrix.super + unit / (kSuperCols / kUnitCols) * kBytes.super;
  RawScales raw = {0, 0};
  if (kBytes.scales == 1) raw.own = *own;
  if (kBytes.scales == 2) raw.own = Load16(own);
  if (kBytes.scales == 4) raw.own = __ldg(reinterpret_cast<const uint32_t*>(own));
  if (kBytes.super == 2) raw.super = Load16(super);
  if (kBytes.super == 4) raw.super = __ldg(reinterpret_cast<const uint32_t*>(super));
  return raw;
}

// The scales of a unit's halves, and its minimum.
template <GpuType kType>
__device__ __forceinline__ void DecodeScales(const RawScales& raw, float (&scale)[2], float& minimum) {
  using Traits = UnitTraits<kType>;
  const auto half = [](uint32_t bits) { return HalfToFloat(static_cast<uint16_t>(bits & 0xffffu)); };
  minimum = 0;
  if (kType == GpuType::kMXFP4) {
    scale[0] = scale[1] = HalvedExponent(static_cast<uint8_t>(raw.own));
  } else if (!Traits::kSuper) {
    scale[0] = scale[1] = half(raw.own);
    if (Traits::kMinimum) minimum = half(raw.own >> 16);
  } else if (Traits::kMinimum) {
    scale[0] = scale[1] = half(raw.super) * static_cast<float>(raw.own & 0xff);
    minimum = -(half(raw.super >> 16) * static_cast<float>(raw.own >> 8));
  } else {
    scale[0] = half(raw.super) * static_cast<float>(static_cast<int8_t>(raw.own & 0xff));
    scale[1] =
        Traits::kHalves ? half(raw.super) * static_cast<float>(static_cast<int8_t>(raw.own >> 8)) : scale[0];
  }
}

// Unit `unit` (row * units per row + unit of the row) of a matrix.
template <GpuType kType>
__device__ __forceinline__ void LoadUnit(const GpuMatrix& matrix, size_t unit, Unit& out) {
  using Traits = UnitTraits<kType>;
  constexpr PlaneBytes kBytes = Traits::kBytes;
  const uint4* codes = reinterpret_cast<const uint4*>(matrix.codes + unit * kBytes.codes);
  const uint4 first = __ldg(codes);
  if (Traits::kNibbles) {
    const unsigned words[4] = {first.x, first.y, first.z, first.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out.codes[i] = static_cast<int>(words[i] & 0x0f0f0f0fu);
      out.codes[i + 4] = static_cast<int>(words[i] >> 4 & 0x0f0f0f0fu);
    }
  } else {
    const uint4 second = __ldg(codes + 1);
    const unsigned words[8] = {first.x, first.y, first.z, first.w, second.x, second.y, second.z, second.w};
#pragma unroll
    for (int i = 0; i < 8; ++i) out.codes[i] = static_cast<int>(words[i]);
  }
  if (Traits::kFifthBits) {
    const uint32_t bits = __ldg(reinterpret_cast<const uint32_t*>(matrix.high + unit * kBytes.high));
#pragma unroll
    for (int i = 0; i < 8; ++i) {
      out.codes[i] |= static_cast<int>(((bits >> (4 * i) & 15u) * 0x00204081u & 0x01010101u) << 4);
    }
  }
  if (Traits::kUpperBits) {
    const uint2 bits = __ldg(reinterpret_cast<const uint2*>(matrix.high + unit * kBytes.high));
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      out.codes[i] |= static_cast<int>((bits.x >> (2 * i) & 0x03030303u) << 4);
      out.codes[i + 4] |= static_cast<int>((bits.y >> (2 * i) & 0x03030303u) << 4);
    }
  }
  if (Traits::kLevels) {
#pragma unroll
    for (int i = 0; i < 8; ++i) out.codes[i] = Levels<kType>(out.codes[i]);
  }

  DecodeScales<kType>(LoadRawScales<kType>(matrix, unit), out.scale, out.minimum);
}

// Weight i of the unit as float32.
template <GpuType kType>
__device__ __forceinline__ float WeightOf(const Unit& unit, int i) {
  // Codes with 8 bits have a sign, those with an offset or a minimum have not reached it.
  const int code = static_cast<int8_t>(unit.codes[i / 4] >> (8 * (i % 4))) - UnitTraits<kType>::kOffset;
  const float scaled = unit.scale[i / 16] * static_cast<float>(code);
  return UnitTraits<kType>::kMinimum ? scaled + unit.minimum : scaled;
}

// Eight neighbours of a row of floats, from column `col` (a multiple of 8) on.
template <GpuType kType>
__device__ __forceinline__ void LoadFloats(const GpuMatrix& matrix, size_t row, uint32_t col,
                                           float (&out)[8]) {
  const size_t at = row * matrix.cols + col;
  if (kType == GpuType::kF32) {
    const float4* from = reinterpret_cast<const float4*>(matrix.codes + at * 4);
    const float4 a = __ldg(from), b = __ldg(from + 1);
    out[0] = a.x, out[1] = a.y, out[2] = a.z, out[3] = a.w;
    out[4] = b.x, out[5] = b.y, out[6] = b.z, out[7] = b.w;
    return;
  }
  const uint4 raw = __ldg(reinterpret_cast<const uint4*>(matrix.codes + at * 2));
  const unsigned words[4] = {raw.x, raw.y, raw.z, raw.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint16_t low = static_cast<uint16_t>(words[i] & 0xffffu),
                   high = static_cast<uint16_t>(words[i] >> 16);
    out[2 * i] = kType == GpuType::kF16 ? HalfToFloat(low) : Bfloat16ToFloat(low);
    out[2 * i + 1] = kType == GpuType::kF16 ? HalfToFloat(high) : Bfloat16ToFloat(high);
  }
}

// The columns of a row are summed in kChains chains, whose sums are added in their order: chain c has the
// units of every kChains-th group of kChainUnits units, from group c on.
inline constexpr uint32_t kChains = 16;
inline constexpr uint32_t kChainUnits = 4;

// As engine/kernel/fixed_point.h: units of 2^-24; NaN and what is out of range become the smallest number.
inline constexpr float kFixedPointScale = 16777216.0f;
__device__ __forceinline__ int64_t RoundScaled(float scaled) {
  // Conversions to 32 bits take a fraction of the time.
  if (fabsf(scaled) < 2147483520.0f) return __float2int_rn(scaled);
  if (!(fabsf(scaled) < 9.2233720368547758e18f)) return static_cast<int64_t>(0x8000000000000000ull);
  return __float2ll_rn(scaled);
}
__device__ __forceinline__ int64_t ToFixedPoint(float value) { return RoundScaled(value * kFixedPointScale); }

// 1.5 * 2^23: the sum with a number below 2^22 has, in its lowest bits, that number rounded to an integer.
inline constexpr float kRoundingNumber = 12582912.0f;
inline constexpr int kRoundingBits = 0x4b400000;
// Whether a sum with it has a number that was too large.
__device__ __forceinline__ bool TooLarge(int bits) {
  return ((bits ^ kRoundingBits) & static_cast<int>(0xff800000u)) != 0;
}
// scale * product rounded to an integer: once where that is below 2^22 (0.25 in fixed point), else twice.
__device__ __forceinline__ int64_t FixedProduct(float scale, float product) {
  const int bits = __float_as_int(fmaf(scale, product, kRoundingNumber));
  return TooLarge(bits) ? RoundScaled(scale * product) : bits - kRoundingBits;
}
// Wraps.
__device__ __forceinline__ int64_t AddFixedPoint(int64_t a, int64_t b) {
  return static_cast<int64_t>(static_cast<uint64_t>(a) + static_cast<uint64_t>(b));
}
__device__ __forceinline__ void AtomicAddFixedPoint(int64_t* to, int64_t value) {
  atomicAdd(reinterpret_cast<unsigned long long*>(to), static_cast<unsigned long long>(value));
}

// The sum of a value over a warp, in every lane; of numbers of 64 bits those in fixed point.
template <class T>
__device__ __forceinline__ T WarpSum(T value) {
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2) {
    const T other = __shfl_xor_sync(0xffffffffu, value, offset);
    if constexpr (std::is_same_v<T, int64_t>) {
      value = AddFixedPoint(value, other);
    } else {
      value += other;
    }
  }
  return value;
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND

#endif  // HEARTH_ENGINE_GPU_UNITS_H_
