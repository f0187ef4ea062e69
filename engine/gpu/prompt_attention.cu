// Attention of a prompt's rows: many queries that follow one another, on matrix units. Queries, keys, values
// and weights are halves there, sums are float32. What a row gets depends on its position alone, not on which
// rows are beside it: positions are taken in blocks of kBlock that begin at multiples of it, and those that a
// row does not see change nothing.

#include "engine/gpu/attention.h"
#include "engine/gpu/gpu.h"
#include "engine/gpu/kv_values.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {
namespace {

constexpr uint32_t kThreads = 128;
constexpr uint32_t kWarpQueries = 16;
constexpr uint32_t kBlock = 64;  // positions at a time
constexpr int kScores = kBlock / 8;
static_assert(kThreads / 32 * kWarpQueries == kPromptTileRows);

// In shared memory, pairs of halves: keys by position, values by dimension, so that both are read as the
// fragments of a product's right side. Rows are as long as keeps the threads of a fragment on different
// banks.
template <uint32_t kDim>
struct Block {
  static constexpr uint32_t kKeyWords = kDim / 2 + 4;
  static constexpr uint32_t kValueWords = kBlock / 2 + 4;
  uint32_t keys[kBlock][kKeyWords];
  uint32_t values[kDim][kValueWords];
};

// Positions [begin, begin + kBlock) of one head; those from `end` on, and dimensions beyond the head's,
// become 0.
template <GpuKv kKv, uint32_t kDim>
__device__ __forceinline__ void StageBlock(const AttentionArgs& args, size_t base, uint32_t begin,
                                           uint32_t end, Block<kDim>& block) {
  const GpuKvCache& cache = args.cache;
  for (uint32_t i = threadIdx.x; i < kBlock * (kDim / 8); i += kThreads) {
    const uint32_t p = i / (kDim / 8), d = i % (kDim / 8) * 8;
    uint4 eight = make_uint4(0, 0, 0, 0);
    if (begin + p < end && d < args.key_dim) {
      eight = LoadEightHalves<kKv>(cache.keys + (base + begin + p) * cache.key_bytes, d);
    }
    *reinterpret_cast<uint4*>(&block.keys[p][d / 2]) = eight;
  }
  for (uint32_t i = threadIdx.x; i < kBlock / 2 * (kDim / 8); i += kThreads) {
    const uint32_t pair = i % (kBlock / 2), d = i / (kBlock / 2) * 8;
    const uint32_t p = begin + pair * 2;
    uint4 two[2] = {make_uint4(0, 0, 0, 0), make_uint4(0, 0, 0, 0)};
#pragma unroll
    for (uint32_t next = 0; next < 2; ++next) {
      if (p + next < end && d < args.value_dim) {
        two[next] = LoadEightHalves<kKv>(cache.values + (base + p + next) * cache.value_bytes, d);
      }
    }
    const uint32_t first[4] = {two[0].x, two[0].y, two[0].z, two[0].w};
    const uint32_t second[4] = {two[1].x, two[1].y, two[1].z, two[1].w};
#pragma unroll
    for (uint32_t w = 0; w < 4; ++w) {
      block.values[d + 2 * w][pair] = (first[w] & 0xffffu) | second[w] << 16;
      block.values[d + 2 * w + 1][pair] = first[w] >> 16 | (second[w] & 0xffff0000u);
    }
  }
}

// A thread's part of a warp's queries: of rows lane / 4 and 8 below it.
template <uint32_t kDim>
struct Queries {
  uint32_t values[kDim / 16][4];
  float sums[kDim / 8][4];
  float largest[2];
  float total[2];
};

template <uint32_t kDim>
__device__ __forceinline__ void LoadQueries(const AttentionArgs& args, const RowTile& tile, uint32_t head,
                                            Queries<kDim>& queries) {
  const uint32_t lane = threadIdx.x % 32, first = threadIdx.x / 32 * kWarpQueries + lane / 4;
#pragma unroll
  for (uint32_t k = 0; k < kDim / 16; ++k) {
#pragma unroll
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t row = first + i % 2 * 8, d = k * 16 + i / 2 * 8 + lane % 4 * 2;
      queries.values[k][i] = 0;
      if (row >= tile.count || d >= args.key_dim) continue;
      const float* from =
          args.query + (static_cast<size_t>(tile.first + row) * args.heads + head) * args.key_dim + d;
      queries.values[k][i] = TwoHalves(from[0], from[1]);
    }
  }
#pragma unroll
  for (uint32_t n = 0; n < kDim / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) queries.sums[n][i] = 0;
  }
  queries.largest[0] = queries.largest[1] = kNothing;
  queries.total[0] = queries.total[1] = 0;
}

