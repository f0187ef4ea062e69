#ifndef HEARTH_TESTS_CUDA_EMU_DEVICE_FUNCTIONS_H_
#define HEARTH_TESTS_CUDA_EMU_DEVICE_FUNCTIONS_H_

#include <math.h>    // NOLINT: the names without std::, as kernels use them
#include <stdlib.h>  // NOLINT

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/half.h"
#include "tests/cuda_emu/location.h"
#include "tests/cuda_emu/vector_types.h"
#include "tests/cuda_emu/warp.h"

// What a kernel may call, under CUDA's names and with CUDA's meaning. Functions take the place of their call
// as a last argument that callers leave out.
namespace hearth::cuda_emu {

namespace internal {

// Replaces the value by what `change` makes of it, as one step; returns the former value.
template <class T, class Change>
T ChangeAtomically(T* address, Change change) {
  T former;
  __atomic_load(address, &former, __ATOMIC_RELAXED);
  for (;;) {
    T changed = change(former);
    if (__atomic_compare_exchange(address, &former, &changed, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
      return former;
    }
  }
}

// A static shared object of the running block; HEARTH_SHARED's.
template <class T>
T& SharedObject(const void* key) {
  return *static_cast<T*>(StaticShared(key, sizeof(T), alignof(T)));
}

}  // namespace internal

constexpr int warpSize = 32;  // NOLINT: CUDA's name

// ---- Warps

// Meets the lanes of `mask` and orders their memory accesses.
inline void __syncwarp(unsigned mask = ~0u, internal::Location where = internal::Location::Current()) {
  internal::SyncWarp({"__syncwarp", where, mask, nullptr, {}, true});
}

// The value of lane `source` (of the caller's `width` lanes). From a lane outside `mask` come bytes of 0xff.
template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = 32,
              internal::Location where = internal::Location::Current()) {
  return internal::Shuffle("__shfl_sync", where, mask, value, internal::ShuffleSource(source, width));
}

// The value of the lane whose number differs from the caller's by the bits of `lane_mask`.
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask, int width = 32,
                  internal::Location where = internal::Location::Current()) {
  return internal::Shuffle("__shfl_xor_sync", where, mask, value,
                           internal::ShuffleXorSource(lane_mask, width));
}

// The value of the lane `delta` higher; its own beyond the end.
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = 32,
                   internal::Location where = internal::Location::Current()) {
  return internal::Shuffle("__shfl_down_sync", where, mask, value, internal::ShuffleDownSource(delta, width));
}

// The value of the lane `delta` lower; its own beyond the start.
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = 32,
                 internal::Location where = internal::Location::Current()) {
  return internal::Shuffle("__shfl_up_sync", where, mask, value, internal::ShuffleUpSource(delta, width));
}

// The lanes of `mask` whose predicate holds.
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              internal::Location where = internal::Location::Current()) {
  return internal::Ballot("__ballot_sync", where, mask, predicate != 0);
}

// Whether the predicate of any lane of `mask` holds.
inline int __any_sync(unsigned mask, int predicate,
                      internal::Location where = internal::Location::Current()) {
  return internal::Ballot("__any_sync", where, mask, predicate != 0) != 0;
}

// Whether the predicates of all lanes of `mask` hold.
inline int __all_sync(unsigned mask, int predicate,
                      internal::Location where = internal::Location::Current()) {
  return internal::Ballot("__all_sync", where, mask, predicate != 0) == mask;
}

// ---- Matrix fragments of a whole warp, laid out as the PTX ISA says (mma.m16n8k32 and mma.m16n8k16,
// row.col)

// d(16x8, int32) += a(16x32, int8) * b(32x8, int8), wrapping around.
inline void MmaS8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                  internal::Location where = internal::Location::Current()) {
  internal::Mma("MmaS8", where, d, a, b, internal::CombineMmaS8);
}

