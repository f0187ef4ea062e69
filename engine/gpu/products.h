#ifndef HEARTH_ENGINE_GPU_PRODUCTS_H_
#define HEARTH_ENGINE_GPU_PRODUCTS_H_

// Device code: products of a matrix with a few rows of activations. One file per kind of type instantiates
// them.

#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_args.h"
#include "engine/gpu/units.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

inline constexpr int kWarps = 4;  // of a block

inline constexpr uint32_t kRowsPerWarp = 2;  // they share what is read of the activations

enum class ProductMode { kCodes, kExact, kFloats };

// The rows of a warp.
struct WarpRows {
  uint32_t first = 0;
  uint32_t count = 0;
};

__host__ __device__ inline uint32_t WarpsOf(uint32_t rows) {
  return (rows + kRowsPerWarp - 1) / kRowsPerWarp;
}

__device__ __forceinline__ WarpRows RowsOfWarp(uint32_t warp, uint32_t rows) {
  const uint32_t first = warp * kRowsPerWarp;
  return {first, min(rows - first, static_cast<uint32_t>(kRowsPerWarp))};
}

__device__ __forceinline__ uint32_t WarpOfGrid() { return blockIdx.x * kWarps + threadIdx.x / 32; }

__device__ __forceinline__ uint32_t RowOf(const RowList& list, uint32_t t) {
  return list.ids != nullptr ? list.ids[t] : list.first + t;
}

// Tokens (bits) that want a row; all of them without a mask.
__device__ __forceinline__ uint32_t WantedBy(const RowMask& mask, const TokenRows& tokens, uint32_t row) {
  const uint32_t all = (1u << tokens.count) - 1;
  if (mask.values == nullptr) return all;
  uint32_t wanted = 0;
  for (uint32_t t = 0; t < tokens.count; ++t) {
    const float value = mask.values[static_cast<size_t>(tokens.out[t]) * mask.stride + row];
    // Not a number counts as wanted.
    const bool silent = mask.above ? value <= mask.least : value < mask.least;
    wanted |= (silent ? 0u : 1u) << t;
  }
  return wanted;
}

// Sums of the products of a warp's rows with the tokens: of a lane's columns, or of two chains that four
// lanes share.
template <class T, uint32_t kTokens>
struct Sums {
  T value[kRowsPerWarp][kTokens][2] = {};
};

// The sum over the codes of one unit and one row of activations: times the activations' scale it is the
// product.
template <GpuType kType>
__device__ __forceinline__ float UnitProduct(const Unit& unit, const int4& first, const int4& second,
                                             int half_sums) {
  using Traits = UnitTraits<kType>;
  int low = __dp4a(unit.codes[0], first.x, 0);
  low = __dp4a(unit.codes[1], first.y, low);
  low = __dp4a(unit.codes[2], first.z, low);
  low = __dp4a(unit.codes[3], first.w, low);
  int high = __dp4a(unit.codes[4], second.x, 0);
  high = __dp4a(unit.codes[5], second.y, high);
  high = __dp4a(unit.codes[6], second.z, high);
  high = __dp4a(unit.codes[7], second.w, high);
  const int low_sum = static_cast<int16_t>(half_sums & 0xffff);
  const int high_sum = half_sums >> 16;
  if (Traits::kHalves) {
    const float a = unit.scale[0] * static_cast<float>(low - Traits::kOffset * low_sum);
    return fmaf(unit.scale[1], static_cast<float>(high - Traits::kOffset * high_sum), a);
  }
  const float product =
      unit.scale[0] * static_cast<float>(low + high - Traits::kOffset * (low_sum + high_sum));
  if (!Traits::kMinimum) return product;
  return fmaf(unit.minimum, static_cast<float>(low_sum + high_sum), product);
}

// Adds scale * product of a unit to a sum. A float32 sum is a chain of kChainUnits units of neighbouring
// lanes, one after another: all lanes of the warp take part.
__device__ __forceinline__ void Count(float scale, float product, float& chain) {
#pragma unroll
  for (int i = 0; i < static_cast<int>(kChainUnits); ++i) {
    chain = __shfl_sync(0xffffffffu, fmaf(scale, product, chain), i, static_cast<int>(kChainUnits));
  }
}
__device__ __forceinline__ void Count(float scale, float product, int64_t& sum) {
  sum = AddFixedPoint(sum, FixedProduct(scale * kFixedPointScale, product));
}

