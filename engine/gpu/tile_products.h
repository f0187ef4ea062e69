#ifndef HEARTH_ENGINE_GPU_TILE_PRODUCTS_H_
#define HEARTH_ENGINE_GPU_TILE_PRODUCTS_H_

// Device code: products of a matrix with many rows of activations, codes times codes on matrix units (MmaS8).
// A block of threads takes kTileRows rows of the matrix and some tokens; the columns come stage by stage into
// shared memory, the next stage while one is multiplied. Every unit of 32 columns is one integer product,
// scaled and summed as a product of few tokens scales and sums it: the results have the same bits.

#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_args.h"
#include "engine/gpu/products.h"
#include "engine/gpu/units.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

inline constexpr uint32_t kTileThreads = 256;
inline constexpr uint32_t kTileRows = 128;     // of the matrix
inline constexpr uint32_t kTileWarpRows = 32;  // of them, of a warp: two fragments
inline constexpr uint32_t kStageUnits = kChainUnits;
inline constexpr int kFragments = 2;

inline constexpr uint32_t kTileTokens = 64;               // of a block
inline constexpr uint32_t kWarpTokens = kTileTokens / 2;  // two warps beside one another, four below
inline constexpr int kColumns = kWarpTokens / 8;          // fragments of tokens

// Scales of a unit and a row as the products take them.
struct TileScale {
  float scale;
  float shifted;  // -kRoundingNumber * scale
};

// What codes in fragments are times those of the type: four bits that stand for -8 .. 7 are the upper half of
// a byte.
template <GpuType kType>
__device__ constexpr float CodeFactor() {
  return kType == GpuType::kQ4_0 ? 16.0f : 1.0f;
}

// One stage: kStageUnits units of every row and token.
template <GpuType kType>
struct TileStage {
  using Traits = UnitTraits<kType>;
  static constexpr uint32_t kCodeBytes = Traits::kBytes.codes;
  static constexpr uint32_t kHighWords = Traits::kBytes.high / 4;
  uint4 codes[kStageUnits][kTileRows * kCodeBytes / 16];
  int4 x[kStageUnits][kTileTokens * 2];  // halves of a unit; see HalfOf
  uint32_t high[Traits::kBytes.high > 0 ? kStageUnits : 1]
               [Traits::kBytes.high > 0 ? kTileRows* kHighWords : 1];
  TileScale scale[kStageUnits][kTileRows];
  float upper_scale[Traits::kHalves ? kStageUnits : 1][Traits::kHalves ? kTileRows : 1];
  float minimum[Traits::kMinimum ? kStageUnits : 1][Traits::kMinimum ? kTileRows : 1];
  float x_scale[kStageUnits][kTileTokens];
  float x_sum[Traits::kMinimum ? kStageUnits : 1][Traits::kMinimum ? kTileTokens : 1];
};

// Where half h of a row's 32 bytes lies: rows four apart change places, so that the threads of a fragment
// read from different banks.
__device__ __forceinline__ uint32_t HalfOf(uint32_t row, uint32_t half) {
  return row * 2 + (half ^ (row >> 2 & 1));
}

inline constexpr int kRowLoads = kTileRows * kStageUnits / kTileThreads;
static_assert(kTileTokens * kStageUnits == kTileThreads);

// What a thread brings into each stage: unit `u` of two rows and of one token.
struct TilePlaces {
  uint32_t u;
  uint32_t token;
  uint32_t row[kRowLoads];
  uint32_t row_unit[kRowLoads];  // the first unit of the row, of all of the matrix
  uint32_t token_unit;
};

// The tokens of a block.
struct TileTokens {
  RowList in;
  uint32_t first;
  uint32_t count;  // of the whole product
};

// What is beyond the matrix or the tokens is read from their last ones.
__device__ __forceinline__ TilePlaces PlacesOf(const GpuMatrix& weights, const GpuRows& x, uint32_t first_row,
                                               const TileTokens& tokens) {
  TilePlaces places;
  places.u = threadIdx.x % kStageUnits;
  places.token = threadIdx.x / kStageUnits;
  places.token_unit =
      RowOf(tokens.in, min(tokens.first + places.token, tokens.count - 1)) * (x.cols / kUnitCols);
#pragma unroll
  for (int i = 0; i < kRowLoads; ++i) {
    places.row[i] = (static_cast<uint32_t>(i) * kTileThreads + threadIdx.x) / kStageUnits;
    places.row_unit[i] = min(first_row + places.row[i], weights.rows - 1) * (weights.cols / kUnitCols);
  }
  return places;
}

