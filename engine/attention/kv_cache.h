#ifndef HEARTH_ENGINE_ATTENTION_KV_CACHE_H_
#define HEARTH_ENGINE_ATTENTION_KV_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/attention/decoder_options.h"
#include "engine/attention/row_place.h"
#include "engine/kernel/attention.h"
#include "engine/spec/spec.h"

namespace hearth {

// What one layer caches. Keys, far keys (ReRoPE) and values each lie in memory of their own, shaped
// (sequences, heads, context length, head size): attention reads the positions of one head as one stream.
struct KvLayerLayout {
  KvType type = KvType::kF32;
  uint32_t heads = 1;
  uint64_t key_bytes = 0;  // per position, of all heads, as the two below
  uint64_t far_key_bytes = 0;
  uint64_t value_bytes = 0;
  uint64_t state_values = 0;  // float32 values of recurrent state per sequence

  // Of a sequence's recurrent state: two copies, see KvLayer::State.
  uint64_t state_bytes() const { return 2 * state_values * sizeof(float); }
  uint64_t position_bytes() const { return key_bytes + far_key_bytes + value_bytes; }
};

// INVALID_ARGUMENT when the type cannot hold the layer's values (Q8_0 stores blocks of 32).
absl::StatusOr<KvLayerLayout> MakeKvLayerLayout(const ModelSpec& spec, const LayerSpec& layer, KvType type);

// Bytes of KV cache that the options need for all layers of this model. INVALID_ARGUMENT when a layer cannot
// have the type, or when no memory could be that large.
absl::StatusOr<uint64_t> KvCacheBytes(const ModelSpec& spec, const DecoderOptions& options);

// The cache of one layer for all sequences. Owns its memory, which the system provides as it is written.
class KvLayer {
 public:
  // RESOURCE_EXHAUSTED when the system refuses the memory. The layout's sizes times sequences and context
  // have been checked (KvCacheBytes).
  static absl::StatusOr<KvLayer> Create(const KvLayerLayout& layout, uint32_t sequences,
                                        uint32_t context_length);

  // What attention reads of a sequence.
  KvView View(uint32_t sequence) const;

  // Stores what a position adds; as many values as the layer caches.
  void StoreKey(uint32_t sequence, uint32_t position, const float* values, size_t count);
  void StoreFarKey(uint32_t sequence, uint32_t position, const float* values, size_t count);
  void StoreValue(uint32_t sequence, uint32_t position, const float* values, size_t count);

  // Positions [begin, end) of heads [first_head, first_head + heads) as bytes in an order that Write of any
  // layer with heads of the same type and size takes. The ranges are within the layout (CHECK).
  std::vector<uint8_t> Read(uint32_t sequence, uint32_t first_head, uint32_t heads, uint32_t begin,
                            uint32_t end) const;
  // INVALID_ARGUMENT when there are not as many bytes as that range takes.
  absl::Status Write(uint32_t sequence, uint32_t first_head, uint32_t heads, uint32_t begin, uint32_t end,
                     absl::Span<const uint8_t> bytes);

  // Whether a step with these rows finds the recurrent state that it needs: each sequence starts where its
  // last step ended or started, or anew, and goes on without gaps. Always so without such state.
  bool Follows(absl::Span<const RowPlace> rows) const;
  // Before the rows of a step.
  void BeginStep();
  // The recurrent state, (layout.state_values), that the `position` positions before have left (at 0: zeros),
  // to be changed in place into what the next position needs. Two copies take turns: a step leaves the one
  // that it starts from as it is, so that a step that fails at any row or layer can be repeated. `position`
  // follows the row before of the same step; the first one is where the last step ended, or started (CHECK).
  float* State(uint32_t sequence, uint32_t position);

  // What it caches per position.
  const KvLayerLayout& layout() const { return layout_; }

 private:
  struct Free {
    void operator()(uint8_t* memory) const;
  };
  using Memory = std::unique_ptr<uint8_t, Free>;
  // The two copies of a sequence's state: after how many positions each is.
  struct StateCopies {
    uint32_t positions[2] = {0, 0};
    uint32_t writing = 0;  // the copy that the step at hand changes
    bool in_step = false;  // the step at hand has rows of the sequence
  };
  KvLayer() = default;
  static absl::StatusOr<Memory> Allocate(uint64_t bytes);
  // For memory that holds `position_bytes` per position: its strides, a sequence's start, storing a position.
  KvStrides Strides(uint64_t position_bytes) const;
  uint8_t* At(const Memory& memory, uint64_t position_bytes, uint32_t sequence) const;
  void Store(const Memory& memory, uint64_t position_bytes, uint32_t sequence, uint32_t position,
             const float* values, size_t count);
  // Calls fn(bytes of the cache, how many) for each head's range in turn: keys, far keys, values.
  template <class Fn>
  void ForEachRange(uint32_t sequence, uint32_t first_head, uint32_t heads, uint32_t begin, uint32_t end,
                    Fn fn) const;

  KvLayerLayout layout_;
  uint32_t context_length_ = 0;
  Memory keys_, far_keys_, values_;
  std::vector<float> state_;         // (sequences, 2, state_values)
  std::vector<StateCopies> copies_;  // by sequence
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_KV_CACHE_H_