// Calls fn(unit, valid, number of the chain) for a lane's units: neighbouring lanes have neighbouring units.
// Those of two turns are on their way at the same time.
template <class Fn>
__device__ __forceinline__ void ForEachUnit(uint32_t units, const Fn& fn) {
  static_assert(kChains * kChainUnits == 64);
  for (uint32_t first = 0; first < units; first += 64) {
#pragma unroll
    for (uint32_t chain = 0; chain < 2; ++chain) {
      const uint32_t u = first + chain * 32 + threadIdx.x % 32;
      fn(u < units ? u : units - 1, u < units, chain);
    }
  }
}

// Codes times codes.
template <GpuType kType, class T, uint32_t kTokens>
__device__ __forceinline__ void MultiplyCodes(const GpuMatrix& weights, const GpuRows& x,
                                              const TokenRows& tokens, const WarpRows& rows,
                                              const uint32_t (&wanted)[kRowsPerWarp], bool skip_silent,
                                              Sums<T, kTokens>& sums) {
  constexpr bool kFixed = sizeof(T) == 8;
  const uint32_t units = weights.cols / kUnitCols;
  const uint32_t x_units = x.cols / kUnitCols;
  ForEachUnit(units, [&](uint32_t u, bool valid, uint32_t chain) {
    float x_scale[kTokens];
    bool any = false;
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      const uint32_t row = tokens.in[t < tokens.count ? t : 0];
      x_scale[t] = x.scales[static_cast<size_t>(row) * x_units + u];
      any = any || x_scale[t] != 0;  // also when it is not a number
    }
    // A branch on what was just read would hold up the weights.
    if (kFixed && (!valid || (skip_silent && !any))) return;
    Unit unit[kRowsPerWarp];
#pragma unroll
    for (uint32_t r = 0; r < kRowsPerWarp; ++r) {
      if (wanted[r] != 0) LoadUnit<kType>(weights, static_cast<size_t>(rows.first + r) * units + u, unit[r]);
    }
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      const size_t at = static_cast<size_t>(tokens.in[t < tokens.count ? t : 0]) * x_units + u;
      const int4* codes = reinterpret_cast<const int4*>(x.codes + at * kUnitCols);
      const int4 first = codes[0], second = codes[1];
      const int half_sums = x.half_sums[at];
#pragma unroll
      for (uint32_t r = 0; r < kRowsPerWarp; ++r) {
        if (wanted[r] == 0) continue;
        const float product = UnitProduct<kType>(unit[r], first, second, half_sums);
        Count(valid ? x_scale[t] : 0.0f, valid ? product : 0.0f, sums.value[r][t][kFixed ? 0 : chain]);
      }
    }
  });
}

// Dequantised weights times float32 values, unit by unit.
template <GpuType kType, class T, uint32_t kTokens>
__device__ __forceinline__ void MultiplyExactly(const GpuMatrix& weights, const GpuRows& x,
                                                const TokenRows& tokens, const WarpRows& rows,
                                                const uint32_t (&wanted)[kRowsPerWarp],
                                                Sums<T, kTokens>& sums) {
  const uint32_t units = weights.cols / kUnitCols;
  ForEachUnit(units, [&](uint32_t u, bool valid, uint32_t chain) {
    for (uint32_t r = 0; r < kRowsPerWarp; ++r) {
      if (wanted[r] == 0) continue;
      Unit unit;
      LoadUnit<kType>(weights, static_cast<size_t>(rows.first + r) * units + u, unit);
      for (uint32_t t = 0; t < kTokens; ++t) {
        const uint32_t row = tokens.in[t < tokens.count ? t : 0];
        const float* values = x.values + static_cast<size_t>(row) * x.cols + u * kUnitCols;
        float product = 0;
#pragma unroll
        for (int i = 0; i < 32; ++i) product = fmaf(WeightOf<kType>(unit, i), values[i], product);
        Count(1.0f, valid ? product : 0.0f, sums.value[r][t][sizeof(T) == 8 ? 0 : chain]);
      }
    }
  });
}