// What comes by way of registers, as it is in memory: whatever is made of it waits for it.
template <GpuType kType>
struct TileLoads {
  RawScales scales[kRowLoads];
  uint2 high[kRowLoads];
  float x_scale;
  int x_sum;
};

// Asks for the units from `unit` on.
template <GpuType kType>
__device__ __forceinline__ void StartStage(const GpuMatrix& weights, const GpuRows& x,
                                           const TilePlaces& places, uint32_t unit, TileStage<kType>& stage,
                                           TileLoads<kType>& loads) {
  using Traits = UnitTraits<kType>;
  constexpr uint32_t kCodeBytes = Traits::kBytes.codes, kPieces = kCodeBytes / 16;
  const uint32_t u = min(unit + places.u, weights.cols / kUnitCols - 1);
  const size_t x_at = places.token_unit + u;
#pragma unroll
  for (int i = 0; i < kRowLoads; ++i) {
    const uint8_t* codes = weights.codes + static_cast<size_t>(places.row_unit[i] + u) * kCodeBytes;
#pragma unroll
    for (uint32_t piece = 0; piece < kPieces; ++piece) {
      CopyAsync16(&stage.codes[places.u][kPieces == 2 ? HalfOf(places.row[i], piece) : places.row[i]],
                  codes + piece * 16);
    }
  }
#pragma unroll
  for (uint32_t piece = 0; piece < 2; ++piece) {
    CopyAsync16(&stage.x[places.u][HalfOf(places.token, piece)], x.codes + x_at * kUnitCols + piece * 16);
  }
  CopyAsyncCommit();
#pragma unroll
  for (int i = 0; i < kRowLoads; ++i) {
    const size_t at = places.row_unit[i] + u;
    loads.scales[i] = LoadRawScales<kType>(weights, at);
    if (Traits::kFifthBits) loads.high[i].x = __ldg(reinterpret_cast<const uint32_t*>(weights.high + at * 4));
    if (Traits::kUpperBits) loads.high[i] = __ldg(reinterpret_cast<const uint2*>(weights.high + at * 8));
  }
  loads.x_scale = x.scales[x_at];
  if (Traits::kMinimum) loads.x_sum = x.half_sums[x_at];
}

// Puts what came by registers into its place and waits for the rest.
template <GpuType kType>
__device__ __forceinline__ void EndStage(const TilePlaces& places, float x_scale_factor,
                                         const TileLoads<kType>& loads, TileStage<kType>& stage) {
  using Traits = UnitTraits<kType>;
  const uint32_t u = places.u;
#pragma unroll
  for (int i = 0; i < kRowLoads; ++i) {
    const uint32_t row = places.row[i];
    float scale[2], minimum;
    DecodeScales<kType>(loads.scales[i], scale, minimum);
    const float first = scale[0] / CodeFactor<kType>();
    stage.scale[u][row] = {first, -kRoundingNumber * first};
    if (Traits::kHalves) stage.upper_scale[Traits::kHalves ? u : 0][Traits::kHalves ? row : 0] = scale[1];
    if (Traits::kMinimum) stage.minimum[Traits::kMinimum ? u : 0][Traits::kMinimum ? row : 0] = minimum;
    if (Traits::kFifthBits) {
      stage.high[Traits::kFifthBits ? u : 0][Traits::kFifthBits ? row : 0] = loads.high[i].x;
    }
    if (Traits::kUpperBits) {
      stage.high[Traits::kUpperBits ? u : 0][Traits::kUpperBits ? row * 2 : 0] = loads.high[i].x;
      stage.high[Traits::kUpperBits ? u : 0][Traits::kUpperBits ? row * 2 + 1 : 0] = loads.high[i].y;
    }
  }
  stage.x_scale[u][places.token] = loads.x_scale * x_scale_factor;
  if (Traits::kMinimum) {
    const int sums = loads.x_sum;
    stage.x_sum[Traits::kMinimum ? u : 0][Traits::kMinimum ? places.token : 0] =
        static_cast<float>(static_cast<int16_t>(sums & 0xffff) + (sums >> 16));
  }
  CopyAsyncWait<0>();
  __syncthreads();
}

