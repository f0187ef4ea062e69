#include "engine/kernel/attention.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

#include "engine/base/check.h"
#include "engine/kernel/simd_targets.h"
#include "engine/quant/blocks.h"
#include "engine/quant/types.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/attention.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/simd-inl.h"
#include "hwy/contrib/math/math-inl.h"
#include "hwy/highway.h"

#ifndef HEARTH_ENGINE_KERNEL_ATTENTION_SCRATCH_
#define HEARTH_ENGINE_KERNEL_ATTENTION_SCRATCH_
namespace hearth {

// Positions whose scores are computed before their values are added up.
inline constexpr size_t kChunkPositions = 256;

// Buffers of one thread; they only grow.
struct AttentionScratch {
  std::vector<float> head;     // one key or value of one head
  std::vector<float> scores;   // (query heads of a KV head, kChunkPositions)
  std::vector<float> maximum;  // per query head: the largest score so far
  std::vector<float> sum;      // and the sum of exp(score - maximum)
};

}  // namespace hearth
#endif  // HEARTH_ENGINE_KERNEL_ATTENTION_SCRATCH_

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Widens count cached values to float32; returns the source itself where it is float32 already.
const float* LoadKv(KvType type, const uint8_t* source, size_t count, float* buffer) {
  const F32 d;
  size_t i = 0;
  switch (type) {
    case KvType::kF32:
      return reinterpret_cast<const float*>(source);
    case KvType::kF16:
      for (; i + kLanes <= count; i += kLanes) hn::StoreU(LoadHalf(source + 2 * i), d, buffer + i);
      for (; i < count; ++i) {
        uint16_t half;
        std::memcpy(&half, source + 2 * i, sizeof(half));
        buffer[i] = HalfToFloat(half);
      }
      return buffer;
    case KvType::kQ8_0:
      for (; i < count; i += BlockQ8_0::kValues) {
        const auto* block = reinterpret_cast<const BlockQ8_0*>(source) + i / BlockQ8_0::kValues;
        const VF32 scale = hn::Set(d, HalfToFloat(block->scale));
        for (size_t v = 0; v < BlockQ8_0::kValues; v += kLanes) {
          hn::StoreU(hn::Mul(LoadInt8(block->values + v), scale), d, buffer + i + v);
        }
      }
      return buffer;
  }
  return nullptr;
}

// Turns q.k into the logits of the softmax: scale, softcap, ALiBi. `distance` is that of scores[0]'s key to
// the query's position, negative for earlier keys.
void FinishScores(const AttentionShape& shape, size_t head, float distance, size_t count, float* scores) {
  const F32 d;
  const VF32 scale = hn::Set(d, shape.scale);
  if (shape.softcap > 0) {
    const VF32 cap = hn::Set(d, shape.softcap);
    const VF32 inverse = hn::Set(d, shape.scale / shape.softcap);
    Transform(scores, scores, count, scores,
              [&](VF32 s, VF32) HWY_ATTR { return hn::Mul(cap, hn::Tanh(d, hn::Mul(s, inverse))); });
  } else {
    Transform(scores, scores, count, scores, [&](VF32 s, VF32) HWY_ATTR { return hn::Mul(s, scale); });
  }
  if (shape.alibi_slopes == nullptr) return;
  const float slope = shape.alibi_slopes[head];
  for (size_t i = 0; i < count; ++i) scores[i] += slope * (distance + static_cast<float>(i));
}

// Adds a chunk's scores (which become exp(score - maximum)) to the running softmax and rescales `out` to it.
void UpdateSoftmax(size_t count, float* scores, size_t value_dim, float& maximum, float& sum, float* out) {
  const F32 d;
  const float chunk_maximum = *std::max_element(scores, scores + count);
  if (chunk_maximum > maximum) {
    const VF32 rescale = hn::Set(d, std::exp(maximum - chunk_maximum));
    Transform(out, out, value_dim, out, [&](VF32 v, VF32) HWY_ATTR { return hn::Mul(v, rescale); });
    sum *= hn::GetLane(rescale);
    maximum = chunk_maximum;
  }
  const VF32 shift = hn::Set(d, maximum);
  Transform(scores, scores, count, scores,
            [&](VF32 s, VF32) HWY_ATTR { return hn::Exp(d, hn::Sub(s, shift)); });
  Partials partial;
  Accumulate(
      scores, scores, count, 0.0f, [](VF32 s, VF32 v, VF32) HWY_ATTR { return hn::Add(s, v); }, partial);
  sum += partial.Sum();
}

