#include "engine/kernel/attention_kernel.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/kernel/simd_targets.h"
#include "engine/quant/blocks.h"
#include "engine/quant/half.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/attention_kernel.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/float_tile-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// The parts of a scratch buffer.
struct Buffers {
  float* queries;      // (queries, key_dim)
  float* far_queries;  // likewise, with ReRoPE
  float* scores;       // (queries, kScoreStride): logits, then weights
  float* far_scores;   // likewise, with ReRoPE
  float* rows;         // (kBlockPositions, key_dim or value_dim): widened keys or values

  Buffers(const AttentionItem& item, float* scratch) {
    const size_t queries_floats = item.queries() * item.key_dim();
    const size_t scores_floats = item.queries() * kScoreStride;
    const bool far = item.shape->far_distance > 0;
    queries = scratch;
    far_queries = queries + (far ? queries_floats : 0);
    scores = far_queries + queries_floats;
    far_scores = scores + (far ? scores_floats : 0);
    rows = far_scores + scores_floats;
  }
};

// Widens count cached values to float32.
HWY_INLINE void LoadKv(KvType type, const uint8_t* source, size_t count, float* out) {
  const F32 d;
  size_t i = 0;
  switch (type) {
    case KvType::kF32:
      std::memcpy(out, source, count * sizeof(float));
      return;
    case KvType::kF16:
      for (; i + kLanes <= count; i += kLanes) hn::StoreU(LoadHalf(source + 2 * i), d, out + i);
      for (; i < count; ++i) {
        uint16_t half;
        std::memcpy(&half, source + 2 * i, sizeof(half));
        out[i] = HalfToFloat(half);
      }
      return;
    case KvType::kQ8_0:
      for (; i < count; i += BlockQ8_0::kValues) {
        const auto* block = reinterpret_cast<const BlockQ8_0*>(source) + i / BlockQ8_0::kValues;
        const VF32 scale = hn::Set(d, HalfToFloat(block->scale));
        for (size_t v = 0; v < BlockQ8_0::kValues; v += kLanes) {
          hn::StoreU(hn::Mul(LoadInt8(block->values + v), scale), d, out + i + v);
        }
      }
      return;
  }
}

// Calls use(panel, together) for all panels, four at a time while there are as many.
template <class Use>
HWY_INLINE void ForPanels(size_t panels, const Use& use) {
  size_t panel = 0;
  for (; panel + 4 <= panels; panel += 4) use(panel, std::integral_constant<size_t, 4>());
  for (; panel < panels; ++panel) use(panel, std::integral_constant<size_t, 1>());
}

// One head's keys or values of some positions, widened or as cached: whole vectors of 16 either way.
struct KvRows {
  const uint8_t* data;
  size_t stride;  // bytes from one position to the next
  bool half;      // half precision, else float32
};

// Cached numbers are used as they lie where the kernels can read them, and widened into `buffer` otherwise.
KvRows LoadRows(KvType type, const uint8_t* source, size_t stride, size_t count, size_t dim, float* buffer) {
  const size_t padded = (dim + kTileLanes - 1) / kTileLanes * kTileLanes;
  if (type != KvType::kQ8_0 && dim == padded) return {source, stride, type == KvType::kF16};
  for (size_t p = 0; p < count; ++p) {
    float* row = buffer + p * padded;
    LoadKv(type, source + p * stride, dim, row);
    std::fill(row + dim, row + padded, 0.0f);
  }
  return {reinterpret_cast<const uint8_t*>(buffer), padded * sizeof(float), false};
}

// The sums of lanes of 16 numbers, always in the order of halves: lane i and i + 8, then i + 4, i + 2, i + 1.
#if HWY_TARGET <= HWY_AVX3

// Of 16 vectors at once: out[i] is the sum of the lanes of vector SumSlot(i).
constexpr size_t SumSlot(size_t i) { return i < 8 ? 2 * i : 2 * (i - 8) + 1; }