// Codes of values 4 w .. 4 w + 3 (number 0) and 16 + 4 w ... (number 1) of a row, with their sign.
template <GpuType kType>
__device__ __forceinline__ void RowCodes(const TileStage<kType>& stage, uint32_t u, uint32_t row, uint32_t w,
                                         uint32_t (&codes)[2]) {
  using Traits = UnitTraits<kType>;
  const uint32_t* words = reinterpret_cast<const uint32_t*>(stage.codes[u]);
  if (!Traits::kNibbles) {
    codes[0] = words[HalfOf(row, 0) * 4 + w];
    codes[1] = words[HalfOf(row, 1) * 4 + w];
    return;
  }
  const uint32_t word = words[row * 4 + w];
  if (kType == GpuType::kQ4_0) {
    codes[0] = (word << 4 & 0xf0f0f0f0u) ^ 0x80808080u;
    codes[1] = (word & 0xf0f0f0f0u) ^ 0x80808080u;
    return;
  }
  codes[0] = word & 0x0f0f0f0fu;
  codes[1] = word >> 4 & 0x0f0f0f0fu;
  if (Traits::kFifthBits) {
    const uint32_t bits = stage.high[Traits::kFifthBits ? u : 0][Traits::kFifthBits ? row : 0];
    codes[0] |= ((bits >> (4 * w) & 15u) * 0x00204081u & 0x01010101u) << 4;
    codes[1] |= ((bits >> (16 + 4 * w) & 15u) * 0x00204081u & 0x01010101u) << 4;
  }
  if (Traits::kUpperBits) {
    const uint32_t* bits = &stage.high[Traits::kUpperBits ? u : 0][Traits::kUpperBits ? row * 2 : 0];
    codes[0] |= (bits[0] >> (2 * w) & 0x03030303u) << 4;
    codes[1] |= (bits[1] >> (2 * w) & 0x03030303u) << 4;
  }
  if (Traits::kLevels) {
    codes[0] = static_cast<uint32_t>(Levels<kType>(static_cast<int>(codes[0])));
    codes[1] = static_cast<uint32_t>(Levels<kType>(static_cast<int>(codes[1])));
  }
  if (Traits::kOffset != 0) {
    // Four bytes less the offset: with the highest bit set none borrows from its neighbour.
    constexpr uint32_t kOffsets = static_cast<uint32_t>(Traits::kOffset) * 0x01010101u;
    codes[0] = ((codes[0] | 0x80808080u) - kOffsets) ^ 0x80808080u;
    codes[1] = ((codes[1] | 0x80808080u) - kOffsets) ^ 0x80808080u;
  }
}

// Calls fn(f, c, i) for each of a thread's sums.
template <class Fn>
__device__ __forceinline__ void ForEachPlace(const Fn& fn) {
#pragma unroll
  for (int f = 0; f < kFragments; ++f) {
#pragma unroll
    for (int c = 0; c < kColumns; ++c) {
#pragma unroll
      for (int i = 0; i < 4; ++i) fn(f, c, i);
    }
  }
}

// Sums of a thread: of fragment f's rows (lane / 4, then 8 below) and fragment c's tokens (2 (lane % 4), then
// the next).
template <class T>
struct TileSums {
  float chain[kFragments][kColumns][4];
  float total[kFragments][kColumns][4];

  __device__ __forceinline__ void Count(int f, int c, const float (&x_scale)[2], const float (&scaled)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) chain[f][c][i] = fmaf(x_scale[i % 2], scaled[i], chain[f][c][i]);
  }
  __device__ __forceinline__ void EndChain(uint32_t) {
    ForEachPlace([&](int f, int c, int i) {
      total[f][c][i] += chain[f][c][i];
      chain[f][c][i] = 0;
    });
  }
};
template <>
struct TileSums<int64_t> {
  uint32_t chain[kFragments][kColumns][4];  // with kRoundingBits for each unit
  int64_t total[kFragments][kColumns][4];

  int differs;  // bits in which any of the unit's numbers is not one that was small enough

