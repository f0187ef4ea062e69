#include "engine/kernel/attention.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "engine/base/check.h"
#include "engine/kernel/attention_kernel.h"
#include "engine/kernel/scratch.h"
#include "engine/quant/blocks.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

bool SameSequence(const AttentionRow& a, const AttentionRow& b) {
  return a.kv.type == b.kv.type && a.kv.keys == b.kv.keys && a.kv.values == b.kv.values &&
         a.kv.far_keys == b.kv.far_keys && a.kv.key_strides == b.kv.key_strides &&
         a.kv.value_strides == b.kv.value_strides;
}

// Cuts the rows into items: neighbours of one sequence together, as many as make up to 32 queries, which
// share the work of widening and transposing keys.
void FindItems(const AttentionShape& shape, absl::Span<const AttentionRow> rows,
               std::vector<AttentionItem>& items) {
  constexpr size_t kQueries = 32;
  const size_t most = std::max<size_t>(1, kQueries / (shape.query_heads / shape.kv_heads));
  items.clear();
  for (size_t begin = 0; begin < rows.size();) {
    AttentionItem item = {&shape, {}, 0, rows[begin].first, rows[begin].last};
    size_t end = begin;
    for (; end < rows.size() && end - begin < most && SameSequence(rows[begin], rows[end]); ++end) {
      HEARTH_CHECK(rows[end].first <= rows[end].last);
      item.first = std::min(item.first, rows[end].first);
      item.last = std::max(item.last, rows[end].last);
    }
    item.rows = rows.subspan(begin, end - begin);
    for (item.kv_head = 0; item.kv_head < shape.kv_heads; ++item.kv_head) items.push_back(item);
    begin = end;
  }
}

// One item from its first chunk to its last.
void Attend(const AttentionItem& item) {
  thread_local Scratch<float> buffer;
  float* scratch = buffer.Reserve(item.scratch_floats() + item.result_floats() + 2 * item.queries());
  float* result = scratch + item.scratch_floats();
  float* state = result + item.result_floats();
  BeginMerge(item, state);
  for (size_t chunk = 0; chunk < item.chunks(); ++chunk) {
    AttendChunk(item, chunk, scratch, result);
    MergeChunk(item, result, state);
  }
  FinishMerge(item, state);
}

// Few items: their chunks are spread over the threads, and merged afterwards in the same order.
void AttendChunks(ThreadPool& pool, absl::Span<const AttentionItem> items) {
  struct Work {
    size_t item;
    size_t chunk;
    size_t result;  // offset of its floats
  };
  thread_local std::vector<Work> work;
  thread_local Scratch<float> results;
  work.clear();
  size_t floats = 0;
  for (size_t i = 0; i < items.size(); ++i) {
    for (size_t chunk = 0; chunk < items[i].chunks(); ++chunk, floats += items[i].result_floats()) {
      work.push_back({i, chunk, floats});
    }
  }
  float* all = results.Reserve(floats);
  const absl::Span<const Work> pieces = work;  // the threads' own `work` is another
  pool.ParallelFor(pieces.size(), 1, [&](size_t begin, size_t end, int) {
    thread_local Scratch<float> scratch;
    for (const Work& piece : pieces.subspan(begin, end - begin)) {
      const AttentionItem& item = items[piece.item];
      AttendChunk(item, piece.chunk, scratch.Reserve(item.scratch_floats()), all + piece.result);
    }
  });
  size_t piece = 0;
  for (const AttentionItem& item : items) {
    thread_local Scratch<float> buffer;
    float* state = buffer.Reserve(2 * item.queries());
    BeginMerge(item, state);
    for (size_t chunk = 0; chunk < item.chunks(); ++chunk)
      MergeChunk(item, all + pieces[piece++].result, state);
    FinishMerge(item, state);
  }
}

// The nearest number that half precision has; what is no number counts as 0.
float Saturate(float value) {
  constexpr float kLargestHalf = 65504.0f;
  if (value != value) return 0;
  return std::clamp(value, -kLargestHalf, kLargestHalf);
}

}  // namespace

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
  constexpr size_t kPiece = 256;  // whole blocks of Q8_0
  float piece[kPiece];
  for (size_t begin = 0; begin < count; begin += kPiece) {
    const size_t size = std::min(kPiece, count - begin);
    std::transform(values + begin, values + begin + size, piece, Saturate);
    const absl::Span<uint8_t> bytes(static_cast<uint8_t*>(out) + KvBytes(type, begin), KvBytes(type, size));
    HEARTH_CHECK(Quantize(stored, absl::MakeConstSpan(piece, size), {}, bytes).ok());
  }
}

void Attention(ThreadPool& pool, const AttentionShape& shape, absl::Span<const AttentionRow> rows) {
  HEARTH_CHECK(shape.kv_heads > 0 && shape.query_heads % shape.kv_heads == 0);
  thread_local std::vector<AttentionItem> items;
  FindItems(shape, rows, items);
  // Enough items for every thread to get several.
  constexpr size_t kItemsPerThread = 4;
  const absl::Span<const AttentionItem> all = items;
  if (pool.threads() > 1 && all.size() < kItemsPerThread * static_cast<size_t>(pool.threads())) {
    AttendChunks(pool, all);
    return;
  }
  pool.ParallelFor(all.size(), 1, [&](size_t begin, size_t end, int) {
    for (const AttentionItem& item : all.subspan(begin, end - begin)) Attend(item);
  });
}

}  // namespace hearth
