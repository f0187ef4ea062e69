#ifndef HEARTH_ENGINE_KERNEL_ATTENTION_H_
#define HEARTH_ENGINE_KERNEL_ATTENTION_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "engine/base/thread_pool.h"

namespace hearth {

// Element type of cached keys and values. kQ8_0 stores blocks of 32 as the file type of that name does.
enum class KvType { kF32, kF16, kQ8_0 };

// Bytes of `count` cached values; for kQ8_0 count is a multiple of 32.
size_t KvBytes(KvType type, size_t count);
// Stores count float32 values at `out`. Values come from whatever the weights give: kF16 and kQ8_0 store
// those beyond the largest half precision number as that number and NaN as 0; kF32 stores every value as it
// is.
void StoreKv(KvType type, const float* values, size_t count, void* out);

// Bytes from the cached numbers of one KV head to those of the next, and from one position to the next.
struct KvStrides {
  size_t head = 0;
  size_t position = 0;

  // Bytes from the start to position p of head h.
  size_t Offset(size_t h, size_t p) const { return h * head + p * position; }
  bool operator==(const KvStrides&) const = default;
};

// The cached keys and values of one sequence in one layer. Head h's key of position p lies at
// keys + key_strides.Offset(h, p); values likewise. Values may alias keys (MLA).
// A head's positions are best neighbours: attention reads head after head.
struct KvView {
  KvType type = KvType::kF32;
  const uint8_t* keys = nullptr;
  const uint8_t* values = nullptr;
  KvStrides key_strides;
  KvStrides value_strides;
  // ReRoPE only: keys to use from distance far_distance on (with AttentionRow::far_query).
  const uint8_t* far_keys = nullptr;
};

// What all rows of a call share.
struct AttentionShape {
  uint32_t query_heads = 0;
  uint32_t kv_heads = 0;  // divides query_heads; query head h reads KV head h / (query_heads / kv_heads)
  uint32_t key_dim = 0;   // per head
  uint32_t value_dim = 0;
  float scale = 0;                      // of q.k
  float softcap = 0;                    // > 0: s = softcap * tanh(s / softcap)
  const float* alibi_slopes = nullptr;  // (query_heads): s += slope * (key position - query position)
  const float* sinks = nullptr;         // (query_heads): one more logit in the softmax that has no value
  uint32_t far_distance = 0;            // ReRoPE: see KvView; 0: off
};

// One query row: all heads of one token. It sees key positions [first, last].
struct AttentionRow {
  const float* query;      // (query_heads, key_dim)
  const float* far_query;  // the same, rotated for far keys; null without ReRoPE
  float* out;              // (query_heads, value_dim)
  KvView kv;
  uint32_t first = 0;
  uint32_t last = 0;
};

// out = softmax(scale * q.k ...) v for every row; rows may belong to several sequences. Reads each key and
// value once per KV head and group of rows that share a sequence where it can. The same bits for any number
// of threads.
void Attention(ThreadPool& pool, const AttentionShape& shape, absl::Span<const AttentionRow> rows);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_ATTENTION_H_