  // Chains have at most as many units as sums below 2^31 allow. Numbers that are too large are put right by
  // Correct.
  __device__ __forceinline__ void Count(int f, int c, const float (&x_scale)[2], const float (&scaled)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int bits = __float_as_int(fmaf(x_scale[i % 2], scaled[i], kRoundingNumber));
      differs |= bits ^ kRoundingBits;
      chain[f][c][i] += static_cast<uint32_t>(bits);
    }
  }
  // Takes a number that is too large out of its chain and counts it apart.
  __device__ __forceinline__ void Correct(int f, int c, const float (&x_scale)[2], const float (&scaled)[4]) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int bits = __float_as_int(fmaf(x_scale[i % 2], scaled[i], kRoundingNumber));
      if (!TooLarge(bits)) continue;
      chain[f][c][i] += static_cast<uint32_t>(kRoundingBits) - static_cast<uint32_t>(bits);
      total[f][c][i] = AddFixedPoint(total[f][c][i], RoundScaled(x_scale[i % 2] * scaled[i]));
    }
  }
  __device__ __forceinline__ void EndChain(uint32_t units) {
    ForEachPlace([&](int f, int c, int i) {
      total[f][c][i] =
          AddFixedPoint(total[f][c][i], static_cast<int32_t>(chain[f][c][i] - units * kRoundingBits));
      chain[f][c][i] = 0;
    });
  }
};

// Counts one unit of the block's rows and tokens, or what Correct puts right of it: all of the warp's columns
// (kFull), or `columns` of them.
template <GpuType kType, class T, bool kFull, bool kCorrect>
__device__ __forceinline__ void MultiplyFragments(const TileStage<kType>& stage, uint32_t u, uint32_t columns,
                                                  TileSums<T>& sums) {
  using Traits = UnitTraits<kType>;
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t row = warp / 2 * kTileWarpRows + lane / 4, w = lane % 4;
  const uint32_t token = warp % 2 * kWarpTokens;
  uint32_t codes[kFragments][4];
  TileScale scale[kFragments][2];
  float upper_scale[kFragments][2], minimum[kFragments][2];
#pragma unroll
  for (int f = 0; f < kFragments; ++f) {
#pragma unroll
    for (int below = 0; below < 2; ++below) {
      const uint32_t r = row + static_cast<uint32_t>(f * 16 + below * 8);
      uint32_t both[2];
      RowCodes<kType>(stage, u, r, w, both);
      codes[f][below] = both[0];
      codes[f][2 + below] = both[1];
      scale[f][below] = stage.scale[u][r];
      upper_scale[f][below] =
          Traits::kHalves ? stage.upper_scale[Traits::kHalves ? u : 0][Traits::kHalves ? r : 0] : 0;
      minimum[f][below] =
          Traits::kMinimum ? stage.minimum[Traits::kMinimum ? u : 0][Traits::kMinimum ? r : 0] : 0;
    }
  }
  const uint32_t* x = reinterpret_cast<const uint32_t*>(stage.x[u]);
#pragma unroll
  for (int c = 0; c < kColumns; ++c) {
    if (!kFull && static_cast<uint32_t>(c) >= columns) break;
    const uint32_t n = token + static_cast<uint32_t>(c) * 8 + lane / 4;  // whose codes this thread brings
    const uint32_t x_codes[2] = {x[HalfOf(n, 0) * 4 + w], x[HalfOf(n, 1) * 4 + w]};
    const uint32_t m = token + static_cast<uint32_t>(c) * 8 + w * 2;  // whose sums it has
    const float x_scale[2] = {stage.x_scale[u][m], stage.x_scale[u][m + 1]};
    float x_sum[2] = {0, 0};
    if (Traits::kMinimum) {
      x_sum[0] = stage.x_sum[Traits::kMinimum ? u : 0][Traits::kMinimum ? m : 0];
      x_sum[1] = stage.x_sum[Traits::kMinimum ? u : 0][Traits::kMinimum ? m + 1 : 0];
    }
#pragma unroll
    for (int f = 0; f < kFragments; ++f) {
      // Integers beside kRoundingNumber are its float32 sum with them, and need no conversion.
      int product[4] = {kRoundingBits, kRoundingBits, kRoundingBits, kRoundingBits};
      int upper[4] = {kRoundingBits, kRoundingBits, kRoundingBits, kRoundingBits};
      if (Traits::kHalves) {
        MmaS8(product, {codes[f][0], codes[f][1], 0, 0}, {x_codes[0], 0});
        MmaS8(upper, {0, 0, codes[f][2], codes[f][3]}, {0, x_codes[1]});
      } else {
        MmaS8(product, codes[f], x_codes);
      }
      float scaled[4];
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int below = i / 2, next = i % 2;
        scaled[i] = fmaf(__int_as_float(product[i]), scale[f][below].scale, scale[f][below].shifted);
        if (Traits::kHalves) {
          scaled[i] = fmaf(upper_scale[f][below], __int_as_float(upper[i]) - kRoundingNumber, scaled[i]);
        }
        if (Traits::kMinimum) scaled[i] = fmaf(minimum[f][below], x_sum[next], scaled[i]);
      }
      if constexpr (kCorrect) {
        sums.Correct(f, c, x_scale, scaled);
      } else {
        sums.Count(f, c, x_scale, scaled);
      }
    }
  }
}