// Scores of the warp's queries with the block's positions: score[n][i] of position 8 n + 2 (lane % 4) + i
// % 2.
template <uint32_t kDim>
__device__ __forceinline__ void Scores(const AttentionArgs& args, const Block<kDim>& block, uint32_t begin,
                                       uint32_t own, uint32_t head, const Queries<kDim>& queries,
                                       float (&score)[kScores][4]) {
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < kScores; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) score[n][i] = 0;
#pragma unroll
    for (uint32_t k = 0; k < kDim / 16; ++k) {
      const uint32_t* key = &block.keys[static_cast<uint32_t>(n) * 8 + lane / 4][k * 8 + lane % 4];
      MmaF16(score[n], queries.values[k], {key[0], key[4]});
    }
  }
  const float slope = args.alibi_slopes != nullptr ? args.alibi_slopes[head] : 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t query = own + static_cast<uint32_t>(i / 2) * 8;
    const uint32_t first_visible = FirstVisible(args, query);
#pragma unroll
    for (int n = 0; n < kScores; ++n) {
      const uint32_t position = begin + static_cast<uint32_t>(n * 8 + i % 2) + lane % 4 * 2;
      float s = score[n][i] * args.scale;
      if (args.softcap > 0) s = args.softcap * tanhf(s / args.softcap);
      if (slope != 0) s += slope * (static_cast<float>(position) - static_cast<float>(query));
      score[n][i] = position > query || position < first_visible ? kNothing : s;
    }
  }
}

// The largest of a value over the four lanes of a row.
__device__ __forceinline__ float RowMax(float value) {
  value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 1));
  return fmaxf(value, __shfl_xor_sync(0xffffffffu, value, 2));
}
__device__ __forceinline__ float RowTotal(float value) {
  value += __shfl_xor_sync(0xffffffffu, value, 1);
  return value + __shfl_xor_sync(0xffffffffu, value, 2);
}

// Weights in place of scores; what was summed before is scaled to the new largest score.
template <uint32_t kDim>
__device__ __forceinline__ void Weigh(float (&score)[kScores][4], Queries<kDim>& queries) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float largest = queries.largest[half];
#pragma unroll
    for (int n = 0; n < kScores; ++n)
      largest = fmaxf(largest, fmaxf(score[n][half * 2], score[n][half * 2 + 1]));
    largest = RowMax(largest);
    const float before = queries.largest[half] <= kNothing ? 0.0f : expf(queries.largest[half] - largest);
    float total = 0;
#pragma unroll
    for (int n = 0; n < kScores; ++n) {
#pragma unroll
      for (int i = half * 2; i < half * 2 + 2; ++i) {
        score[n][i] = score[n][i] <= kNothing ? 0.0f : expf(score[n][i] - largest);
        total += score[n][i];
      }
    }
    queries.total[half] = queries.total[half] * before + RowTotal(total);
    queries.largest[half] = largest;
#pragma unroll
    for (uint32_t n = 0; n < kDim / 8; ++n) {
      queries.sums[n][half * 2] *= before;
      queries.sums[n][half * 2 + 1] *= before;
    }
  }
}

