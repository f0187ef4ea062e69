// Vector helpers that several kernel files share. Compiled once per instruction set (Highway's -inl scheme).
#if defined(HEARTH_ENGINE_KERNEL_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_SIMD_INL_H_
#undef HEARTH_ENGINE_KERNEL_SIMD_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_SIMD_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>
#include <utility>

#include "engine/kernel/fixed_point.h"
#include "hwy/highway.h"

// Behind the parameters of a lambda inside a kernel.
#ifndef HEARTH_INLINE_LAMBDA
#define HEARTH_INLINE_LAMBDA HWY_ATTR __attribute__((always_inline))
#endif

// In front of a loop that is to stay one.
#ifndef HEARTH_KEEP_LOOP
#if HWY_COMPILER_CLANG
#define HEARTH_KEEP_LOOP _Pragma("clang loop unroll(disable)")
#else
#define HEARTH_KEEP_LOOP _Pragma("GCC unroll 1")
#endif
#endif

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// At most 16 lanes, so that 16 or 32 values are always a whole number of vectors.
using F32 = hn::CappedTag<float, 16>;
using VF32 = hn::Vec<F32>;
using I32 = hn::Rebind<int32_t, F32>;
using VI32 = hn::Vec<I32>;
inline constexpr size_t kLanes = hn::MaxLanes(F32());

// f(0), f(1) .. f(N - 1) with the number as a constant. Arrays of vectors that are only indexed with
// constants stay in registers; in a loop the compiler may keep a copy in memory.
template <size_t kCount, class F>
HWY_INLINE void Repeat(const F& f) {
  [&]<size_t... i>(std::index_sequence<i...>) HEARTH_INLINE_LAMBDA {
    (f(std::integral_constant<size_t, i>()), ...);
  }
  (std::make_index_sequence<kCount>());
}

// Sums run in 32 partial sums whatever the vector size: value i belongs to partial sum i % 32, and the
// partial sums are folded in halves. Machines with different vectors thus add in the same order.
inline constexpr size_t kPartials = 32;
inline constexpr size_t kPartialVectors = kPartials / kLanes;

struct Partials {
  VF32 v[kPartialVectors];

  HWY_INLINE Partials() {
    for (VF32& sum : v) sum = hn::Zero(F32());
  }