HWY_INLINE VF32 SumsOfSixteen(VF32* v) {
  const F32 d;
  const hn::Repartition<uint64_t, F32> wide;
  Repeat<8>([&](auto i) HEARTH_INLINE_LAMBDA {
    v[i] = hn::Add(hn::ConcatLowerLower(d, v[i + 8], v[i]), hn::ConcatUpperUpper(d, v[i + 8], v[i]));
  });
  Repeat<4>([&](auto i) HEARTH_INLINE_LAMBDA {
    v[i] =
        hn::Add(hn::OddEvenBlocks(v[i + 4], v[i]), hn::SwapAdjacentBlocks(hn::OddEvenBlocks(v[i], v[i + 4])));
  });
  Repeat<2>([&](auto i) HEARTH_INLINE_LAMBDA {
    const auto a = hn::BitCast(wide, v[i]), b = hn::BitCast(wide, v[i + 2]);
    v[i] = hn::Add(hn::BitCast(d, hn::InterleaveLower(wide, a, b)),
                   hn::BitCast(d, hn::InterleaveUpper(wide, a, b)));
  });
  return hn::Add(hn::ConcatEven(d, v[1], v[0]), hn::ConcatOdd(d, v[1], v[0]));
}

// scores[q][p] = q.k for T queries and the 16 / T positions from `keys` on. The last of fewer positions is
// repeated.
template <class Weight, size_t T>
HWY_INLINE void ScoreTile(const KvRows& keys, size_t first, size_t count, size_t dim, const float* queries,
                          float* scores) {
  constexpr size_t kPositions = 16 / T;
  // Few positions at a time, so that keys are read nearly in the order in which they lie.
  constexpr size_t kTogether = std::min<size_t>(kPositions, 4);
  const F32 d;
  VF32 sums[16];
  Repeat<16>([&](auto i) HEARTH_INLINE_LAMBDA { sums[i] = hn::Zero(d); });
  Repeat<kPositions / kTogether>([&](auto group) HEARTH_INLINE_LAMBDA {
    const uint8_t* key[kTogether];
    Repeat<kTogether>([&](auto p) HEARTH_INLINE_LAMBDA {
      key[p] = keys.data + std::min<size_t>(first + group * kTogether + p, count - 1) * keys.stride;
    });
    for (size_t i = 0; i < dim; i += kLanes) {
      VF32 k[kTogether];
      Repeat<kTogether>([&](auto p)
                            HEARTH_INLINE_LAMBDA { k[p] = Weight::Load(key[p] + i * Weight::kBytes); });
      Repeat<T>([&](auto t) HEARTH_INLINE_LAMBDA {
        const VF32 q = hn::Load(d, queries + t * dim + i);
        Repeat<kTogether>([&](auto p) HEARTH_INLINE_LAMBDA {
          constexpr size_t kSlot = SumSlot(t * kPositions + group * kTogether + p);
          sums[kSlot] = hn::MulAdd(k[p], q, sums[kSlot]);
        });
      });
    }
  });
  HWY_ALIGN float results[16];
  hn::Store(SumsOfSixteen(sums), d, results);
  const size_t valid = std::min(kPositions, count - first);
  for (size_t t = 0; t < T; ++t)
    std::copy_n(results + t * kPositions, valid, scores + t * kScoreStride + first);
}

#else

// As above, position by position.
template <class Weight, size_t T>
HWY_INLINE void ScoreTile(const KvRows& keys, size_t first, size_t count, size_t dim, const float* queries,
                          float* scores) {
  const F32 d;
  for (size_t p = first; p < std::min(first + 16 / T, count); ++p) {
    const uint8_t* key = keys.data + p * keys.stride;
    VF32 sums[T * kTileVectors];
    Repeat<T * kTileVectors>([&](auto i) HEARTH_INLINE_LAMBDA { sums[i] = hn::Zero(d); });
    for (size_t i = 0; i < dim; i += kTileLanes) {
      Repeat<kTileVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
        const VF32 k = Weight::Load(key + (i + v * kLanes) * Weight::kBytes);
        Repeat<T>([&](auto t) HEARTH_INLINE_LAMBDA {
          VF32& sum = sums[t * kTileVectors + v];
          sum = hn::MulAdd(k, hn::Load(d, queries + t * dim + i + v * kLanes), sum);
        });
      });
    }
    for (size_t t = 0; t < T; ++t) {
      for (size_t half = kTileVectors / 2; half > 0; half /= 2) {
        for (size_t v = 0; v < half; ++v) {
          VF32* sum = sums + t * kTileVectors;
          sum[v] = hn::Add(sum[v], sum[v + half]);
        }
      }
      scores[t * kScoreStride + p] = hn::GetLane(hn::SumOfLanes(d, sums[t * kTileVectors]));
    }
  }
}

