#ifndef HEARTH_ENGINE_GPU_GPU_H_
#define HEARTH_ENGINE_GPU_GPU_H_

// The one header through which kernels know the GPU: launching, shared memory, shuffles, matrix fragments,
// memory, streams. Under nvcc it is CUDA; with HEARTH_GPU_EMULATED, which names
// its header, it is the emulator, which runs the same source on CPUs. Files that include it are C++17 and
// know neither Abseil nor anything of a network.

#include <cstddef>
#include <cstdint>

#if defined(HEARTH_GPU_EMULATED)

#include HEARTH_GPU_EMULATED

#define HEARTH_GPU_BACKEND emulated
namespace hearth::gpu::emulated {
using namespace ::hearth::cuda_emu;  // NOLINT: stands for CUDA's own global names
}

#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#define HEARTH_GPU_BACKEND cuda

// A static object in shared memory; arrays by their type: HEARTH_SHARED(float[32], part).
#define HEARTH_SHARED(T, name) __shared__ typename ::hearth::gpu::cuda::Identity<T>::Type name
// The shared memory whose size the launch gives.
#define HEARTH_DYNAMIC_SHARED(T, name)                          \
  extern __shared__ __align__(16) unsigned char shared_bytes[]; \
  T* name = reinterpret_cast<T*>(shared_bytes)

namespace hearth::gpu::cuda {

template <class T>
struct Identity {
  using Type = T;
};

template <class... P, class... A>
cudaError_t Launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                   A... args) {
  // clang-format off
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<P>(args)...);  // it takes a launch for comparisons
  // clang-format on
  return cudaGetLastError();
}

__device__ __forceinline__ float HalfToFloat(uint16_t bits) { return __half2float(__ushort_as_half(bits)); }
__device__ __forceinline__ uint16_t FloatToHalf(float value) {
  return __half_as_ushort(__float2half_rn(value));
}
__device__ __forceinline__ float Bfloat16ToFloat(uint16_t bits) {
  return __uint_as_float(static_cast<uint32_t>(bits) << 16);
}
__device__ __forceinline__ uint16_t FloatToBfloat16(float value) {
  return __bfloat16_as_ushort(__float2bfloat16_rn(value));
}

// D (16, 8) += A (16, 16) B (16, 8) of one warp, in half precision with float32 sums; fragments as the PTX
// ISA has them for m16n8k16.
__device__ __forceinline__ void MmaF16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#elif __CUDA_ARCH__ >= 750
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(b[0]));
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3},{%4,%5},{%6},{%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[2]), "r"(a[3]), "r"(b[1]));
#else
  __trap();
#endif
}

// D (16, 8) += A (16, 32) B (32, 8) of one warp, 8-bit codes with 32-bit sums; fragments as the PTX ISA has
// them for m16n8k32.
__device__ __forceinline__ void MmaS8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
#if __CUDA_ARCH__ >= 800
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3},{%4,%5,%6,%7},{%8,%9},{%0,%1,%2,%3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
  __trap();
#endif
}

// Asks for 16 bytes of shared memory; they are there after CopyAsyncCommit and CopyAsyncWait<n>, which waits
// until all but the last n groups of the thread's copies have come.
__device__ __forceinline__ void CopyAsync16(void* shared, const void* global) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(shared))),
               "l"(global)
               : "memory");
#else
  __trap();
#endif
}
__device__ __forceinline__ void CopyAsyncCommit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int kGroups>
__device__ __forceinline__ void CopyAsyncWait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(kGroups) : "memory");
#endif
}

}  // namespace hearth::gpu::cuda

#endif

// Whether the code is compiled for a GPU with 8-bit matrix units and asynchronous copies: compute
// capability 8.0.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#define HEARTH_GPU_MATRIX_UNITS 0
#else
#define HEARTH_GPU_MATRIX_UNITS 1
#endif

#endif  // HEARTH_ENGINE_GPU_GPU_H_