// Float weights: a lane takes eight columns of every 256; the four lanes of a unit add up before it is
// counted.
template <GpuType kType, class T, uint32_t kTokens>
__device__ __forceinline__ void MultiplyFloats(const GpuMatrix& weights, const GpuRows& x,
                                               const TokenRows& tokens, const WarpRows& rows,
                                               const uint32_t (&wanted)[kRowsPerWarp],
                                               Sums<T, kTokens>& sums) {
  constexpr bool kFixed = sizeof(T) == 8;
  const uint32_t lane = threadIdx.x % 32;
  for (uint32_t base = 0; base < weights.cols; base += kSuperCols) {
    const uint32_t col = base + lane * 8;
    float w[kRowsPerWarp][8] = {};
    if (col < weights.cols) {
#pragma unroll
      for (uint32_t r = 0; r < kRowsPerWarp; ++r) {
        if (wanted[r] != 0) LoadFloats<kType>(weights, rows.first + r, col, w[r]);
      }
    }
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      float values[8] = {};
      if (col < weights.cols) {
        const uint32_t row = tokens.in[t < tokens.count ? t : 0];
        const float4* from =
            reinterpret_cast<const float4*>(x.values + static_cast<size_t>(row) * x.cols + col);
        const float4 a = from[0], b = from[1];
        values[0] = a.x, values[1] = a.y, values[2] = a.z, values[3] = a.w;
        values[4] = b.x, values[5] = b.y, values[6] = b.z, values[7] = b.w;
      }
#pragma unroll
      for (uint32_t r = 0; r < kRowsPerWarp; ++r) {
        float product = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) product = fmaf(w[r][i], values[i], product);
        if (kFixed) {
          product += __shfl_xor_sync(0xffffffffu, product, 1);
          product += __shfl_xor_sync(0xffffffffu, product, 2);
          if (lane % 4 == 0) Count(1.0f, product, sums.value[r][t][0]);
        } else {
          sums.value[r][t][0] += product;
        }
      }
    }
  }
}

template <GpuType kType, ProductMode kMode, class T, uint32_t kTokens>
__device__ __forceinline__ void Multiply(const GpuMatrix& weights, const GpuRows& x, const TokenRows& tokens,
                                         const WarpRows& rows, const uint32_t (&wanted)[kRowsPerWarp],
                                         bool skip_silent, Sums<T, kTokens>& sums) {
  if constexpr (kMode == ProductMode::kCodes) {
    MultiplyCodes<kType>(weights, x, tokens, rows, wanted, skip_silent, sums);
  } else if constexpr (kMode == ProductMode::kExact) {
    MultiplyExactly<kType>(weights, x, tokens, rows, wanted, sums);
  } else {
    MultiplyFloats<kType>(weights, x, tokens, rows, wanted, sums);
  }
}

// The sum of a row over the lanes, in each of them. Chains are added one after another: a product of many
// rows (tile_products.h) has the same bits then.
template <ProductMode kMode>
__device__ __forceinline__ float RowSum(const float (&values)[2]) {
  if constexpr (kMode == ProductMode::kFloats) {
    return WarpSum(values[0]);
  } else {
    float sum = 0;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
#pragma unroll
      for (int lane = 0; lane < 32; lane += static_cast<int>(kChainUnits)) {
        sum += __shfl_sync(0xffffffffu, values[half], lane);
      }
    }
    return sum;
  }
}
template <ProductMode kMode>
__device__ __forceinline__ int64_t RowSum(const int64_t (&values)[2]) {
  return WarpSum(values[0]);
}

// What comes out of a product whose sum is known.
__device__ __forceinline__ float Finished(const ProductOut& product, uint32_t row, float sum) {
  if (product.scale != 1) sum *= product.scale;
  if (product.bias != nullptr) sum += product.bias[row];
  return product.relu ? fmaxf(sum, 0.0f) : sum;
}

// Blocks of MatVec and FixedMatVec that share a multiprocessor's registers at least; 0 leaves it to the
// compiler. Left to itself it keeps one more block than these, by spilling: these have the registers that the
// kernels want.
constexpr int ProductBlocks(ProductMode mode, uint32_t tokens) {
  if (mode == ProductMode::kFloats) return 0;
  return tokens == 2 ? 6 : tokens == 4 ? 5 : 0;
}
constexpr int FixedProductBlocks(ProductMode mode, uint32_t tokens) {
  return mode == ProductMode::kFloats && tokens == 1 ? 10 : 0;
}