#endif

// scores[q][p] = q.k for all queries, (count, dim) in vectors of 16, and positions.
template <class Weight>
void ScoreRows(const KvRows& keys, size_t count, size_t dim, const float* queries, size_t query_count,
               float* scores) {
  // Outer positions: a few keys meet all queries while they are in the L1 cache.
  constexpr size_t kGroup = 16;
  for (size_t first = 0; first < count; first += kGroup) {
    const size_t end = std::min(first + kGroup, count);
    size_t q = 0;
    const auto score = [&](auto together) HWY_ATTR {
      for (; q + together <= query_count; q += together) {
        for (size_t p = first; p < end; p += 16 / together) {
          ScoreTile<Weight, together>(keys, p, end, dim, queries + q * dim, scores + q * kScoreStride);
        }
      }
    };
    score(std::integral_constant<size_t, 4>());
    score(std::integral_constant<size_t, 2>());
    score(std::integral_constant<size_t, 1>());
  }
}

// scores[q][0 .. end - begin) = q.k for the positions [begin, end), at most a block.
void ScoreBlock(const AttentionItem& item, const uint8_t* keys, const float* queries, size_t begin,
                size_t end, const Buffers& buffers, float* scores) {
  const KvView& kv = item.rows[0].kv;
  const size_t dim = item.shape->key_dim;
  const uint8_t* source = keys + kv.key_strides.Offset(item.kv_head, begin);
  const KvRows rows = LoadRows(kv.type, source, kv.key_strides.position, end - begin, dim, buffers.rows);
  if (rows.half) {
    ScoreRows<HalfWeight>(rows, end - begin, item.key_dim(), queries, item.queries(), scores);
  } else {
    ScoreRows<FloatWeight>(rows, end - begin, item.key_dim(), queries, item.queries(), scores);
  }
}

// values[q] += the sum of scores[q][p - begin] * value of p over the positions [begin, end), at most a block.
void AddValues(const AttentionItem& item, size_t begin, size_t end, const Buffers& buffers,
               const float* scores, float* values) {
  const KvView& kv = item.rows[0].kv;
  const size_t dim = item.shape->value_dim;
  const uint8_t* source = kv.values + kv.value_strides.Offset(item.kv_head, begin);
  const KvRows rows = LoadRows(kv.type, source, kv.value_strides.position, end - begin, dim, buffers.rows);
  // Values lie as panels do: positions are the columns, and 16 dimensions the lanes. While the first panels
  // are read, the ones behind them, which the next pass reads, are asked for: memory sees one stream.
  const auto multiply = [&](auto weight, size_t panel, auto together) HWY_ATTR {
    using Weight = decltype(weight);
    constexpr size_t kPanelBytes = kTileLanes * Weight::kBytes;
    const Piece piece = {rows.data + panel * kPanelBytes, kPanelBytes, rows.stride, end - begin,
                         together * kPanelBytes};
    MultiplyFloatTiles<Weight, together>(piece, item.queries(), {scores, kScoreStride},
                                         {values + panel * kTileLanes, item.result_stride()});
  };
  ForPanels(item.value_dim() / kTileLanes, [&](size_t panel, auto together) HWY_ATTR {
    if (rows.half) {
      multiply(HalfWeight(), panel, together);
    } else {
      multiply(FloatWeight(), panel, together);
    }
  });
}

// Turns q.k into logits: scale, softcap, ALiBi. `distance` is the first key's position less the query's.
void FinishScores(const AttentionShape& shape, size_t head, float distance, size_t count, float* scores) {
  const F32 d;
  if (shape.softcap > 0) {
    const VF32 cap = hn::Set(d, shape.softcap), inverse = hn::Set(d, shape.scale / shape.softcap);
    Transform(scores, scores, count, scores,
              [&](VF32 s, VF32) HWY_ATTR { return hn::Mul(cap, hn::Tanh(d, hn::Mul(s, inverse))); });
  } else {
    const VF32 scale = hn::Set(d, shape.scale);
    Transform(scores, scores, count, scores, [&](VF32 s, VF32) HWY_ATTR { return hn::Mul(s, scale); });
  }
  if (shape.alibi_slopes == nullptr) return;
  const float slope = shape.alibi_slopes[head];
  for (size_t i = 0; i < count; ++i) scores[i] += slope * (distance + static_cast<float>(i));
}