template <uint32_t kDim>
__device__ __forceinline__ void AddValues(const Block<kDim>& block, const float (&weight)[kScores][4],
                                          Queries<kDim>& queries) {
  const uint32_t lane = threadIdx.x % 32;
#pragma unroll
  for (int k = 0; k < kScores / 2; ++k) {
    const float(&left)[4] = weight[2 * k];
    const float(&right)[4] = weight[2 * k + 1];
    const uint32_t weights[4] = {TwoHalves(left[0], left[1]), TwoHalves(left[2], left[3]),
                                 TwoHalves(right[0], right[1]), TwoHalves(right[2], right[3])};
#pragma unroll
    for (uint32_t n = 0; n < kDim / 8; ++n) {
      const uint32_t* value = &block.values[n * 8 + lane / 4][static_cast<uint32_t>(k) * 8 + lane % 4];
      MmaF16(queries.sums[n], weights, {value[0], value[4]});
    }
  }
}

// A block of threads for one query head of a tile's rows.
template <GpuKv kKv, uint32_t kDim>
__global__ void __launch_bounds__(kThreads) AttendPrompt(const AttentionArgs args) {
#if HEARTH_GPU_MATRIX_UNITS
  HEARTH_SHARED(Block<kDim>, block);
  // The last tiles have the most to do, and begin first.
  const RowTile tile = args.tiles[gridDim.x - 1 - blockIdx.x];
  const uint32_t head = blockIdx.y, kv_head = head / (args.heads / args.kv_heads);
  const GpuPlace place = args.places[tile.first];
  const size_t base = (static_cast<size_t>(place.sequence) * args.cache.heads + kv_head) * args.cache.context;
  const uint32_t lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t own = place.position + warp * kWarpQueries + lane / 4;
  const uint32_t end = place.position + tile.count;
  Queries<kDim> queries;
  LoadQueries(args, tile, head, queries);
  for (uint32_t begin = FirstVisible(args, place.position) / kBlock * kBlock; begin < end; begin += kBlock) {
    StageBlock<kKv>(args, base, begin, end, block);
    __syncthreads();
    // Warps without rows, or whose rows all stand before the block, have nothing to see.
    if (warp * kWarpQueries < tile.count && begin < place.position + (warp + 1) * kWarpQueries) {
      float score[kScores][4];
      Scores(args, block, begin, own, head, queries, score);
      Weigh(score, queries);
      AddValues(block, score, queries);
    }
    __syncthreads();
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint32_t row = warp * kWarpQueries + lane / 4 + static_cast<uint32_t>(half) * 8;
    if (row >= tile.count) continue;
    float weight = 1, all = queries.total[half];
    if (args.sinks != nullptr) {
      const float sink = args.sinks[head];
      const float largest = fmaxf(queries.largest[half], sink);
      weight = expf(queries.largest[half] - largest);
      all = all * weight + expf(sink - largest);
    }
    float* to = args.out + static_cast<size_t>(tile.first + row) * args.out_stride + head * args.value_dim;
#pragma unroll
    for (uint32_t n = 0; n < kDim / 8; ++n) {
      const uint32_t d = n * 8 + lane % 4 * 2;
      if (d >= args.value_dim) continue;
      to[d] = queries.sums[n][half * 2] * weight / all;
      to[d + 1] = queries.sums[n][half * 2 + 1] * weight / all;
    }
  }
#endif
}

template <GpuKv kKv>
cudaError_t LaunchOfType(const AttentionArgs& args, cudaStream_t stream) {
  const dim3 grid(args.tile_count, args.heads), block(kThreads);
  const uint32_t dim = args.key_dim > args.value_dim ? args.key_dim : args.value_dim;
  if (dim <= 64) return Launch(AttendPrompt<kKv, 64>, grid, block, 0, stream, args);
  return Launch(AttendPrompt<kKv, 128>, grid, block, 0, stream, args);
}

}  // namespace

cudaError_t LaunchPromptAttention(const AttentionArgs& args, cudaStream_t stream) {
  if (args.cache.type == GpuKv::kF16) return LaunchOfType<GpuKv::kF16>(args, stream);
  if (args.cache.type == GpuKv::kQ8_0) return LaunchOfType<GpuKv::kQ8_0>(args, stream);
  return cudaErrorInvalidValue;
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