// A warp per pair of rows of whichever product they are of.
template <GpuType kType, ProductMode kMode, uint32_t kTokens>
__global__ void __launch_bounds__(kWarps * 32, ProductBlocks(kMode, kTokens)) MatVec(const MatVecArgs args) {
  uint32_t warp = WarpOfGrid();
  int which = -1;
  for (uint32_t p = 0; p < args.product_count; ++p) {
    const uint32_t warps = WarpsOf(args.products[p].weights.rows);
    if (warp < warps) {
      which = static_cast<int>(p);
      break;
    }
    warp -= warps;
  }
  if (which < 0) return;
  const ProductOut& product = args.products[which];
  const WarpRows rows = RowsOfWarp(warp, product.weights.rows);

  uint32_t wanted[kRowsPerWarp];
  uint32_t any = 0;
#pragma unroll
  for (uint32_t r = 0; r < kRowsPerWarp; ++r) {
    wanted[r] = r < rows.count ? WantedBy(args.mask, args.tokens, rows.first + r) : 0;
    any |= wanted[r];
  }
  Sums<float, kTokens> sums;
  if (any != 0) Multiply<kType, kMode>(product.weights, args.x, args.tokens, rows, wanted, false, sums);
#pragma unroll
  for (uint32_t r = 0; r < kRowsPerWarp; ++r) {
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      float sum = any != 0 ? RowSum<kMode>(sums.value[r][t]) : 0.0f;
      if (threadIdx.x % 32 != 0 || t >= args.tokens.count || r >= rows.count) continue;
      if ((wanted[r] >> t & 1) == 0) {
        sum = 0;
      } else {
        sum = Finished(product, rows.first + r, sum);
      }
      product.out[static_cast<size_t>(args.tokens.out[t]) * product.out_stride + rows.first + r] = sum;
    }
  }
}

template <GpuType kType, ProductMode kMode, uint32_t kTokens>
__global__ void __launch_bounds__(kWarps * 32, FixedProductBlocks(kMode, kTokens))
    FixedMatVec(const FixedMatVecArgs args) {
  const uint32_t warp = WarpOfGrid();
  if (warp >= WarpsOf(args.weights.rows)) return;
  const WarpRows rows = RowsOfWarp(warp, args.weights.rows);
  uint32_t wanted[kRowsPerWarp];
#pragma unroll
  for (uint32_t r = 0; r < kRowsPerWarp; ++r) wanted[r] = r < rows.count ? 1 : 0;
  Sums<int64_t, kTokens> sums;
  Multiply<kType, kMode>(args.weights, args.x, args.tokens, rows, wanted, args.skip_silent, sums);
#pragma unroll
  for (uint32_t r = 0; r < kRowsPerWarp; ++r) {
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      const int64_t sum = RowSum<kMode>(sums.value[r][t]);
      if (threadIdx.x % 32 != 0 || t >= args.tokens.count || r >= rows.count) continue;
      int64_t& to = args.sums[static_cast<size_t>(args.tokens.out[t]) * args.sums_stride + rows.first + r];
      to = args.overwrite ? sum : AddFixedPoint(to, sum);
    }
  }
}

// Weights stored by neuron: a thread takes 32 outputs (8 of float types) of 32 neurons of one token.
inline constexpr int kNeuronThreads = 128;
inline constexpr uint32_t kNeuronSlice = 32;

template <GpuType kType>
__global__ void __launch_bounds__(kNeuronThreads) NeuronSum(const NeuronSumArgs args) {
  constexpr int kCols = UnitTraits<kType>::kCodes ? 32 : 8;
  const uint32_t piece = blockIdx.x * kNeuronThreads + threadIdx.x;
  if (piece >= args.weights.cols / kCols) return;
  const uint32_t first = blockIdx.y * kNeuronSlice;
  const uint32_t last = min(first + kNeuronSlice, args.weights.rows);
  const float* h = args.x.values + static_cast<size_t>(blockIdx.z) * args.x.cols;
  float sums[kCols] = {};
  bool any = false;
  for (uint32_t n = first; n < last; ++n) {
    const float value = h[n];
    if (value == 0) continue;
    any = true;
    if constexpr (UnitTraits<kType>::kCodes) {
      Unit unit;
      LoadUnit<kType>(args.weights, static_cast<size_t>(n) * (args.weights.cols / kUnitCols) + piece, unit);
#pragma unroll
      for (int i = 0; i < kCols; ++i) sums[i] = fmaf(value, WeightOf<kType>(unit, i), sums[i]);
    } else {
      float w[8];
      LoadFloats<kType>(args.weights, n, piece * 8, w);
#pragma unroll
      for (int i = 0; i < kCols; ++i) sums[i] = fmaf(value, w[i], sums[i]);
    }
  }
  if (!any) return;
  int64_t* to = args.sums + static_cast<size_t>(RowOf(args.out, blockIdx.z)) * args.sums_stride;
#pragma unroll
  for (int i = 0; i < kCols; ++i) {
    const uint32_t col = piece * kCols + i;
    if (col < args.sums_stride) AtomicAddFixedPoint(to + col, ToFixedPoint(sums[i]));
  }
}