// exp(x) for x <= 0, and 0 below 1e-30: a weight that small changes no float32 sum beside the largest, which
// is 1, but the subnormal products it would lead to take a hundred times as long as others.
HWY_INLINE VF32 SoftmaxWeight(VF32 x) {
  const F32 d;
  return hn::IfThenZeroElse(hn::Lt(x, hn::Set(d, -69.0f)), hn::Exp(d, x));
}

// The logits of one query become exp(logit - largest).
void Exponentiate(size_t count, float* scores, float& largest, float& sum) {
  const F32 d;
  largest = Largest(count, scores);
  const VF32 shift = hn::Set(d, largest);
  Transform(scores, scores, count, scores,
            [&](VF32 s, VF32) HWY_ATTR { return SoftmaxWeight(hn::Sub(s, shift)); });
  Partials partial;
  Accumulate(
      scores, scores, count, 0.0f, [](VF32 s, VF32 v, VF32) HWY_ATTR { return hn::Add(s, v); }, partial);
  sum = partial.Sum();
}

// Calls use(begin, end) for the blocks of [begin, end).
template <class Use>
HWY_INLINE void ForBlocks(size_t begin, size_t end, const Use& use) {
  while (begin < end) {
    const size_t block_end = std::min(end, (begin / kBlockPositions + 1) * kBlockPositions);
    use(begin, block_end);
    begin = block_end;
  }
}

void AttendChunk(const AttentionItem& item, size_t chunk, float* scratch, float* result) {
  const AttentionShape& shape = *item.shape;
  const KvView& kv = item.rows[0].kv;
  const Buffers buffers(item, scratch);
  const size_t heads = item.heads(), first_head = item.kv_head * heads, padded = item.key_dim();
  const size_t chunk_begin = (item.first_chunk() + chunk) * kChunkPositions;
  const size_t begin = std::max<size_t>(item.first, chunk_begin);
  const size_t end = std::min<size_t>(item.last + size_t{1}, chunk_begin + kChunkPositions);
  // A row's keys are far before this position.
  const auto near_begin = [&](const AttentionRow& row) -> size_t {
    if (shape.far_distance == 0 || row.last < shape.far_distance) return 0;
    return row.last - shape.far_distance + 1;
  };
  size_t first_near = SIZE_MAX, last_near = 0;  // the smallest and the largest near_begin
  for (size_t r = 0; r < item.rows.size(); ++r) {
    const AttentionRow& row = item.rows[r];
    for (size_t h = 0; h < heads; ++h) {
      const size_t q = r * heads + h, offset = (first_head + h) * shape.key_dim;
      std::fill(std::copy_n(row.query + offset, shape.key_dim, buffers.queries + q * padded),
                buffers.queries + (q + 1) * padded, 0.0f);
      if (shape.far_distance == 0) continue;
      std::fill(std::copy_n(row.far_query + offset, shape.key_dim, buffers.far_queries + q * padded),
                buffers.far_queries + (q + 1) * padded, 0.0f);
    }
    first_near = std::min(first_near, near_begin(row));
    last_near = std::max(last_near, near_begin(row));
  }
  ForBlocks(begin, end, [&](size_t block, size_t block_end) HWY_ATTR {
    float* scores = buffers.scores + (block - chunk_begin);
    float* far_scores = buffers.far_scores + (block - chunk_begin);
    if (block_end > first_near) ScoreBlock(item, kv.keys, buffers.queries, block, block_end, buffers, scores);
    if (block < last_near) {
      ScoreBlock(item, kv.far_keys, buffers.far_queries, block, block_end, buffers, far_scores);
    }
  });
  for (size_t q = 0; q < item.queries(); ++q) {
    const AttentionRow& row = item.rows[q / heads];
    float* scores = buffers.scores + q * kScoreStride;
    float* query_result = result + q * item.result_stride();
    std::fill_n(query_result, item.result_stride(), 0.0f);
    const size_t near = std::clamp(near_begin(row), begin, end);
    std::copy(buffers.far_scores + q * kScoreStride + (begin - chunk_begin),
              buffers.far_scores + q * kScoreStride + (near - chunk_begin), scores + (begin - chunk_begin));
    const size_t from = std::clamp<size_t>(row.first, begin, end);
    const size_t to = std::max(from, std::min<size_t>(end, row.last + size_t{1}));
    // What the row does not see gets no weight.
    std::fill(scores + (begin - chunk_begin), scores + (from - chunk_begin), 0.0f);
    std::fill(scores + (to - chunk_begin), scores + (end - chunk_begin), 0.0f);
    query_result[0] = -std::numeric_limits<float>::infinity();
    if (from == to) continue;
    const float distance = static_cast<float>(from) - static_cast<float>(row.last);
    FinishScores(shape, first_head + q % heads, distance, to - from, scores + (from - chunk_begin));
    Exponentiate(to - from, scores + (from - chunk_begin), query_result[0], query_result[1]);
  }
  ForBlocks(begin, end, [&](size_t block, size_t block_end) HWY_ATTR {
    AddValues(item, block, block_end, buffers, buffers.scores + (block - chunk_begin), result + kTileLanes);
  });
}

