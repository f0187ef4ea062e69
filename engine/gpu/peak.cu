// What the matrix units of a GPU do at most: products of registers, nothing read.

#include "engine/gpu/elementwise.h"
#include "engine/gpu/gpu.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {
namespace {

constexpr int kThreads = kPeakWarps * 32;
constexpr int kIndependent = kPeakProducts;

template <bool kCodes>
__global__ void __launch_bounds__(kThreads) MatrixUnits(const PeakArgs args) {
#if HEARTH_GPU_MATRIX_UNITS
  uint32_t a[4], b[2];
  for (uint32_t i = 0; i < 4; ++i) a[i] = threadIdx.x * 5 + i;
  for (uint32_t i = 0; i < 2; ++i) b[i] = threadIdx.x * 3 + i;
  int codes[kIndependent][4] = {};
  float halves[kIndependent][4] = {};
  for (uint32_t round = 0; round < args.rounds; ++round) {
#pragma unroll
    for (int i = 0; i < kIndependent; ++i) {
      if (kCodes) {
        MmaS8(codes[i], a, b);
      } else {
        MmaF16(halves[i], a, b);
      }
    }
  }
  float sum = 0;
  for (int i = 0; i < kIndependent; ++i) {
    for (int j = 0; j < 4; ++j) sum += kCodes ? static_cast<float>(codes[i][j]) : halves[i][j];
  }
  args.out[blockIdx.x * kThreads + threadIdx.x] = sum;
#endif
}

}  // namespace

cudaError_t LaunchPeak(const PeakArgs& args, cudaStream_t stream) {
  return Launch(args.codes ? MatrixUnits<true> : MatrixUnits<false>, dim3(args.blocks), dim3(kThreads), 0,
                stream, args);
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
