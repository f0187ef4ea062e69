#ifndef HEARTH_ENGINE_KERNEL_ATTENTION_KERNEL_H_
#define HEARTH_ENGINE_KERNEL_ATTENTION_KERNEL_H_

// What attention.cc and attention_kernel.cc share; not for other folders.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "engine/kernel/attention.h"
#include "engine/kernel/scratch.h"

namespace hearth {

// Positions go through the softmax in chunks that start at multiples of 256. A row's result of a chunk
// depends on the row alone, so that it does not matter which thread computes it and what it computes besides;
// the chunks of a row are merged in the order of their positions.
inline constexpr size_t kChunkPositions = 256;
// Floats between the scores of two queries: kernels write whole panels of 16 from any position on.
inline constexpr size_t kScoreStride = kChunkPositions + 16;
// Positions whose keys or values are widened to float32 at a time, from multiples of 64 on.
inline constexpr size_t kBlockPositions = 64;

// Rows that share a sequence, with the query heads of one KV head: all that reads the same keys and values.
// Query q is that of row q / heads and head q % heads among the KV head's.
struct AttentionItem {
  const AttentionShape* shape;
  absl::Span<const AttentionRow> rows;
  size_t kv_head;
  uint32_t first;  // the positions that some row sees: [first, last]
  uint32_t last;

  // Query heads of a KV head, queries of the rows, and the chunks of positions that they read.
  size_t heads() const { return shape->query_heads / shape->kv_heads; }
  size_t queries() const { return rows.size() * heads(); }
  size_t first_chunk() const { return first / kChunkPositions; }
  size_t chunks() const { return last / kChunkPositions - first_chunk() + 1; }

  // Dimensions with the padding to whole panels of 16 that the buffers have.
  size_t key_dim() const { return (shape->key_dim + 15) / 16 * 16; }
  size_t value_dim() const { return (shape->value_dim + 15) / 16 * 16; }
  // Floats of one chunk's result: per query the largest logit, the sum of exp(logit - largest), and from
  // float 16 on the weighted values; and of the buffers that computing it takes. Both are multiples of 16.
  size_t result_stride() const { return 16 + value_dim(); }
  size_t result_floats() const { return queries() * result_stride(); }
  size_t scratch_floats() const {
    const size_t far = shape->far_distance > 0 ? 2 : 1;
    const size_t wider = key_dim() > value_dim() ? key_dim() : value_dim();
    return far * queries() * (key_dim() + kScoreStride) + kBlockPositions * wider;
  }
};

// Computes chunk first_chunk() + chunk. `result` and `scratch` are aligned to 64 bytes. For a row that sees
// nothing of the chunk the largest logit is minus infinity.
void AttendChunk(const AttentionItem& item, size_t chunk, float* scratch, float* result);

// The running softmax of an item: weighted values in the rows' out, largest logit and sum in `state` (2
// floats per query). Begin sets what stands before the first chunk (zeros, the sinks), Merge adds a chunk,
// Finish divides by the sum.
void BeginMerge(const AttentionItem& item, float* state);
void MergeChunk(const AttentionItem& item, const float* result, float* state);
void FinishMerge(const AttentionItem& item, const float* state);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_ATTENTION_KERNEL_H_
