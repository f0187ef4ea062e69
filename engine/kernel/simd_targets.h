#ifndef HEARTH_ENGINE_KERNEL_SIMD_TARGETS_H_
#define HEARTH_ENGINE_KERNEL_SIMD_TARGETS_H_

// Included before any Highway header: which instruction sets the kernels are compiled for. AVX3_DL brings
// VNNI. SSSE3 is not worth its code size, and vectors of unknown size (SVE) cannot be held in arrays. A build
// may leave out more (HEARTH_LEFT_OUT_TARGETS of CMake).
#define HWY_WANT_AVX3_DL 1
#define HWY_DISABLED_TARGETS \
  (HWY_SSSE3 | HWY_SVE | HWY_SVE2 | HWY_SVE_256 | HWY_SVE2_128 | HEARTH_LEFT_OUT_TARGETS)

#endif  // HEARTH_ENGINE_KERNEL_SIMD_TARGETS_H_
