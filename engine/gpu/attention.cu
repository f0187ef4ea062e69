// Attention over the cache: what happens to queries, keys and values before, and the softmax of their
// products.

#include "engine/gpu/attention.h"
#include "engine/gpu/kv_values.h"
#include "engine/gpu/units.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {
namespace {

constexpr int kThreads = 128;
constexpr int kWarps = kThreads / 32;

// Stores the block's `count` values (shared memory) as the cache of one position and head.
__device__ void StoreValues(GpuKv type, const float* values, uint32_t count, uint8_t* to) {
  if (type == GpuKv::kF32) {
    for (uint32_t i = threadIdx.x; i < count; i += kThreads) reinterpret_cast<float*>(to)[i] = values[i];
  } else if (type == GpuKv::kF16) {
    for (uint32_t i = threadIdx.x; i < count; i += kThreads) {
      reinterpret_cast<uint16_t*>(to)[i] = FloatToHalf(Storable(values[i]));
    }
  } else {
    const uint32_t lane = threadIdx.x % 32;
    for (uint32_t block = threadIdx.x / 32; block < count / kBlockValues; block += kWarps) {
      const float value = Storable(values[block * kBlockValues + lane]);
      float largest = fabsf(value);
#pragma unroll
      for (int offset = 16; offset > 0; offset /= 2) {
        largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
      }
      const float scale = largest / 127.0f;
      const float inverse = scale != 0 ? 1.0f / scale : 0.0f;
      uint8_t* bytes = to + block * kBlockBytes;
      reinterpret_cast<int8_t*>(bytes)[2 + lane] = static_cast<int8_t>(roundf(value * inverse));
      if (lane == 0) *reinterpret_cast<uint16_t*>(bytes) = FloatToHalf(scale);
    }
  }
}

// The sum over the threads of a block, in each of them. `parts` is (kWarps) of shared memory.
__device__ float BlockSum(float value, float* parts) {
  value = WarpSum(value);
  __syncthreads();  // whoever still reads the parts of the last call
  if (threadIdx.x % 32 == 0) parts[threadIdx.x / 32] = value;
  __syncthreads();
  float sum = 0;
  for (int w = 0; w < kWarps; ++w) sum += parts[w];
  return sum;
}

struct HeadNormWeights {
  const float* weight;
  const float* bias;
};

__device__ void NormalizeHead(const FinishHeadsArgs& args, const HeadNormWeights& norm, uint32_t dim,
                              float* head, float* parts) {
  const float count = static_cast<float>(dim);
  float mean = 0;
  if (args.norm == FinishHeadsArgs::HeadNorm::kLayer) {
    float sum = 0;
    for (uint32_t i = threadIdx.x; i < dim; i += kThreads) sum += head[i];
    mean = BlockSum(sum, parts) / count;
  }
  float squares = 0;
  for (uint32_t i = threadIdx.x; i < dim; i += kThreads)
    squares = fmaf(head[i] - mean, head[i] - mean, squares);
  const float scale = 1.0f / sqrtf(BlockSum(squares, parts) / count + args.norm_epsilon);
  for (uint32_t i = threadIdx.x; i < dim; i += kThreads) {
    float value = (head[i] - mean) * scale;
    if (norm.weight != nullptr) value *= norm.weight[i];
    if (norm.bias != nullptr) value += norm.bias[i];
    head[i] = value;
  }
  __syncthreads();
}

__device__ void RotateHead(const FinishHeadsArgs& args, uint32_t row, float* head) {
  const float* angles = args.angles + static_cast<size_t>(row) * args.rope_dims;
  const uint32_t pairs = args.rope_dims / 2;
  for (uint32_t i = threadIdx.x; i < pairs; i += kThreads) {
    const uint32_t first = args.rope_first + (args.interleaved ? 2 * i : i);
    const uint32_t second = first + (args.interleaved ? 1 : pairs);
    const float cosine = angles[2 * i], sine = angles[2 * i + 1];
    const float a = head[first], b = head[second];
    head[first] = a * cosine - b * sine;
    head[second] = a * sine + b * cosine;
  }
  __syncthreads();
}

__device__ float Temperature(const FinishHeadsArgs& args, uint32_t position) {
  if (args.temperature_scale == 0 || args.temperature_floor == 0) return 1;
  const unsigned long long steps =
      (static_cast<unsigned long long>(position) + args.temperature_offset) / args.temperature_floor;
  return 1 + args.temperature_scale * logf(1 + static_cast<float>(steps));
}

// A block of threads per row and head: query heads, then key heads, then value heads.
__global__ void __launch_bounds__(kThreads) FinishHeads(const FinishHeadsArgs args) {
  HEARTH_DYNAMIC_SHARED(float, head);  // (the larger of key_dim and value_dim)
  HEARTH_SHARED(float[kWarps], parts);
  const uint32_t row = blockIdx.x;
  uint32_t h = blockIdx.y;
  enum { kQuery, kKey, kValue } role = kQuery;
  uint32_t heads = args.heads, dim = args.key_dim;
  float* rows = args.query;
  if (h >= args.heads) {
    h -= args.heads;
    role = h < args.kv_heads ? kKey : kValue;
    if (role == kValue) h -= args.kv_heads;
    heads = args.kv_heads;
    rows = role == kKey ? args.key : args.value;
    if (role == kValue) dim = args.value_dim;
  }
  float* values = rows + (static_cast<size_t>(row) * heads + h) * dim;
  for (uint32_t i = threadIdx.x; i < dim; i += kThreads) {
    float value = values[i];
    if (args.clamp > 0) value = fminf(fmaxf(value, -args.clamp), args.clamp);
    head[i] = value;
  }
  __syncthreads();
  const GpuPlace place = args.places[row];
  const GpuKvCache& cache = args.cache;
  const size_t at = (static_cast<size_t>(place.sequence) * cache.heads + h) * cache.context + place.position;
  if (role == kValue) {
    StoreValues(cache.type, head, dim, cache.values + at * cache.value_bytes);
    return;
  }

  const size_t offset = static_cast<size_t>(h) * args.norm_stride;
  const float* weight = role == kQuery ? args.query_norm : args.key_norm;
  const float* bias = role == kQuery ? args.query_norm_bias : args.key_norm_bias;
  const HeadNormWeights norm = {weight == nullptr ? nullptr : weight + offset,
                                bias == nullptr ? nullptr : bias + offset};
  const bool norms = role == kQuery ? args.norms_query : args.norms_key;
  const uint32_t normed = args.norm_dims > 0 ? args.norm_dims : dim;
  if (norms && !args.norm_after_rope) NormalizeHead(args, norm, normed, head, parts);
  if (args.angles != nullptr) RotateHead(args, row, head);
  if (norms && args.norm_after_rope) NormalizeHead(args, norm, normed, head, parts);
  if (role == kKey) {
    StoreValues(cache.type, head, dim, cache.keys + at * cache.key_bytes);
    return;
  }
  const float temperature = Temperature(args, place.position);
  for (uint32_t i = threadIdx.x; i < dim; i += kThreads) {
    values[i] = temperature == 1 ? head[i] : temperature * head[i];
  }
}

constexpr uint32_t kDimsPerPass = 128;  // of values: four of each lane

// Blocks of AttendChunk that share a multiprocessor's registers at least; 0 leaves it to the compiler, which
// would spill to keep one more.
constexpr int ChunkBlocks(int queries, uint32_t max_dim) {
  if (queries == 1 || max_dim > 128) return 0;
  return queries == 4 ? 10 : queries == 8 ? 8 : 5;
}

// A block of threads for one chunk of positions, one KV head and the queries of a tile that read it. Eight
// lanes share a key, a warp a value; keys and values are read once for all of the tile's queries.
template <GpuKv kKv, int kQueries, uint32_t kMaxDim>
__global__ void __launch_bounds__(kThreads, ChunkBlocks(kQueries, kMaxDim))
    AttendChunk(const AttentionArgs args, uint32_t head_slices) {
  HEARTH_DYNAMIC_SHARED(float, query);  // (kQueries, key_dim)
  HEARTH_SHARED(float[kQueries][kChunkPositions], score);
  HEARTH_SHARED(float[kQueries][kDimsPerPass], sums);
  HEARTH_SHARED(float[kQueries], maximum);
  HEARTH_SHARED(float[kQueries], total);

  const uint32_t chunk = args.first_chunk + blockIdx.x;
  const uint32_t kv_head = blockIdx.y / head_slices;
  const uint32_t group = args.heads / args.kv_heads;
  const uint32_t slice = (group + head_slices - 1) / head_slices;  // query heads of this block
  const uint32_t first_head = kv_head * group + blockIdx.y % head_slices * slice;
  const uint32_t heads = min(slice, kv_head * group + group - first_head);
  const RowTile tile = args.tiles[blockIdx.z];
  const uint32_t queries = tile.count * heads;
  const GpuKvCache& cache = args.cache;
  const uint32_t sequence = args.places[tile.first].sequence;
  const size_t base = (static_cast<size_t>(sequence) * cache.heads + kv_head) * cache.context;
  const uint32_t begin = chunk * kChunkPositions;
  const uint32_t last_row_position = args.places[tile.first + tile.count - 1].position;
  const uint32_t end = min(begin + kChunkPositions, last_row_position + 1);
  const uint32_t positions = end > begin ? end - begin : 0;

  const auto row_of = [&](uint32_t q) { return tile.first + q / heads; };
  const auto head_of = [&](uint32_t q) { return first_head + q % heads; };
  for (uint32_t i = threadIdx.x; i < queries * args.key_dim; i += kThreads) {
    const uint32_t q = i / args.key_dim;
    query[i] = args.query[(static_cast<size_t>(row_of(q)) * args.heads + head_of(q)) * args.key_dim +
                          i % args.key_dim];
  }
  __syncthreads();

  // Scores.
  const uint32_t part = threadIdx.x % 8;
#pragma unroll(kQueries == 1 ? 2 : 1)
  for (uint32_t p0 = 0; p0 < positions; p0 += kThreads / 8) {
    const uint32_t p = p0 + threadIdx.x / 8;
    float4 key[kMaxDim / 32];
    const uint8_t* vector = cache.keys + (base + begin + (p < positions ? p : 0)) * cache.key_bytes;
#pragma unroll
    for (uint32_t i = 0; i < kMaxDim / 32; ++i) {
      const uint32_t d = i * 32 + part * 4;
      key[i] = d < args.key_dim ? LoadCached<kKv>(vector, d) : make_float4(0, 0, 0, 0);
    }
    for (uint32_t q = 0; q < queries; ++q) {
      float product = 0;
#pragma unroll
      for (uint32_t i = 0; i < kMaxDim / 32; ++i) {
        const uint32_t d = i * 32 + part * 4;
        if (d >= args.key_dim) continue;
        const float4 x = *reinterpret_cast<const float4*>(query + q * args.key_dim + d);
        product = fmaf(key[i].x, x.x, product);
        product = fmaf(key[i].y, x.y, product);
        product = fmaf(key[i].z, x.z, product);
        product = fmaf(key[i].w, x.w, product);
      }
#pragma unroll
      for (int offset = 4; offset > 0; offset /= 2) product += __shfl_xor_sync(0xffffffffu, product, offset);
      if (part != 0 || p >= positions) continue;
      const uint32_t own = args.places[row_of(q)].position;
      const uint32_t position = begin + p;
      float s = product * args.scale;
      if (args.softcap > 0) s = args.softcap * tanhf(s / args.softcap);
      if (args.alibi_slopes != nullptr) {
        s += args.alibi_slopes[head_of(q)] * (static_cast<float>(position) - static_cast<float>(own));
      }
      score[q][p] = position > own || position < FirstVisible(args, own) ? kNothing : s;
    }
  }
  __syncthreads();

  // The largest score of each query, and its weights.
  for (uint32_t q = threadIdx.x / 32; q < queries; q += kWarps) {
    const uint32_t lane = threadIdx.x % 32;
    float largest = kNothing;
    for (uint32_t p = lane; p < positions; p += 32) largest = fmaxf(largest, score[q][p]);
#pragma unroll
    for (int offset = 16; offset > 0; offset /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, offset));
    }
    float sum = 0;
    for (uint32_t p = lane; p < positions; p += 32) {
      const float weight = score[q][p] <= kNothing ? 0.0f : expf(score[q][p] - largest);
      score[q][p] = weight;
      sum += weight;
    }
    sum = WarpSum(sum);
    if (lane == 0) {
      maximum[q] = largest;
      total[q] = sum;
    }
  }
  __syncthreads();

  // Sums of values, 128 dimensions at a time: warp w takes positions w, w + 4, ...
  const uint32_t warp = threadIdx.x / 32;
  for (uint32_t first_dim = 0; first_dim < args.value_dim; first_dim += kDimsPerPass) {
    const uint32_t d = first_dim + threadIdx.x % 32 * 4;
    float4 sum[kQueries];
#pragma unroll
    for (int q = 0; q < kQueries; ++q) sum[q] = make_float4(0, 0, 0, 0);
    if (d < args.value_dim) {
      // As many bytes on their way at once from a cache of float32 as from one of halves.
#pragma unroll(kQueries == 1 && kKv != GpuKv::kF32 ? 8 : 4)
      for (uint32_t p = warp; p < positions; p += kWarps) {
        const float4 v = LoadCached<kKv>(cache.values + (base + begin + p) * cache.value_bytes, d);
#pragma unroll
        for (int q = 0; q < kQueries; ++q) {
          if (static_cast<uint32_t>(q) >= queries) break;
          const float weight = score[q][p];
          sum[q].x = fmaf(weight, v.x, sum[q].x);
          sum[q].y = fmaf(weight, v.y, sum[q].y);
          sum[q].z = fmaf(weight, v.z, sum[q].z);
          sum[q].w = fmaf(weight, v.w, sum[q].w);
        }
      }
    }
    for (uint32_t w = 0; w < kWarps; ++w) {
      if (warp == w && d < args.value_dim) {
#pragma unroll
        for (int q = 0; q < kQueries; ++q) {
          if (static_cast<uint32_t>(q) >= queries) break;
          float4* to = reinterpret_cast<float4*>(&sums[q][d - first_dim]);
          if (w == 0) {
            *to = sum[q];
          } else {
            const float4 before = *to;
            *to = make_float4(before.x + sum[q].x, before.y + sum[q].y, before.z + sum[q].z,
                              before.w + sum[q].w);
          }
        }
      }
      __syncthreads();
    }
    const uint32_t dims = min(kDimsPerPass, args.value_dim - first_dim);
    for (uint32_t i = threadIdx.x; i < queries * dims; i += kThreads) {
      const uint32_t q = i / dims, dim = i % dims;
      const size_t row_head = static_cast<size_t>(row_of(q)) * args.heads + head_of(q);
      if (args.chunks > 1) {
        float* to = args.partial + (row_head * args.chunks + blockIdx.x) * (args.value_dim + 2);
        to[2 + first_dim + dim] = sums[q][dim];
        if (first_dim + dim == 0) {
          to[0] = maximum[q];
          to[1] = total[q];
        }
        continue;
      }
      float weight = 1, all = total[q];
      if (args.sinks != nullptr) {
        const float sink = args.sinks[head_of(q)];
        const float largest = fmaxf(maximum[q], sink);
        weight = expf(maximum[q] - largest);
        all = all * weight + expf(sink - largest);
      }
      args.out[static_cast<size_t>(row_of(q)) * args.out_stride + head_of(q) * args.value_dim + first_dim +
               dim] = sums[q][dim] * weight / all;
    }
    __syncthreads();
  }
}