// d(16x8, float) += a(16x16, half) * b(16x8, half). The sum is rounded once here; cards round in their own
// way.
inline void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                   internal::Location where = internal::Location::Current()) {
  internal::Mma("MmaF16", where, d, a, b, internal::CombineMmaF16);
}

// As MmaF16, of bfloat16.
inline void MmaBf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                    internal::Location where = internal::Location::Current()) {
  internal::Mma("MmaBf16", where, d, a, b, internal::CombineMmaBf16);
}

// ---- Asynchronous copies to shared memory

// cp.async: 16 bytes arrive when the calling thread waits for their group, and are 0xff until then.
inline void CopyAsync16(void* shared, const void* global,
                        internal::Location where = internal::Location::Current()) {
  internal::StartAsyncCopy(shared, global, where);
}

// Makes a group of the copies that the calling thread started since its last group.
inline void CopyAsyncCommit() { internal::CommitAsyncCopies(); }

// Waits until at most `pending_groups` of the calling thread's latest groups are still under way.
template <int pending_groups>
void CopyAsyncWait() {
  static_assert(pending_groups >= 0, "a number of groups");
  internal::FinishAsyncCopies(pending_groups);
}

// ---- Bits and integers

inline int __popc(unsigned value) { return __builtin_popcount(value); }
inline int __popcll(unsigned long long value) { return __builtin_popcountll(value); }
inline int __ffs(int value) { return __builtin_ffs(value); }
inline int __ffsll(long long value) { return __builtin_ffsll(value); }
inline int __clz(int value) { return value == 0 ? 32 : __builtin_clz(static_cast<unsigned>(value)); }
inline int __clzll(long long value) {
  return value == 0 ? 64 : __builtin_clzll(static_cast<unsigned long long>(value));
}

// c plus the dot product of the four signed bytes in a and in b, wrapping around.
inline int __dp4a(int a, int b, int c) {
  unsigned sum = static_cast<unsigned>(c);
  for (int shift = 0; shift < 32; shift += 8) {
    sum += static_cast<unsigned>(static_cast<int8_t>(a >> shift) * static_cast<int8_t>(b >> shift));
  }
  return static_cast<int>(sum);
}

// As above, of unsigned bytes.
inline unsigned __dp4a(unsigned a, unsigned b, unsigned c) {
  for (int shift = 0; shift < 32; shift += 8) c += (a >> shift & 255u) * (b >> shift & 255u);
  return c;
}

// Four bytes chosen by the nibbles of `selector` from the eight of x (0 to 3) and y (4 to 7).
inline unsigned __byte_perm(unsigned x, unsigned y, unsigned selector) {
  const uint64_t bytes = uint64_t{y} << 32 | x;
  unsigned result = 0;
  for (int i = 0; i < 4; i++) {
    const unsigned chosen = selector >> 4 * i & 7u;
    result |= static_cast<unsigned>(bytes >> 8 * chosen & 255u) << 8 * i;
  }
  return result;
}

// The upper half of the product.
inline unsigned __umulhi(unsigned x, unsigned y) { return static_cast<unsigned>(uint64_t{x} * y >> 32); }
inline int __mulhi(int x, int y) { return static_cast<int>(int64_t{x} * y >> 32); }

// The smaller and the larger of two numbers, of floating point as fmin and fmax.
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
constexpr std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmin(static_cast<T>(a), static_cast<T>(b));
  return static_cast<T>(b) < static_cast<T>(a) ? static_cast<T>(b) : static_cast<T>(a);
}
template <class A, class B, class = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
constexpr std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  if constexpr (std::is_floating_point_v<T>) return std::fmax(static_cast<T>(a), static_cast<T>(b));
  return static_cast<T>(a) < static_cast<T>(b) ? static_cast<T>(b) : static_cast<T>(a);
}

// ---- Conversions

inline float __int_as_float(int bits) { return internal::BitCast<float>(bits); }
inline int __float_as_int(float value) { return internal::BitCast<int>(value); }
inline float __uint_as_float(unsigned bits) { return internal::BitCast<float>(bits); }
inline unsigned __float_as_uint(float value) { return internal::BitCast<unsigned>(value); }