template <GpuType kType, ProductMode kMode>
cudaError_t LaunchMatVec(const MatVecArgs& args, cudaStream_t stream) {
  uint32_t warps = 0;
  for (uint32_t p = 0; p < args.product_count; ++p) warps += WarpsOf(args.products[p].weights.rows);
  const dim3 grid((warps + kWarps - 1) / kWarps), block(kWarps * 32);
  if (args.tokens.count == 1) return Launch(MatVec<kType, kMode, 1>, grid, block, 0, stream, args);
  if (args.tokens.count == 2) return Launch(MatVec<kType, kMode, 2>, grid, block, 0, stream, args);
  if (args.tokens.count <= 4) return Launch(MatVec<kType, kMode, 4>, grid, block, 0, stream, args);
  return Launch(MatVec<kType, kMode, 8>, grid, block, 0, stream, args);
}

template <GpuType kType, ProductMode kMode>
cudaError_t LaunchFixedMatVec(const FixedMatVecArgs& args, cudaStream_t stream) {
  const dim3 grid((WarpsOf(args.weights.rows) + kWarps - 1) / kWarps), block(kWarps * 32);
  if (args.tokens.count == 1) return Launch(FixedMatVec<kType, kMode, 1>, grid, block, 0, stream, args);
  if (args.tokens.count == 2) return Launch(FixedMatVec<kType, kMode, 2>, grid, block, 0, stream, args);
  if (args.tokens.count <= 4) return Launch(FixedMatVec<kType, kMode, 4>, grid, block, 0, stream, args);
  return Launch(FixedMatVec<kType, kMode, 8>, grid, block, 0, stream, args);
}

template <GpuType kType>
cudaError_t LaunchNeuronSum(const NeuronSumArgs& args, cudaStream_t stream) {
  const uint32_t pieces = args.weights.cols / (HasCodes(kType) ? 32 : 8);
  const dim3 grid((pieces + kNeuronThreads - 1) / kNeuronThreads,
                  (args.weights.rows + kNeuronSlice - 1) / kNeuronSlice, args.count);
  return Launch(NeuronSum<kType>, grid, dim3(kNeuronThreads), 0, stream, args);
}

// The launches of one type, whichever file holds its kernels.
struct ProductLaunches {
  cudaError_t (*mat_vec)(const MatVecArgs&, cudaStream_t);
  cudaError_t (*exact_mat_vec)(const MatVecArgs&, cudaStream_t);
  cudaError_t (*fixed_mat_vec)(const FixedMatVecArgs&, cudaStream_t);
  cudaError_t (*exact_fixed_mat_vec)(const FixedMatVecArgs&, cudaStream_t);
  cudaError_t (*neuron_sum)(const NeuronSumArgs&, cudaStream_t);
};

template <GpuType kType>
ProductLaunches LaunchesOf() {
  if constexpr (HasCodes(kType)) {
    return {LaunchMatVec<kType, ProductMode::kCodes>, LaunchMatVec<kType, ProductMode::kExact>,
            LaunchFixedMatVec<kType, ProductMode::kCodes>, LaunchFixedMatVec<kType, ProductMode::kExact>,
            LaunchNeuronSum<kType>};
  } else {
    return {LaunchMatVec<kType, ProductMode::kFloats>, LaunchMatVec<kType, ProductMode::kFloats>,
            LaunchFixedMatVec<kType, ProductMode::kFloats>, LaunchFixedMatVec<kType, ProductMode::kFloats>,
            LaunchNeuronSum<kType>};
  }
}

ProductLaunches FloatLaunches(GpuType type);
ProductLaunches SmallBlockLaunches(GpuType type);
ProductLaunches SuperBlockLaunches(GpuType type);

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND

#endif  // HEARTH_ENGINE_GPU_PRODUCTS_H_