HWY_INLINE float SoftmaxWeight(float x) { return hn::GetLane(SoftmaxWeight(hn::Set(F32(), x))); }

void MergeChunk(const AttentionItem& item, const float* result, float* state) {
  const F32 d;
  const size_t heads = item.heads(), dim = item.shape->value_dim;
  for (size_t q = 0; q < item.queries(); ++q, state += 2, result += item.result_stride()) {
    if (result[0] == -std::numeric_limits<float>::infinity()) continue;
    const float largest = std::max(state[0], result[0]);
    const float old_factor = SoftmaxWeight(state[0] - largest),
                new_factor = SoftmaxWeight(result[0] - largest);
    state[0] = largest;
    state[1] = state[1] * old_factor + result[1] * new_factor;
    float* out = item.rows[q / heads].out + (item.kv_head * heads + q % heads) * dim;
    const VF32 scale_old = hn::Set(d, old_factor), scale_new = hn::Set(d, new_factor);
    Transform(out, result + kTileLanes, dim, out,
              [&](VF32 o, VF32 n) HWY_ATTR { return hn::MulAdd(n, scale_new, hn::Mul(o, scale_old)); });
  }
}

void FinishMerge(const AttentionItem& item, const float* state) {
  const size_t heads = item.heads(), dim = item.shape->value_dim;
  for (size_t q = 0; q < item.queries(); ++q) {
    float* out = item.rows[q / heads].out + (item.kv_head * heads + q % heads) * dim;
    const VF32 scale = hn::Set(F32(), 1.0f / state[2 * q + 1]);
    Transform(out, out, dim, out, [&](VF32 v, VF32) HWY_ATTR { return hn::Mul(v, scale); });
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(AttendChunk);
HWY_EXPORT(MergeChunk);
HWY_EXPORT(FinishMerge);

void AttendChunk(const AttentionItem& item, size_t chunk, float* scratch, float* result) {
  HWY_DYNAMIC_DISPATCH(AttendChunk)(item, chunk, scratch, result);
}

void BeginMerge(const AttentionItem& item, float* state) {
  const AttentionShape& shape = *item.shape;
  const size_t heads = item.heads(), first_head = item.kv_head * heads;
  for (size_t q = 0; q < item.queries(); ++q) {
    std::fill_n(item.rows[q / heads].out + (first_head + q % heads) * shape.value_dim, shape.value_dim, 0.0f);
    // A sink is a logit without a value: it is there from the start, with weight 1.
    state[2 * q] = shape.sinks != nullptr ? shape.sinks[first_head + q % heads]
                                          : -std::numeric_limits<float>::infinity();
    state[2 * q + 1] = shape.sinks != nullptr ? 1.0f : 0.0f;
  }
}

void MergeChunk(const AttentionItem& item, const float* result, float* state) {
  HWY_DYNAMIC_DISPATCH(MergeChunk)(item, result, state);
}

void FinishMerge(const AttentionItem& item, const float* state) {
  HWY_DYNAMIC_DISPATCH(FinishMerge)(item, state);
}

}  // namespace hearth
#endif  // HWY_ONCE