// To the nearest integer, ties to even; saturates. NaN becomes the smallest, as on the device.
inline long long __float2ll_rn(float value) {
  using Limits = std::numeric_limits<long long>;
  if (value >= 0x1p63f) return Limits::max();
  return value >= -0x1p63f ? static_cast<long long>(std::nearbyint(value)) : Limits::min();
}

// To the nearest integer, ties to even; saturates. NaN becomes 0, as on the device.
inline int __float2int_rn(float value) {
  using Limits = std::numeric_limits<int>;
  if (value >= 0x1p31f) return Limits::max();
  if (value < -0x1p31f) return Limits::min();
  return value == value ? static_cast<int>(std::nearbyint(value)) : 0;
}

// Towards zero; saturates. NaN becomes 0, as on the device.
inline int __float2int_rz(float value) { return __float2int_rn(std::trunc(value)); }

// ---- Floating point. The fast ones are the exact ones here.

inline float rsqrtf(float value) { return 1.0f / std::sqrt(value); }
inline float __expf(float value) { return std::exp(value); }
inline float __exp10f(float value) { return std::pow(10.0f, value); }
inline float __logf(float value) { return std::log(value); }
inline float __log2f(float value) { return std::log2(value); }
inline float __powf(float base, float exponent) { return std::pow(base, exponent); }
inline float __sinf(float value) { return std::sin(value); }
inline float __cosf(float value) { return std::cos(value); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __frcp_rn(float value) { return 1.0f / value; }
inline float __fsqrt_rn(float value) { return std::sqrt(value); }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fma(a, b, c); }

// Ends the kernel, as a found bug.
[[noreturn]] inline void __trap(internal::Location where = internal::Location::Current()) {
  internal::FailKernel(where, "__trap was called");
}

// ---- Memory

// A load through the read-only cache.
template <class T>
T __ldg(const T* address) {
  static_assert(std::is_trivially_copyable_v<T>, "a load copies bytes");
  return *address;
}

inline void __threadfence() { internal::FenceMemory(); }
inline void __threadfence_block() { internal::FenceMemory(); }

// Each of the following returns the former value and orders no other memory access.
inline int atomicAdd(int* address, int value) { return __atomic_fetch_add(address, value, __ATOMIC_RELAXED); }
inline unsigned atomicAdd(unsigned* address, unsigned value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline unsigned long long atomicAdd(unsigned long long* address, unsigned long long value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}
inline float atomicAdd(float* address, float value) {
  return internal::ChangeAtomically(address, [value](float former) { return former + value; });
}
inline int atomicMax(int* address, int value) {
  return internal::ChangeAtomically(address, [value](int former) { return std::max(former, value); });
}
inline unsigned atomicMax(unsigned* address, unsigned value) {
  return internal::ChangeAtomically(address, [value](unsigned former) { return std::max(former, value); });
}
inline int atomicMin(int* address, int value) {
  return internal::ChangeAtomically(address, [value](int former) { return std::min(former, value); });
}
inline unsigned atomicMin(unsigned* address, unsigned value) {
  return internal::ChangeAtomically(address, [value](unsigned former) { return std::min(former, value); });
}
inline int atomicExch(int* address, int value) {
  return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}
inline unsigned atomicExch(unsigned* address, unsigned value) {
  return __atomic_exchange_n(address, value, __ATOMIC_RELAXED);
}

// Stores `value` if `expected` is there; returns what was there.
inline int atomicCAS(int* address, int expected, int value) {
  __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
inline unsigned atomicCAS(unsigned* address, unsigned expected, unsigned value) {
  __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
inline unsigned long long atomicCAS(unsigned long long* address, unsigned long long expected,
                                    unsigned long long value) {
  __atomic_compare_exchange_n(address, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}

}  // namespace hearth::cuda_emu

#endif  // HEARTH_TESTS_CUDA_EMU_DEVICE_FUNCTIONS_H_
