#ifndef HEARTH_ENGINE_GPU_PRODUCTS_H_
#define HEARTH_ENGINE_GPU_PRODUCTS_H_

// Device code: products of a matrix with a few rows of activations. One file per kind of type instantiates
// them.

#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_args.h"
#include "engine/gpu/units.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

inline constexpr int kWarps = 4;  // of a block

enum class ProductMode { kCodes, kExact, kFloats };

// How a warp shares rows: kLanes lanes sum a row, each lane works at kRows rows, for which it reads the
// activations once.
template <ProductMode kMode, uint32_t kTokens>
struct Share {
  static constexpr uint32_t kLanes = kMode == ProductMode::kFloats ? 32 : kChains;
  static constexpr uint32_t kRows = kMode != ProductMode::kFloats && kTokens == 1 ? 1 : 2;
  static constexpr uint32_t kRowsPerWarp = 32 / kLanes * kRows;
};

// The rows of a lane.
struct LaneRows {
  int product = -1;  // -1: there is nothing for this warp
  uint32_t first = 0;
  uint32_t count = 0;
};

template <class S>
__device__ __forceinline__ LaneRows RowsOfLane(uint32_t warp, uint32_t rows) {
  LaneRows lane;
  lane.first = warp * S::kRowsPerWarp + threadIdx.x % 32 / S::kLanes * S::kRows;
  lane.count = lane.first < rows ? min(rows - lane.first, static_cast<uint32_t>(S::kRows)) : 0;
  return lane;
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

// Sums over the columns of the products of a lane's rows with the tokens.
template <class T, uint32_t kRows, uint32_t kTokens>
struct Sums {
  T value[kRows][kTokens] = {};
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

// scale * product, to a sum.
__device__ __forceinline__ void Count(float scale, float product, float& sum) {
  sum = fmaf(scale, product, sum);
}
__device__ __forceinline__ void Count(float scale, float product, int64_t& sum) {
  sum = AddFixedPoint(sum, FixedProduct(scale * kFixedPointScale, product));
}

// Calls fn(unit) for the units of a lane's chain, in order.
template <bool kUnrolled, class Fn>
__device__ __forceinline__ void ForEachUnit(uint32_t units, const Fn& fn) {
  for (uint32_t first = threadIdx.x % kChains * kChainUnits; first < units; first += kChains * kChainUnits) {
    if (kUnrolled && first + kChainUnits <= units) {
      // What all of them read is asked for before the first is multiplied.
#pragma unroll
      for (uint32_t i = 0; i < kChainUnits; ++i) fn(first + i);
    } else {
      for (uint32_t u = first; u < min(first + kChainUnits, units); ++u) fn(u);
    }
  }
}

// Codes times codes.
template <GpuType kType, class T, uint32_t kRows, uint32_t kTokens>
__device__ __forceinline__ void MultiplyCodes(const GpuMatrix& weights, const GpuRows& x,
                                              const TokenRows& tokens, const LaneRows& rows,
                                              const uint32_t (&wanted)[kRows], bool skip_silent,
                                              Sums<T, kRows, kTokens>& sums) {
  const uint32_t units = weights.cols / kUnitCols;
  const uint32_t x_units = x.cols / kUnitCols;
  ForEachUnit<kTokens == 1>(units, [&](uint32_t u) {
    float x_scale[kTokens];
    bool any = false;
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      const uint32_t row = tokens.in[t < tokens.count ? t : 0];
      x_scale[t] = x.scales[static_cast<size_t>(row) * x_units + u];
      any = any || x_scale[t] != 0;  // also when it is not a number
    }
    // A branch on what was just read would hold up the weights.
    if (skip_silent && !any) return;
    Unit unit[kRows];
#pragma unroll
    for (uint32_t r = 0; r < kRows; ++r) {
      if (wanted[r] != 0) LoadUnit<kType>(weights, static_cast<size_t>(rows.first + r) * units + u, unit[r]);
    }
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      const size_t at = static_cast<size_t>(tokens.in[t < tokens.count ? t : 0]) * x_units + u;
      const int4* codes = reinterpret_cast<const int4*>(x.codes + at * kUnitCols);
      const int4 first = codes[0], second = codes[1];
      const int half_sums = x.half_sums[at];
#pragma unroll
      for (uint32_t r = 0; r < kRows; ++r) {
        if (wanted[r] == 0) continue;
        Count(x_scale[t], UnitProduct<kType>(unit[r], first, second, half_sums), sums.value[r][t]);
      }
    }
  });
}

