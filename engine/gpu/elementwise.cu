// Elementwise work: rounding activations, the activation of feed-forward blocks, gathering rows, biases.

#include "engine/gpu/elementwise.h"
#include "engine/gpu/units.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {
namespace {

constexpr int kThreads = 128;

// Rounds a block of up to 256 values of a row: lane l has values l, l + 32, ... (kUnits of them), each unit
// of 32 columns is one value of every lane. Units of the block share a scale.
template <int kUnits>
__device__ void RoundBlock(const float (&values)[kUnits], int units, size_t first_unit, const GpuRows& rows) {
  const uint32_t lane = threadIdx.x % 32;
  // As integers magnitudes compare as they do as floats, and one that is no number is larger than all.
  int largest = 0;
#pragma unroll
  for (int u = 0; u < kUnits; ++u) largest = max(largest, __float_as_int(values[u]) & 0x7fffffff);
#pragma unroll
  for (int offset = 16; offset > 0; offset /= 2)
    largest = max(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
  const float magnitude = __int_as_float(largest);
  const float inverse = magnitude > 0 ? 127.0f / magnitude : 0.0f;
  const float scale = magnitude / 127.0f;
#pragma unroll
  for (int u = 0; u < kUnits; ++u) {
    if (u >= units) break;
    const int code = __float2int_rn(values[u] * inverse);
    const size_t unit = first_unit + u;
    rows.codes[unit * kUnitCols + lane] = static_cast<int8_t>(code);
    int sum = code;
#pragma unroll
    for (int offset = 8; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
    const int high = __shfl_sync(0xffffffffu, sum, 16);
    if (lane == 0) {
      rows.half_sums[unit] = (sum & 0xffff) | high << 16;
      rows.scales[unit] = scale;
    }
  }
}

// A warp per block of columns: its row and its first unit in the row.
struct BlockPlace {
  uint32_t row;
  uint32_t first_unit;  // of the row
  uint32_t units;
};
__device__ __forceinline__ bool FindBlock(uint32_t rows, uint32_t cols, uint32_t block_cols,
                                          BlockPlace& place) {
  const uint32_t units = cols / kUnitCols;
  const uint32_t block_units = block_cols / kUnitCols;
  const uint32_t blocks = (units + block_units - 1) / block_units;
  const uint32_t item = (blockIdx.x * kThreads + threadIdx.x) / 32;
  if (item >= rows * blocks) return false;
  place.row = item / blocks;
  place.first_unit = item % blocks * block_units;
  place.units = min(block_units, units - place.first_unit);
  return true;
}

template <int kUnits>
__global__ void __launch_bounds__(kThreads) RoundRows(const RoundArgs args) {
  BlockPlace place;
  if (!FindBlock(args.rows, args.x.cols, args.block_cols, place)) return;
  const size_t first_unit = static_cast<size_t>(place.row) * (args.x.cols / kUnitCols) + place.first_unit;
  float values[kUnits];
#pragma unroll
  for (uint32_t u = 0; u < kUnits; ++u) {
    values[u] = u < place.units ? args.x.values[(first_unit + u) * kUnitCols + threadIdx.x % 32] : 0.0f;
  }
  RoundBlock<kUnits>(values, static_cast<int>(place.units), first_unit, args.x);
}

__device__ __forceinline__ float TimesSigmoid(float value, float x) { return value / (1.0f + expf(-x)); }

__device__ float Activated(const ActivateArgs& args, float x) {
  switch (args.activation) {
    case GpuActivation::kSilu:
      return TimesSigmoid(x, x);
    case GpuActivation::kGelu:
      return 0.5f * x * (1.0f + tanhf(0.7978845608028654f * x * fmaf(0.044715f * x, x, 1.0f)));
    case GpuActivation::kRelu:
      return fmaxf(x, 0.0f);
    case GpuActivation::kReluSquared:
      return fmaxf(x, 0.0f) * fmaxf(x, 0.0f);
    case GpuActivation::kXielu: {
      const float linear = args.xielu_beta * x;
      if (x > 0) return fmaf(args.xielu_alpha_p, x * x, linear);
      return fmaf(args.xielu_alpha_n, expm1f(fminf(x, args.xielu_eps)) - x, linear);
    }
    case GpuActivation::kSwigluOai:
      return x;
  }
  return x;
}

__device__ __forceinline__ float HiddenValue(const ActivateArgs& args, uint32_t row, uint32_t neuron) {
  const size_t at = static_cast<size_t>(row) * args.stride + neuron;
  const float factor = args.factors == nullptr ? args.factor : args.factors[row] * args.factor;
  float up = args.up[at];
  if (args.gate == nullptr) return factor * Activated(args, up);
  if (args.relu_up) up = fmaxf(up, 0.0f);
  const float gate = args.gate[at];
  if (args.activation == GpuActivation::kSwigluOai) {
    const float g = fminf(gate, args.limit);
    const float u = fminf(fmaxf(up, -args.limit), args.limit);
    return factor * (TimesSigmoid(g, args.alpha * g) * (u + 1.0f));
  }
  return factor * (Activated(args, gate) * up);
}

template <int kUnits>
__global__ void __launch_bounds__(kThreads) ActivateRows(const ActivateArgs args) {
  BlockPlace place;
  if (!FindBlock(args.rows, args.h.cols, args.block_cols, place)) return;
  const size_t first_unit = static_cast<size_t>(place.row) * (args.h.cols / kUnitCols) + place.first_unit;
  float values[kUnits];
#pragma unroll
  for (uint32_t u = 0; u < kUnits; ++u) {
    const uint32_t neuron = (place.first_unit + u) * kUnitCols + threadIdx.x % 32;
    values[u] = u < place.units && neuron < args.neurons ? HiddenValue(args, place.row, neuron) : 0.0f;
    if (u < place.units) args.h.values[(first_unit + u) * kUnitCols + threadIdx.x % 32] = values[u];
  }
  if (args.h.codes != nullptr) RoundBlock<kUnits>(values, static_cast<int>(place.units), first_unit, args.h);
}

__global__ void __launch_bounds__(kThreads) GatherRows(const GatherArgs args) {
  const uint32_t row = blockIdx.y;
  const uint32_t from_row = args.rows == nullptr ? row : args.rows[row];
  const float factor = args.factors == nullptr ? 1.0f : args.factors[row];
  const uint32_t col = blockIdx.x * kThreads + threadIdx.x;
  if (col >= args.to_stride) return;
  const float value =
      col < args.cols ? args.from[static_cast<size_t>(from_row) * args.from_stride + col] : 0.0f;
  args.to[static_cast<size_t>(row) * args.to_stride + col] = factor == 1.0f ? value : factor * value;
}

__global__ void __launch_bounds__(kThreads) AddBiasRows(const AddBiasArgs args) {
  const uint32_t row = blockIdx.y;
  const uint32_t to_row = args.rows == nullptr ? row : args.rows[row];
  const uint32_t col = blockIdx.x * kThreads + threadIdx.x;
  if (col >= args.cols) return;
  int64_t& to = args.sums[static_cast<size_t>(to_row) * args.sums_stride + col];
  to = AddFixedPoint(
      to, ToFixedPoint(args.factors == nullptr ? args.values[col] : args.factors[row] * args.values[col]));
}

constexpr uint32_t kRowThreads = 512;

// The sum over the threads of a block, in each of them.
__device__ float RowSum(float value) {
  HEARTH_SHARED(float[kRowThreads / 32], parts);
  value = WarpSum(value);
  __syncthreads();  // whoever still reads the parts of the last call
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (uint32_t w = 0; w < kRowThreads / 32; ++w) sum += parts[w];
  return sum;
}

// A row's values, kValues of each thread: column i * kRowThreads + thread. They stay in registers, so that
// all of a thread's loads are on their way together.
template <uint32_t kValues>
struct RowValues {
  float value[kValues];
};

// Normalises the row.
template <uint32_t kValues>
__device__ void NormalizeRow(const GpuNorm& norm, uint32_t cols, RowValues<kValues>& row) {
  const float count = static_cast<float>(cols);
  float mean = 0;
  if (norm.centered) {
    float sum = 0;
#pragma unroll
    for (uint32_t i = 0; i < kValues; ++i) sum += row.value[i];  // beyond the row: zeros
    mean = RowSum(sum) / count;
  }
  float squares = 0;
#pragma unroll
  for (uint32_t i = 0; i < kValues; ++i) {
    const float difference = i * kRowThreads + threadIdx.x < cols ? row.value[i] - mean : 0.0f;
    squares = fmaf(difference, difference, squares);
  }
  const float factor = 1.0f / sqrtf(RowSum(squares) / count + norm.epsilon);
#pragma unroll
  for (uint32_t i = 0; i < kValues; ++i) {
    const uint32_t c = i * kRowThreads + threadIdx.x;
    if (c >= cols) continue;
    float value = (row.value[i] - mean) * factor;
    if (norm.weight != nullptr) value *= norm.weight[c];
    if (norm.bias != nullptr) value += norm.bias[c];
    row.value[i] = value;
  }
}

// A block of threads per row.
template <uint32_t kValues>
__global__ void __launch_bounds__(kRowThreads) ResidualRow(const ResidualArgs args) {
  float* x = args.x + static_cast<size_t>(blockIdx.x) * args.stride;
  RowValues<kValues> row;
#pragma unroll
  for (uint32_t i = 0; i < kValues; ++i) {
    const uint32_t c = i * kRowThreads + threadIdx.x;
    row.value[i] = c < args.cols ? x[c] : 0.0f;
  }
  if (args.sums != nullptr) {
    const int64_t* sums = args.sums + static_cast<size_t>(blockIdx.x) * args.sums_stride;
    RowValues<kValues> branch;
#pragma unroll
    for (uint32_t i = 0; i < kValues; ++i) {
      const uint32_t c = i * kRowThreads + threadIdx.x;
      const int64_t sum = c < args.cols ? sums[c] : 0;
      branch.value[i] = static_cast<float>(static_cast<double>(sum) * (1.0 / 16777216.0)) * args.scale;
      if (args.bias != nullptr && c < args.cols) branch.value[i] += args.bias[c];
    }
    if (args.post.present) NormalizeRow(args.post, args.cols, branch);
#pragma unroll
    for (uint32_t i = 0; i < kValues; ++i) {
      const uint32_t c = i * kRowThreads + threadIdx.x;
      row.value[i] = fmaf(args.residual_scale, branch.value[i], row.value[i]);
      if (c < args.cols) x[c] = row.value[i];
    }
  }
  if (args.out == nullptr) return;
  if (args.norm.present) NormalizeRow(args.norm, args.cols, row);
  float* out = args.out + static_cast<size_t>(blockIdx.x) * args.stride;
#pragma unroll
  for (uint32_t i = 0; i < kValues; ++i) {
    const uint32_t c = i * kRowThreads + threadIdx.x;
    if (c < args.stride) out[c] = c < args.cols ? row.value[i] : 0.0f;
  }
}

uint32_t BlocksOf(uint32_t rows, uint32_t cols, uint32_t block_cols) {
  return (rows * ((cols + block_cols - 1) / block_cols) * 32 + kThreads - 1) / kThreads;
}

}  // namespace

cudaError_t LaunchRound(const RoundArgs& args, cudaStream_t stream) {
  const dim3 grid(BlocksOf(args.rows, args.x.cols, args.block_cols));
  if (args.block_cols == kUnitCols) return Launch(RoundRows<1>, grid, dim3(kThreads), 0, stream, args);
  return Launch(RoundRows<8>, grid, dim3(kThreads), 0, stream, args);
}

cudaError_t LaunchActivate(const ActivateArgs& args, cudaStream_t stream) {
  const dim3 grid(BlocksOf(args.rows, args.h.cols, args.block_cols));
  if (args.block_cols == kUnitCols) return Launch(ActivateRows<1>, grid, dim3(kThreads), 0, stream, args);
  return Launch(ActivateRows<8>, grid, dim3(kThreads), 0, stream, args);
}

cudaError_t LaunchGather(const GatherArgs& args, cudaStream_t stream) {
  return Launch(GatherRows, dim3((args.to_stride + kThreads - 1) / kThreads, args.count), dim3(kThreads), 0,
                stream, args);
}

cudaError_t LaunchResidual(const ResidualArgs& args, cudaStream_t stream) {
  const dim3 grid(args.rows), block(kRowThreads);
  if (args.stride <= 2 * kRowThreads) return Launch(ResidualRow<2>, grid, block, 0, stream, args);
  if (args.stride <= 8 * kRowThreads) return Launch(ResidualRow<8>, grid, block, 0, stream, args);
  return Launch(ResidualRow<24>, grid, block, 0, stream, args);
}

cudaError_t LaunchAddBias(const AddBiasArgs& args, cudaStream_t stream) {
  return Launch(AddBiasRows, dim3((args.cols + kThreads - 1) / kThreads, args.count), dim3(kThreads), 0,
                stream, args);
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