// Merges the chunks of a row and head, in their order.
__global__ void __launch_bounds__(kThreads) MergeChunks(const AttentionArgs args) {
  const size_t row_head = static_cast<size_t>(blockIdx.x) * args.heads + blockIdx.y;
  const uint32_t stride = args.value_dim + 2;
  const float* partial = args.partial + row_head * args.chunks * stride;
  float largest = args.sinks != nullptr ? args.sinks[blockIdx.y] : kNothing;
  for (uint32_t c = 0; c < args.chunks; ++c) largest = fmaxf(largest, partial[c * stride]);
  float all = args.sinks != nullptr ? expf(args.sinks[blockIdx.y] - largest) : 0.0f;
  for (uint32_t c = 0; c < args.chunks; ++c) {
    if (partial[c * stride + 1] > 0) all += partial[c * stride + 1] * expf(partial[c * stride] - largest);
  }
  for (uint32_t d = threadIdx.x; d < args.value_dim; d += kThreads) {
    float sum = 0;
    for (uint32_t c = 0; c < args.chunks; ++c) {
      if (partial[c * stride + 1] > 0)
        sum += partial[c * stride + 2 + d] * expf(partial[c * stride] - largest);
    }
    args.out[static_cast<size_t>(blockIdx.x) * args.out_stride + blockIdx.y * args.value_dim + d] = sum / all;
  }
}

