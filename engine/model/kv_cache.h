#ifndef HEARTH_ENGINE_MODEL_KV_CACHE_H_
#define HEARTH_ENGINE_MODEL_KV_CACHE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/kernel/attention.h"
#include "engine/model/spec.h"

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

  // Before the rows of a step.
  void BeginStep();
  // The recurrent state, (layout.state_values), that the `position` positions before have left (at 0: zeros),
  // to be changed in place into what the next position needs. Two copies take turns: a step leaves the one
  // that it starts from as it is, so that a step that fails at any row or layer can be repeated. `position`
  // follows the row before of the same step; the first one is where the last step ended, or started (CHECK).
  float* State(uint32_t sequence, uint32_t position);

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

  KvLayerLayout layout_;
  uint32_t context_length_ = 0;
  Memory keys_, far_keys_, values_;
  std::vector<float> state_;         // (sequences, 2, state_values)
  std::vector<StateCopies> copies_;  // by sequence
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_KV_CACHE_H_