// All query heads of KV head `kv_head` for one row.
void AttendHead(const AttentionShape& shape, const AttentionRow& row, size_t kv_head,
                AttentionScratch& scratch) {
  const size_t heads = shape.query_heads / shape.kv_heads;
  const size_t first_head = kv_head * heads;
  const size_t key_offset = KvBytes(row.kv.type, kv_head * shape.key_dim);
  const size_t value_offset = KvBytes(row.kv.type, kv_head * shape.value_dim);
  scratch.head.resize(std::max(shape.key_dim, shape.value_dim));
  scratch.scores.resize(heads * kChunkPositions);
  scratch.maximum.assign(heads, -std::numeric_limits<float>::infinity());
  scratch.sum.assign(heads, 0.0f);
  float* out = row.out + first_head * shape.value_dim;
  std::fill_n(out, heads * shape.value_dim, 0.0f);
  if (shape.sinks != nullptr) {
    std::copy_n(shape.sinks + first_head, heads, scratch.maximum.data());
    std::fill(scratch.sum.begin(), scratch.sum.end(), 1.0f);
  }
  for (size_t begin = row.first; begin <= row.last; begin += kChunkPositions) {
    const size_t count = std::min(kChunkPositions, row.last + 1 - begin);
    for (size_t i = 0; i < count; ++i) {
      const bool far = shape.far_distance > 0 && row.last - (begin + i) >= shape.far_distance;
      const uint8_t* source = (far ? row.kv.far_keys : row.kv.keys) + (begin + i) * row.kv.key_stride_bytes;
      const float* key = LoadKv(row.kv.type, source + key_offset, shape.key_dim, scratch.head.data());
      const float* query = (far ? row.far_query : row.query) + first_head * shape.key_dim;
      for (size_t h = 0; h < heads; ++h) {
        Partials dot;
        AccumulateDot(query + h * shape.key_dim, key, shape.key_dim, dot);
        scratch.scores[h * kChunkPositions + i] = dot.Sum();
      }
    }
    for (size_t h = 0; h < heads; ++h) {
      float* scores = scratch.scores.data() + h * kChunkPositions;
      const float distance = static_cast<float>(begin) - static_cast<float>(row.last);
      FinishScores(shape, first_head + h, distance, count, scores);
      UpdateSoftmax(count, scores, shape.value_dim, scratch.maximum[h], scratch.sum[h],
                    out + h * shape.value_dim);
    }
    for (size_t i = 0; i < count; ++i) {
      const uint8_t* source = row.kv.values + (begin + i) * row.kv.value_stride_bytes + value_offset;
      const float* value = LoadKv(row.kv.type, source, shape.value_dim, scratch.head.data());
      for (size_t h = 0; h < heads; ++h) {
        float* sums = out + h * shape.value_dim;
        const VF32 weight = hn::Set(F32(), scratch.scores[h * kChunkPositions + i]);
        Transform(value, sums, shape.value_dim, sums,
                  [&](VF32 v, VF32 s) HWY_ATTR { return hn::MulAdd(v, weight, s); });
      }
    }
  }
  for (size_t h = 0; h < heads; ++h) {
    const VF32 scale = hn::Set(F32(), 1.0f / scratch.sum[h]);
    float* sums = out + h * shape.value_dim;
    Transform(sums, sums, shape.value_dim, sums, [&](VF32 v, VF32) HWY_ATTR { return hn::Mul(v, scale); });
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(AttendHead);

size_t KvBytes(KvType type, size_t count) {
  switch (type) {
    case KvType::kF32:
      return count * 4;
    case KvType::kF16:
      return count * 2;
    case KvType::kQ8_0:
      HEARTH_CHECK(count % BlockQ8_0::kValues == 0);
      return count / BlockQ8_0::kValues * sizeof(BlockQ8_0);
  }
  HEARTH_CHECK(!"unknown KvType");
}

void StoreKv(KvType type, const float* values, size_t count, void* out) {
  if (type == KvType::kF32) {
    std::memcpy(out, values, count * sizeof(float));
    return;
  }
  const TensorType stored = type == KvType::kF16 ? TensorType::kF16 : TensorType::kQ8_0;
  const absl::Span<uint8_t> bytes(static_cast<uint8_t*>(out), KvBytes(type, count));
  HEARTH_CHECK(Quantize(stored, absl::MakeConstSpan(values, count), {}, bytes).ok());
}

void Attention(ThreadPool& pool, const AttentionShape& shape, absl::Span<const AttentionRow> rows) {
  HEARTH_CHECK(shape.kv_heads > 0 && shape.query_heads % shape.kv_heads == 0);
  pool.ParallelFor(rows.size() * shape.kv_heads, 1, [&](size_t begin, size_t end, int) {
    thread_local AttentionScratch scratch;
    for (size_t i = begin; i < end; ++i) {
      HWY_DYNAMIC_DISPATCH(AttendHead)(shape, rows[i / shape.kv_heads], i % shape.kv_heads, scratch);
    }
  });
}

}  // namespace hearth
#endif  // HWY_ONCE