  // All lanes, in a fixed order.
  HWY_INLINE float Sum() const {
    HWY_ALIGN float lanes[kPartials];
    for (size_t i = 0; i < kPartialVectors; ++i) hn::Store(v[i], F32(), lanes + i * kLanes);
    for (size_t half = kPartials / 2; half > 0; half /= 2) {
      for (size_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
  }
};

// A vector from bytes of any alignment: one instruction once compiled.
template <class D>
HWY_INLINE hn::Vec<D> LoadBytes(D d, const void* p) {
  HWY_ALIGN hn::TFromD<D> lanes[hn::MaxLanes(d)];
  std::memcpy(lanes, p, sizeof(lanes));
  return hn::Load(d, lanes);
}

// A vector of values from memory of any alignment, as float32.
HWY_INLINE VF32 LoadFloat(const void* p) { return LoadBytes(F32(), p); }

// The same from half precision.
HWY_INLINE VF32 LoadHalf(const void* p) {
  return hn::PromoteTo(F32(), LoadBytes(hn::Rebind<hwy::float16_t, F32>(), p));
}

// The same from bfloat16.
HWY_INLINE VF32 LoadBFloat16(const void* p) {
  const hn::Rebind<uint32_t, F32> du32;
  const auto wide = hn::PromoteTo(du32, LoadBytes(hn::Rebind<uint16_t, F32>(), p));
  return hn::BitCast(F32(), hn::ShiftLeft<16>(wide));
}

// The same from bytes with a sign.
HWY_INLINE VF32 LoadInt8(const void* p) {
  return hn::ConvertTo(F32(), hn::PromoteTo(I32(), LoadBytes(hn::Rebind<int8_t, F32>(), p)));
}

// out[i] = op(a[i], b[i]); reads and writes nothing beyond n.
template <class Op>
HWY_INLINE void Transform(const float* a, const float* b, size_t n, float* out, const Op& op) {
  const F32 d;
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) hn::StoreU(op(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  if (i == n) return;
  HWY_ALIGN float tail_a[kLanes] = {};
  HWY_ALIGN float tail_b[kLanes] = {};
  std::memcpy(tail_a, a + i, (n - i) * sizeof(float));
  std::memcpy(tail_b, b + i, (n - i) * sizeof(float));
  hn::Store(op(hn::Load(d, tail_a), hn::Load(d, tail_b)), d, tail_a);
  std::memcpy(out + i, tail_a, (n - i) * sizeof(float));
}

// Adds op(sum, a[i], b[i]) into partial sum i % 32. Past the end both stand for `pad`.
template <class Op>
HWY_INLINE void Accumulate(const float* a, const float* b, size_t n, float pad, const Op& op,
                           Partials& sums) {
  const F32 d;
  size_t i = 0;
  for (; i + kPartials <= n; i += kPartials) {
    for (size_t v = 0; v < kPartialVectors; ++v) {
      sums.v[v] = op(sums.v[v], hn::LoadU(d, a + i + v * kLanes), hn::LoadU(d, b + i + v * kLanes));
    }
  }
  if (i == n) return;
  HWY_ALIGN float tail_a[kPartials];
  HWY_ALIGN float tail_b[kPartials];
  std::fill(std::copy(a + i, a + n, tail_a), tail_a + kPartials, pad);
  std::fill(std::copy(b + i, b + n, tail_b), tail_b + kPartials, pad);
  for (size_t v = 0; v < kPartialVectors; ++v) {
    sums.v[v] = op(sums.v[v], hn::Load(d, tail_a + v * kLanes), hn::Load(d, tail_b + v * kLanes));
  }
}

// Adds products of a and b, n values each, to the partial sums.
HWY_INLINE void AccumulateDot(const float* a, const float* b, size_t n, Partials& sums) {
  Accumulate(
      a, b, n, 0.0f, [](VF32 sum, VF32 x, VF32 y) HWY_ATTR { return hn::MulAdd(x, y, sum); }, sums);
}

// Minus infinity for none.
HWY_INLINE float Largest(size_t n, const float* x) {
  const F32 d;
  VF32 lanes = hn::Set(d, -std::numeric_limits<float>::infinity());
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) lanes = hn::Max(lanes, hn::LoadU(d, x + i));
  float largest = hn::GetLane(hn::MaxOfLanes(d, lanes));
  for (; i < n; ++i) largest = std::max(largest, x[i]);
  return largest;
}

// sums[i] += ToFixedPoint(values[i]), wrapping.
HWY_INLINE void AddFixedPoints(const float* values, size_t count, int64_t* sums) {
#if HWY_TARGET <= HWY_AVX3
  // One instruction, which Highway does not offer, rounds to nearest and gives the smallest number for what
  // does not fit. The scale is a power of two, so that the product is exact or too large.
  for (; count >= 8; count -= 8, values += 8, sums += 8) {
    const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(values), _mm256_set1_ps(kFixedPointScale));
    const __m512i sum = _mm512_add_epi64(_mm512_loadu_si512(sums), _mm512_cvtps_epi64(scaled));
    _mm512_storeu_si512(sums, sum);
  }
#endif
  const hn::CappedTag<double, 8> d;
  const hn::Rebind<float, decltype(d)> narrow;
  const hn::Rebind<int64_t, decltype(d)> integer;
  constexpr size_t kStep = hn::MaxLanes(d);
  const auto limit = hn::Set(d, 9223372036854775808.0), none = hn::Set(d, 0.0);
  const auto smallest = hn::Set(integer, std::numeric_limits<int64_t>::min());
  size_t i = 0;
  for (; i + kStep <= count; i += kStep) {
    const auto scaled =
        hn::Mul(hn::PromoteTo(d, hn::LoadU(narrow, values + i)), hn::Set(d, double{kFixedPointScale}));
    const auto fits = hn::Lt(hn::Abs(scaled), limit);
    const auto fixed = hn::ConvertTo(integer, hn::IfThenElse(fits, hn::Round(scaled), none));
    const auto added = hn::IfThenElse(hn::RebindMask(integer, fits), fixed, smallest);
    hn::StoreU(hn::Add(hn::LoadU(integer, sums + i), added), integer, sums + i);
  }
  for (; i < count; ++i) sums[i] = AddFixedPoint(sums[i], ToFixedPoint(values[i]));
}

// The same for kLanes values.
HWY_INLINE void AddFixedPoints(VF32 values, int64_t* sums) {
#if HWY_TARGET <= HWY_AVX3
  const __m512 scaled = _mm512_mul_ps(values.raw, _mm512_set1_ps(kFixedPointScale));
  const auto add = [&](__m256 half, int64_t* to) HEARTH_INLINE_LAMBDA {
    _mm512_storeu_si512(to, _mm512_add_epi64(_mm512_loadu_si512(to), _mm512_cvtps_epi64(half)));
  };
  add(_mm512_castps512_ps256(scaled), sums);
  add(_mm512_extractf32x8_ps(scaled, 1), sums + 8);
#else
  HWY_ALIGN float in_memory[kLanes];
  hn::Store(values, F32(), in_memory);
  AddFixedPoints(in_memory, kLanes, sums);
#endif
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