template <GpuKv kKv, uint32_t kMaxDim>
cudaError_t LaunchOfSize(const AttentionArgs& args, uint32_t queries, uint32_t slices, cudaStream_t stream) {
  const dim3 grid(args.chunks, args.kv_heads * slices, args.tile_count), block(kThreads);
  const auto shared = [&](int count) { return static_cast<size_t>(count) * args.key_dim * sizeof(float); };
  if (queries == 1) return Launch(AttendChunk<kKv, 1, kMaxDim>, grid, block, shared(1), stream, args, slices);
  if (queries <= 4) return Launch(AttendChunk<kKv, 4, kMaxDim>, grid, block, shared(4), stream, args, slices);
  if (queries <= 8) return Launch(AttendChunk<kKv, 8, kMaxDim>, grid, block, shared(8), stream, args, slices);
  if constexpr (TileQueries(kMaxDim) > 8) {
    return Launch(AttendChunk<kKv, 16, kMaxDim>, grid, block, shared(16), stream, args, slices);
  }
  return cudaErrorInvalidValue;
}

template <GpuKv kKv>
cudaError_t LaunchOfType(const AttentionArgs& args, cudaStream_t stream) {
  const uint32_t group = args.heads / args.kv_heads;
  const uint32_t dim = args.key_dim > args.value_dim ? args.key_dim : args.value_dim;
  const uint32_t most = TileQueries(dim);
  const uint32_t slices = (group + most - 1) / most;
  const uint32_t slice = (group + slices - 1) / slices;
  uint32_t rows = 1;  // of the largest tile
  if (args.rows > args.tile_count) rows = most / slice;
  const uint32_t queries = rows * slice;
  if (dim <= 128) return LaunchOfSize<kKv, 128>(args, queries, slices, stream);
  if (dim <= 256) return LaunchOfSize<kKv, 256>(args, queries, slices, stream);
  return LaunchOfSize<kKv, kMaxHeadValues>(args, queries, slices, stream);
}

}  // namespace

cudaError_t LaunchFinishHeads(const FinishHeadsArgs& args, cudaStream_t stream) {
  const uint32_t dim = args.key_dim > args.value_dim ? args.key_dim : args.value_dim;
  const uint32_t stored = args.value == nullptr ? 1 : 2;
  return Launch(FinishHeads, dim3(args.rows, args.heads + stored * args.kv_heads), dim3(kThreads),
                dim * sizeof(float), stream, args);
}

cudaError_t LaunchAttention(const AttentionArgs& args, cudaStream_t stream) {
  cudaError_t error = cudaErrorInvalidValue;
  if (args.cache.type == GpuKv::kF32) error = LaunchOfType<GpuKv::kF32>(args, stream);
  if (args.cache.type == GpuKv::kF16) error = LaunchOfType<GpuKv::kF16>(args, stream);
  if (args.cache.type == GpuKv::kQ8_0) error = LaunchOfType<GpuKv::kQ8_0>(args, stream);
  if (error != cudaSuccess || args.chunks == 1) return error;
  return Launch(MergeChunks, dim3(args.rows, args.heads), dim3(kThreads), 0, stream, args);
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