// Multiplies one unit of the block's rows and tokens.
template <GpuType kType, class T, bool kFull>
__device__ __forceinline__ void MultiplyUnit(const TileStage<kType>& stage, uint32_t u, uint32_t columns,
                                             TileSums<T>& sums) {
  if constexpr (sizeof(T) == 8) {
    sums.differs = 0;
    MultiplyFragments<kType, T, kFull, false>(stage, u, columns, sums);
    if (__any_sync(0xffffffffu, TooLarge(sums.differs ^ kRoundingBits)) != 0) {
      MultiplyFragments<kType, T, kFull, true>(stage, u, columns, sums);
    }
  } else {
    MultiplyFragments<kType, T, kFull, false>(stage, u, columns, sums);
  }
}

// Sums of a block's rows and tokens over all columns.
template <GpuType kType, class T>
__device__ __forceinline__ void MultiplyTile(const GpuMatrix& weights, const GpuRows& x, uint32_t first_row,
                                             const TileTokens& tokens, uint32_t columns, TileSums<T>& sums) {
  HEARTH_DYNAMIC_SHARED(unsigned char, memory);
  auto* stages = reinterpret_cast<TileStage<kType>*>(memory);
  const float factor = sizeof(T) == 8 ? kFixedPointScale : 1.0f;
  const uint32_t units = weights.cols / kUnitCols;
  const uint32_t groups = (units + kStageUnits - 1) / kStageUnits;
  ForEachPlace([&](int f, int c, int i) { sums.chain[f][c][i] = 0, sums.total[f][c][i] = 0; });
  const TilePlaces places = PlacesOf(weights, x, first_row, tokens);
  TileLoads<kType> loads;
  StartStage<kType>(weights, x, places, 0, stages[0], loads);
  EndStage<kType>(places, factor, loads, stages[0]);
  uint32_t now = 0, in_chain = 0;
  // Chain after chain, each in steps of kChains groups.
  for (uint32_t chain = 0, group = 0; group < groups;) {
    uint32_t next = group + kChains;
    const bool ends = next >= groups;
    if (ends) next = chain + 1 < kChains ? ++chain : groups;
    if (next < groups) StartStage<kType>(weights, x, places, next * kStageUnits, stages[now ^ 1], loads);
    const uint32_t count = min(units - group * kStageUnits, static_cast<uint32_t>(kStageUnits));
    if (count == kStageUnits && columns == kColumns) {
#pragma unroll
      for (uint32_t u = 0; u < kStageUnits; ++u) {
        MultiplyUnit<kType, T, true>(stages[now], u, kColumns, sums);
      }
    } else {
#pragma unroll 1
      for (uint32_t u = 0; u < count; ++u) MultiplyUnit<kType, T, false>(stages[now], u, columns, sums);
    }
    in_chain += count;
    if (ends) {
      sums.EndChain(in_chain);
      in_chain = 0;
    }
    if (next < groups) EndStage<kType>(places, factor, loads, stages[now ^ 1]);
    now ^= 1;
    group = next;
  }
}

// Calls fn(row, token, sum) for the sums of a thread.
template <class T, class Fn>
__device__ __forceinline__ void ForEachSum(const TileSums<T>& sums, uint32_t first_row, uint32_t rows,
                                           const TileTokens& tokens, const Fn& fn) {
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  ForEachPlace([&](int f, int c, int i) {
    const uint32_t row =
        first_row + warp / 2 * kTileWarpRows + lane / 4 + static_cast<uint32_t>(f * 16 + i / 2 * 8);
    const uint32_t token =
        tokens.first + warp % 2 * kWarpTokens + lane % 4 * 2 + static_cast<uint32_t>(c * 8 + i % 2);
    if (row < rows && token < tokens.count) fn(row, token, sums.total[f][c][i]);
  });
}

