#ifndef HEARTH_ENGINE_MODEL_LAYER_H_
#define HEARTH_ENGINE_MODEL_LAYER_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/attention/row_place.h"
#include "engine/device/device_set.h"
#include "engine/model/steering.h"
#include "engine/weights/workspace.h"

namespace hearth {

// What the layers of a stage share while a step runs: who computes, and buffers for the largest step.
struct LayerRun {
  LayerRun(const ModelOutline& outline, uint32_t max_rows, ThreadPool& pool);

  // Of the step.
  size_t row_count() const { return rows.size(); }

  Workspace work;  // of the leader
  Steerer steerer;
  DeviceSet* devices = nullptr;

  uint64_t step = 0;
  absl::Span<const RowPlace> rows;

  std::vector<float> normed;                // (rows, n_embd)
  std::vector<float> ffn_input;             // (rows, n_embd)
  std::vector<float> branch;                // (rows, n_embd): what a branch adds to the residual stream
  std::vector<int64_t> mix_sums, ffn_sums;  // (rows, values)
  // A x of LoRA adapters: what the heads read, and what devices have returned.
  std::vector<float> adapted, returned;  // (rows, rank)
};

// One layer of any supported architecture on the rows of a run: x, (rows, n_embd), the residual stream, goes
// in and comes out changed. UNAVAILABLE when a device was lost: x is undefined then.
absl::Status RunLayer(const LayerContext& layer, LayerRun& run, float* x);

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_LAYER_H_
