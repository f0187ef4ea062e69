#ifndef HEARTH_ENGINE_ATTENTION_MIX_STEP_H_
#define HEARTH_ENGINE_ATTENTION_MIX_STEP_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "engine/attention/rope.h"
#include "engine/attention/row_place.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/attention.h"
#include "engine/spec/spec.h"
#include "engine/weights/workspace.h"

namespace hearth {

// What a device's mixers share while a step runs: the rows' places, their rotary angles, and buffers, each as
// wide as the widest mixer that the device holds. Used by one thread at a time.
class MixStep {
 public:
  // `model` and `pool` outlive this. Buffers for mixers are made by Reserve.
  MixStep(const ModelSpec& model, uint32_t max_rows, ThreadPool& pool);

  // Makes room for a layer (narrowed to the heads that are held) and its rope.
  void Reserve(const LayerSpec& layer, absl::Span<const float> rope_factors);
  // Begins work on rows (at most max_rows), which are borrowed until the next call. Angles are made anew for
  // another `step` only.
  void Begin(uint64_t step, absl::Span<const RowPlace> rows);

  // What the step is for, and its rows.
  const ModelSpec& model() const { return model_; }
  uint32_t row_count() const { return static_cast<uint32_t>(rows.size()); }
  // Calls fn(row) for each row, on the pool's threads.
  template <class F>
  void ForEachRow(F&& fn) {
    work.ForEach(row_count(), fn);
  }
  // The last position that a row sees: its own, or of a model that reads whole texts its sequence's last one.
  uint32_t LastVisible(uint32_t t) const { return model_.causal ? rows[t].position : ends_[t]; }
  // The angles of a layer's rope; null where it has none.
  const RopeAngles* angles(const LayerSpec& layer) const {
    return layer.attention.rope ? &*ropes_[*layer.attention.rope] : nullptr;
  }

  Workspace work;
  absl::Span<const RowPlace> rows;
  const float* adapted = nullptr;  // (rows, AdapterRanks::mixer_inputs()): A x of the layer at hand

  std::vector<float> query, far_query;
  std::vector<float> key, far_key, value;
  std::vector<float> projected;  // latent attention: queries before absorption; convolution: its three inputs
  std::vector<float> attended;
  std::vector<float> decompressed;  // latent attention: results per head
  std::vector<AttentionRow> attention_rows;
  std::vector<uint32_t> row_ids;  // 0, 1, 2, ...

 private:
  const ModelSpec& model_;
  const uint32_t max_rows_;
  std::vector<std::optional<RopeAngles>> ropes_;  // as ModelSpec::ropes; those of reserved layers
  uint64_t step_ = 0;
  bool begun_ = false;
  std::vector<uint32_t> positions_;
  std::vector<uint32_t> ends_;  // of each row's sequence; models that read whole texts
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_MIX_STEP_H_
