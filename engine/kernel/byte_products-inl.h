// The product of four 8-bit weights with four 8-bit activations in every lane: the step that all products of
// quantised weights are made of. Compiled once per instruction set.
#if defined(HEARTH_ENGINE_KERNEL_BYTE_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_BYTE_PRODUCTS_INL_H_
#undef HEARTH_ENGINE_KERNEL_BYTE_PRODUCTS_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_BYTE_PRODUCTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// sum += the products of the four columns of a quad: lane r adds w[r][0..3] * a[0..3], where `a` are the same
// four codes for every lane; AddQuads has those of lane r in a's lane r. kSignedCodes tells whether the
// weights are signed here, see LoadCodes.
#if HWY_TARGET == HWY_AVX3_DL
constexpr bool kSignedCodes = false;
HWY_INLINE void AddQuad(VI32 w, const int8_t* a, VI32& sum) {
  // Highway knows no such operation, and its target does not let the compiler use the intrinsic.
  const auto& quad = *reinterpret_cast<const int8_t(*)[4]>(a);
  asm("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "m"(quad));
}
HWY_INLINE void AddQuads(VI32 w, VI32 a, VI32& sum) {
  asm("vpdpbusd %2, %1, %0" : "+v"(sum.raw) : "v"(w.raw), "v"(a.raw));
}
#else
constexpr bool kSignedCodes = true;
HWY_INLINE VI32 BroadcastQuad(const int8_t* codes) {
  int32_t quad;
  std::memcpy(&quad, codes, sizeof(quad));
  return hn::Set(I32(), quad);
}
#if HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_AVX2 || HWY_TARGET == HWY_SSE4
// The products of unsigned by signed bytes, added in fours. Sums of two must fit 16 bits.
#if HWY_TARGET == HWY_AVX3
HWY_INLINE VI32 Absolute(VI32 w) { return VI32{_mm512_abs_epi8(w.raw)}; }
HWY_INLINE VI32 WithSign(VI32 a, VI32 w) {
  return VI32{_mm512_mask_sub_epi8(a.raw, _mm512_movepi8_mask(w.raw), _mm512_setzero_si512(), a.raw)};
}
HWY_INLINE VI32 SumsOfFour(VI32 w, VI32 a) {
  return VI32{_mm512_madd_epi16(_mm512_maddubs_epi16(w.raw, a.raw), _mm512_set1_epi16(1))};
}
#elif HWY_TARGET == HWY_AVX2
HWY_INLINE VI32 Absolute(VI32 w) { return VI32{_mm256_abs_epi8(w.raw)}; }
HWY_INLINE VI32 WithSign(VI32 a, VI32 w) { return VI32{_mm256_sign_epi8(a.raw, w.raw)}; }
HWY_INLINE VI32 SumsOfFour(VI32 w, VI32 a) {
  return VI32{_mm256_madd_epi16(_mm256_maddubs_epi16(w.raw, a.raw), _mm256_set1_epi16(1))};
}
#else
HWY_INLINE VI32 Absolute(VI32 w) { return VI32{_mm_abs_epi8(w.raw)}; }
HWY_INLINE VI32 WithSign(VI32 a, VI32 w) { return VI32{_mm_sign_epi8(a.raw, w.raw)}; }
HWY_INLINE VI32 SumsOfFour(VI32 w, VI32 a) {
  return VI32{_mm_madd_epi16(_mm_maddubs_epi16(w.raw, a.raw), _mm_set1_epi16(1))};
}
#endif
HWY_INLINE void AddQuads(VI32 w, VI32 a, VI32& sum) {
  // Moving the sign from w to a makes one factor unsigned: |w| <= 128, |a| <= 127, so two products fit 16
  // bits.
  sum = hn::Add(sum, SumsOfFour(Absolute(w), WithSign(a, w)));
}
HWY_INLINE void AddQuad(VI32 w, const int8_t* a, VI32& sum) { AddQuads(w, BroadcastQuad(a), sum); }
#else
template <int kByte>
HWY_INLINE VI32 SignedByte(VI32 v) {
  return hn::ShiftRight<24>(kByte == 3 ? v : hn::ShiftLeft<24 - 8 * kByte>(v));
}
// The bytes of w times a[0] .. a[3].
HWY_INLINE void AddBytes(VI32 w, const VI32 (&a)[4], VI32& sum) {
  const VI32 first = hn::Mul(SignedByte<0>(w), a[0]), second = hn::Mul(SignedByte<1>(w), a[1]);
  const VI32 third = hn::Mul(SignedByte<2>(w), a[2]), fourth = hn::Mul(SignedByte<3>(w), a[3]);
  sum = hn::Add(sum, hn::Add(hn::Add(first, second), hn::Add(third, fourth)));
}
HWY_INLINE void AddQuad(VI32 w, const int8_t* a, VI32& sum) {
  const I32 d;
  AddBytes(w, {hn::Set(d, a[0]), hn::Set(d, a[1]), hn::Set(d, a[2]), hn::Set(d, a[3])}, sum);
}
HWY_INLINE void AddQuads(VI32 w, VI32 a, VI32& sum) {
  AddBytes(w, {SignedByte<0>(a), SignedByte<1>(a), SignedByte<2>(a), SignedByte<3>(a)}, sum);
}
#endif
#endif

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
