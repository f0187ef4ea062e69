// Products of each head's own matrix: what latent attention does to queries before, and to results after, the
// attention over its cache.

#include "engine/gpu/attention.h"
#include "engine/gpu/gpu.h"
#include "engine/gpu/units.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {
namespace {

constexpr uint32_t kThreads = 128;
constexpr uint32_t kWarps = kThreads / 32;

// The 32 weights of a row from column 32 * unit on.
template <GpuType kType>
__device__ __forceinline__ void LoadWeights(const GpuMatrix& matrix, size_t row, uint32_t unit,
                                            float (&weights)[kUnitCols]) {
  if constexpr (UnitTraits<kType>::kCodes) {
    Unit loaded;
    LoadUnit<kType>(matrix, row * (matrix.cols / kUnitCols) + unit, loaded);
#pragma unroll
    for (int i = 0; i < static_cast<int>(kUnitCols); ++i) weights[i] = WeightOf<kType>(loaded, i);
  } else {
#pragma unroll
    for (uint32_t piece = 0; piece < kUnitCols / 8; ++piece) {
      float eight[8];
      LoadFloats<kType>(matrix, row, unit * kUnitCols + piece * 8, eight);
#pragma unroll
      for (uint32_t i = 0; i < 8; ++i) weights[piece * 8 + i] = eight[i];
    }
  }
}

// A warp per result: lanes share the columns.
template <GpuType kType>
__device__ void Dot(const HeadProductArgs& args, uint32_t head, const float* x, float* out) {
  const uint32_t lane = threadIdx.x % 32, r = blockIdx.x * kWarps + threadIdx.x / 32;
  if (r >= args.rows) return;
  const size_t row = static_cast<size_t>(head) * args.head_rows + args.first_row + r;
  float sum = 0;
  for (uint32_t unit = lane; unit * kUnitCols < args.cols; unit += 32) {
    float weights[kUnitCols];
    LoadWeights<kType>(args.weights, row, unit, weights);
#pragma unroll
    for (uint32_t i = 0; i < kUnitCols; ++i) {
      if (unit * kUnitCols + i < args.cols) sum = fmaf(weights[i], x[unit * kUnitCols + i], sum);
    }
  }
  sum = WarpSum(sum);
  if (lane == 0) out[r] = sum;
}

// A warp per 32 results, which are columns: lanes share the rows.
template <GpuType kType>
__device__ void DotOfColumns(const HeadProductArgs& args, uint32_t head, const float* x, float* out) {
  const uint32_t lane = threadIdx.x % 32, unit = blockIdx.x * kWarps + threadIdx.x / 32;
  if (unit * kUnitCols >= args.cols) return;
  const size_t first = static_cast<size_t>(head) * args.head_rows + args.first_row;
  float sums[kUnitCols] = {};
  for (uint32_t r = lane; r < args.rows; r += 32) {
    float weights[kUnitCols];
    LoadWeights<kType>(args.weights, first + r, unit, weights);
#pragma unroll
    for (uint32_t i = 0; i < kUnitCols; ++i) sums[i] = fmaf(weights[i], x[r], sums[i]);
  }
#pragma unroll
  for (uint32_t i = 0; i < kUnitCols; ++i) {
    const float sum = WarpSum(sums[i]);
    if (lane == i && unit * kUnitCols + i < args.cols) out[unit * kUnitCols + i] = sum;
  }
}

// Blocks of threads for one head of one row. Four of them leave a multiprocessor the registers that it takes
// without spilling.
template <GpuType kType>
__global__ void __launch_bounds__(kThreads, 4) HeadProducts(const HeadProductArgs args) {
  const uint32_t head = blockIdx.y;
  const float* x = args.x + static_cast<size_t>(blockIdx.z) * args.x_stride + head * args.x_head;
  float* out = args.out + static_cast<size_t>(blockIdx.z) * args.out_stride + head * args.out_head;
  const uint32_t read = args.transposed ? args.rows : args.cols;
  const uint32_t made = args.transposed ? args.cols : args.rows;
  if (blockIdx.x == 0) {
    for (uint32_t i = threadIdx.x; i < args.kept; i += kThreads) out[made + i] = x[read + i];
  }
  if (args.transposed) {
    DotOfColumns<kType>(args, head, x, out);
  } else {
    Dot<kType>(args, head, x, out);
  }
}

template <GpuType kType>
cudaError_t LaunchOfType(const HeadProductArgs& args, cudaStream_t stream) {
  const uint32_t warps = args.transposed ? (args.cols + kUnitCols - 1) / kUnitCols : args.rows;
  return Launch(HeadProducts<kType>, dim3((warps + kWarps - 1) / kWarps, args.heads, args.count),
                dim3(kThreads), 0, stream, args);
}

}  // namespace

cudaError_t LaunchHeadProducts(const HeadProductArgs& args, cudaStream_t stream) {
  switch (args.weights.type) {
    case GpuType::kF32:
      return LaunchOfType<GpuType::kF32>(args, stream);
    case GpuType::kF16:
      return LaunchOfType<GpuType::kF16>(args, stream);
    case GpuType::kBF16:
      return LaunchOfType<GpuType::kBF16>(args, stream);
    case GpuType::kQ4_0:
      return LaunchOfType<GpuType::kQ4_0>(args, stream);
    case GpuType::kQ4_1:
      return LaunchOfType<GpuType::kQ4_1>(args, stream);
    case GpuType::kQ5_0:
      return LaunchOfType<GpuType::kQ5_0>(args, stream);
    case GpuType::kQ5_1:
      return LaunchOfType<GpuType::kQ5_1>(args, stream);
    case GpuType::kQ8_0:
      return LaunchOfType<GpuType::kQ8_0>(args, stream);
    case GpuType::kQ3_K:
      return LaunchOfType<GpuType::kQ3_K>(args, stream);
    case GpuType::kQ4_K:
      return LaunchOfType<GpuType::kQ4_K>(args, stream);
    case GpuType::kQ5_K:
      return LaunchOfType<GpuType::kQ5_K>(args, stream);
    case GpuType::kQ6_K:
      return LaunchOfType<GpuType::kQ6_K>(args, stream);
    case GpuType::kIQ4_NL:
      return LaunchOfType<GpuType::kIQ4_NL>(args, stream);
    case GpuType::kIQ4_XS:
      return LaunchOfType<GpuType::kIQ4_XS>(args, stream);
    case GpuType::kMXFP4:
      return LaunchOfType<GpuType::kMXFP4>(args, stream);
  }
  return cudaErrorInvalidValue;
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