// Fragments of tokens of a warp that have any.
__device__ __forceinline__ uint32_t ColumnsOfWarp(const TileTokens& tokens) {
  const uint32_t first = tokens.first + threadIdx.x / 32 % 2 * kWarpTokens;
  return first < tokens.count ? min((tokens.count - first + 7) / 8, static_cast<uint32_t>(kColumns)) : 0;
}

template <GpuType kType>
__global__ void __launch_bounds__(kTileThreads, 2) TileProducts(const TileProductArgs args) {
#if HEARTH_GPU_MATRIX_UNITS
  uint32_t tile = blockIdx.x;
  uint32_t p = 0;
  for (; p < args.product_count; ++p) {
    const uint32_t tiles = (args.products[p].weights.rows + kTileRows - 1) / kTileRows;
    if (tile < tiles) break;
    tile -= tiles;
  }
  const ProductOut& product = args.products[p];
  const TileTokens tokens = {args.in, blockIdx.y * kTileTokens, args.count};
  TileSums<float> sums;
  MultiplyTile<kType, float>(product.weights, args.x, tile * kTileRows, tokens, ColumnsOfWarp(tokens), sums);
  ForEachSum(sums, tile * kTileRows, product.weights.rows, tokens,
             [&](uint32_t row, uint32_t token, float sum) {
               product.out[static_cast<size_t>(RowOf(args.out, token)) * product.out_stride + row] =
                   Finished(product, row, sum);
             });
#endif
}

template <GpuType kType>
__global__ void __launch_bounds__(kTileThreads, 1) FixedTileProducts(const FixedTileArgs args) {
#if HEARTH_GPU_MATRIX_UNITS
  const uint32_t first_row = blockIdx.x * kTileRows;
  const TileTokens tokens = {args.in, blockIdx.y * kTileTokens, args.count};
  TileSums<int64_t> sums;
  MultiplyTile<kType, int64_t>(args.weights, args.x, first_row, tokens, ColumnsOfWarp(tokens), sums);
  ForEachSum(sums, first_row, args.weights.rows, tokens, [&](uint32_t row, uint32_t token, int64_t sum) {
    int64_t& to = args.sums[static_cast<size_t>(RowOf(args.out, token)) * args.sums_stride + row];
    to = args.overwrite ? sum : AddFixedPoint(to, sum);
  });
#endif
}

template <GpuType kType>
cudaError_t LaunchTileProducts(const TileProductArgs& args, cudaStream_t stream) {
  constexpr size_t kShared = 2 * sizeof(TileStage<kType>);
  uint32_t tiles = 0;
  for (uint32_t p = 0; p < args.product_count; ++p) {
    tiles += (args.products[p].weights.rows + kTileRows - 1) / kTileRows;
  }
  const cudaError_t error =
      cudaFuncSetAttribute(TileProducts<kType>, cudaFuncAttributeMaxDynamicSharedMemorySize, int{kShared});
  if (error != cudaSuccess) return error;
  return Launch(TileProducts<kType>, dim3(tiles, (args.count + kTileTokens - 1) / kTileTokens),
                dim3(kTileThreads), kShared, stream, args);
}

template <GpuType kType>
cudaError_t LaunchFixedTileProducts(const FixedTileArgs& args, cudaStream_t stream) {
  constexpr size_t kShared = 2 * sizeof(TileStage<kType>);
  const cudaError_t error = cudaFuncSetAttribute(FixedTileProducts<kType>,
                                                 cudaFuncAttributeMaxDynamicSharedMemorySize, int{kShared});
  if (error != cudaSuccess) return error;
  return Launch(
      FixedTileProducts<kType>,
      dim3((args.weights.rows + kTileRows - 1) / kTileRows, (args.count + kTileTokens - 1) / kTileTokens),
      dim3(kTileThreads), kShared, stream, args);
}

// The launches of one type, whichever file holds its kernels; null where there are none.
struct TileLaunches {
  cudaError_t (*products)(const TileProductArgs&, cudaStream_t) = nullptr;
  cudaError_t (*fixed_products)(const FixedTileArgs&, cudaStream_t) = nullptr;
};

template <GpuType kType>
TileLaunches TileLaunchesOf() {
  return {LaunchTileProducts<kType>, LaunchFixedTileProducts<kType>};
}

TileLaunches SmallBlockTileLaunches(GpuType type);
TileLaunches SuperBlockTileLaunches(GpuType type);

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND

#endif  // HEARTH_ENGINE_GPU_TILE_PRODUCTS_H_