// Dequantised weights times float32 values, unit by unit.
template <GpuType kType, class T, uint32_t kRows, uint32_t kTokens>
__device__ __forceinline__ void MultiplyExactly(const GpuMatrix& weights, const GpuRows& x,
                                                const TokenRows& tokens, const LaneRows& rows,
                                                const uint32_t (&wanted)[kRows],
                                                Sums<T, kRows, kTokens>& sums) {
  const uint32_t units = weights.cols / kUnitCols;
  ForEachUnit<false>(units, [&](uint32_t u) {
    for (uint32_t r = 0; r < kRows; ++r) {
      if (wanted[r] == 0) continue;
      Unit unit;
      LoadUnit<kType>(weights, static_cast<size_t>(rows.first + r) * units + u, unit);
      for (uint32_t t = 0; t < kTokens; ++t) {
        const uint32_t row = tokens.in[t < tokens.count ? t : 0];
        const float* values = x.values + static_cast<size_t>(row) * x.cols + u * kUnitCols;
        float product = 0;
#pragma unroll
        for (int i = 0; i < 32; ++i) product = fmaf(WeightOf<kType>(unit, i), values[i], product);
        Count(1.0f, product, sums.value[r][t]);
      }
    }
  });
}

// Float weights: a lane takes eight columns of every 256; the four lanes of a unit add up before it is
// counted.
template <GpuType kType, class T, uint32_t kRows, uint32_t kTokens>
__device__ __forceinline__ void MultiplyFloats(const GpuMatrix& weights, const GpuRows& x,
                                               const TokenRows& tokens, const LaneRows& rows,
                                               const uint32_t (&wanted)[kRows],
                                               Sums<T, kRows, kTokens>& sums) {
  constexpr bool kFixed = sizeof(T) == 8;
  const uint32_t lane = threadIdx.x % 32;
  for (uint32_t base = 0; base < weights.cols; base += kSuperCols) {
    const uint32_t col = base + lane * 8;
    float w[kRows][8] = {};
    if (col < weights.cols) {
#pragma unroll
      for (uint32_t r = 0; r < kRows; ++r) {
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
      for (uint32_t r = 0; r < kRows; ++r) {
        float product = 0;
#pragma unroll
        for (int i = 0; i < 8; ++i) product = fmaf(w[r][i], values[i], product);
        if (kFixed) {
          product += __shfl_xor_sync(0xffffffffu, product, 1);
          product += __shfl_xor_sync(0xffffffffu, product, 2);
          if (lane % 4 != 0) product = 0;
        }
        Count(1.0f, product, sums.value[r][t]);
      }
    }
  }
}

template <GpuType kType, ProductMode kMode, class T, uint32_t kRows, uint32_t kTokens>
__device__ __forceinline__ void Multiply(const GpuMatrix& weights, const GpuRows& x, const TokenRows& tokens,
                                         const LaneRows& rows, const uint32_t (&wanted)[kRows],
                                         bool skip_silent, Sums<T, kRows, kTokens>& sums) {
  if constexpr (kMode == ProductMode::kCodes) {
    MultiplyCodes<kType>(weights, x, tokens, rows, wanted, skip_silent, sums);
  } else if constexpr (kMode == ProductMode::kExact) {
    MultiplyExactly<kType>(weights, x, tokens, rows, wanted, sums);
  } else {
    MultiplyFloats<kType>(weights, x, tokens, rows, wanted, sums);
  }
}

// The sum over the lanes of a row, in each of them. Chains are added one after another: a product of many
// rows (tile_products.h) has the same bits then.
template <class S>
__device__ __forceinline__ float RowSum(float value) {
  if constexpr (S::kLanes == 32) {
    return WarpSum(value);
  } else {
    float sum = 0;
#pragma unroll
    for (int c = 0; c < static_cast<int>(S::kLanes); ++c) {
      sum += __shfl_sync(0xffffffffu, value, c, static_cast<int>(S::kLanes));
    }
    return sum;
  }
}
template <class S>
__device__ __forceinline__ int64_t RowSum(int64_t value) {
#pragma unroll
  for (int offset = S::kLanes / 2; offset > 0; offset /= 2) {
    value = AddFixedPoint(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  return value;
}

// What comes out of a product whose sum is known.
__device__ __forceinline__ float Finished(const ProductOut& product, uint32_t row, float sum) {
  if (product.scale != 1) sum *= product.scale;
  if (product.bias != nullptr) sum += product.bias[row];
  return product.relu ? fmaxf(sum, 0.0f) : sum;
}

// Some lanes of a warp per row of whichever product it is of.
template <GpuType kType, ProductMode kMode, uint32_t kTokens>
__global__ void __launch_bounds__(kWarps * 32) MatVec(const MatVecArgs args) {
  using S = Share<kMode, kTokens>;
  uint32_t warp = WarpOfGrid();
  int which = -1;
  for (uint32_t p = 0; p < args.product_count; ++p) {
    const uint32_t warps = (args.products[p].weights.rows + S::kRowsPerWarp - 1) / S::kRowsPerWarp;
    if (warp < warps) {
      which = static_cast<int>(p);
      break;
    }
    warp -= warps;
  }
  if (which < 0) return;
  const ProductOut& product = args.products[which];
  const LaneRows rows = RowsOfLane<S>(warp, product.weights.rows);

  uint32_t wanted[S::kRows];
  uint32_t any = 0;
#pragma unroll
  for (uint32_t r = 0; r < S::kRows; ++r) {
    wanted[r] = r < rows.count ? WantedBy(args.mask, args.tokens, rows.first + r) : 0;
    any |= wanted[r];
  }
  any = __any_sync(0xffffffffu, any != 0) != 0 ? 1 : 0;
  Sums<float, S::kRows, kTokens> sums;
  if (any != 0) Multiply<kType, kMode>(product.weights, args.x, args.tokens, rows, wanted, false, sums);
#pragma unroll
  for (uint32_t r = 0; r < S::kRows; ++r) {
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      float sum = any != 0 ? RowSum<S>(sums.value[r][t]) : 0.0f;
      if (threadIdx.x % S::kLanes != 0 || t >= args.tokens.count || r >= rows.count) continue;
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
__global__ void __launch_bounds__(kWarps * 32) FixedMatVec(const FixedMatVecArgs args) {
  using S = Share<kMode, kTokens>;
  const uint32_t warp = WarpOfGrid();
  if (warp * S::kRowsPerWarp >= args.weights.rows) return;
  const LaneRows rows = RowsOfLane<S>(warp, args.weights.rows);
  uint32_t wanted[S::kRows];
#pragma unroll
  for (uint32_t r = 0; r < S::kRows; ++r) wanted[r] = r < rows.count ? 1 : 0;
  Sums<int64_t, S::kRows, kTokens> sums;
  Multiply<kType, kMode>(args.weights, args.x, args.tokens, rows, wanted, args.skip_silent, sums);
#pragma unroll
  for (uint32_t r = 0; r < S::kRows; ++r) {
#pragma unroll
    for (uint32_t t = 0; t < kTokens; ++t) {
      const int64_t sum = RowSum<S>(sums.value[r][t]);
      if (threadIdx.x % S::kLanes != 0 || t >= args.tokens.count || r >= rows.count) continue;
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

template <GpuType kType, ProductMode kMode, uint32_t kTokens>
cudaError_t LaunchMatVecOf(const MatVecArgs& args, cudaStream_t stream) {
  constexpr uint32_t kRows = Share<kMode, kTokens>::kRowsPerWarp;
  uint32_t warps = 0;
  for (uint32_t p = 0; p < args.product_count; ++p) {
    warps += (args.products[p].weights.rows + kRows - 1) / kRows;
  }
  return Launch(MatVec<kType, kMode, kTokens>, dim3((warps + kWarps - 1) / kWarps), dim3(kWarps * 32), 0,
                stream, args);
}

template <GpuType kType, ProductMode kMode>
cudaError_t LaunchMatVec(const MatVecArgs& args, cudaStream_t stream) {
  if (args.tokens.count == 1) return LaunchMatVecOf<kType, kMode, 1>(args, stream);
  if (args.tokens.count == 2) return LaunchMatVecOf<kType, kMode, 2>(args, stream);
  if (args.tokens.count <= 4) return LaunchMatVecOf<kType, kMode, 4>(args, stream);
  return LaunchMatVecOf<kType, kMode, 8>(args, stream);
}

template <GpuType kType, ProductMode kMode, uint32_t kTokens>
cudaError_t LaunchFixedMatVecOf(const FixedMatVecArgs& args, cudaStream_t stream) {
  constexpr uint32_t kRows = kWarps * Share<kMode, kTokens>::kRowsPerWarp;
  return Launch(FixedMatVec<kType, kMode, kTokens>, dim3((args.weights.rows + kRows - 1) / kRows),
                dim3(kWarps * 32), 0, stream, args);
}

template <GpuType kType, ProductMode kMode>
cudaError_t LaunchFixedMatVec(const FixedMatVecArgs& args, cudaStream_t stream) {
  if (args.tokens.count == 1) return LaunchFixedMatVecOf<kType, kMode, 1>(args, stream);
  if (args.tokens.count == 2) return LaunchFixedMatVecOf<kType, kMode, 2>(args, stream);
  if (args.tokens.count <= 4) return LaunchFixedMatVecOf<kType, kMode, 4>(args, stream);
  return LaunchFixedMatVecOf<kType, kMode, 8>(args, stream);
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
