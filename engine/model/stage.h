#ifndef HEARTH_ENGINE_MODEL_STAGE_H_
#define HEARTH_ENGINE_MODEL_STAGE_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/attention/row_place.h"
#include "engine/base/thread_pool.h"
#include "engine/device/device_set.h"
#include "engine/model/layer.h"
#include "engine/outline/leader_weights.h"
#include "engine/outline/model_outline.h"

namespace hearth {

// Layers [first, last) of a model.
struct LayerRange {
  uint32_t first = 0;
  uint32_t last = 0;

  bool operator==(const LayerRange&) const = default;
};
// "layers 0 to 7".
std::string TextOf(const LayerRange& layers);

// A stage that another leads: consecutive layers of a model, x in, x out.
class RemoteStage {
 public:
  virtual ~RemoteStage() = default;
  virtual const std::string& name() const = 0;  // of who leads it, for people
  // As Stage::Run.
  virtual absl::Status RunStage(uint64_t step, absl::Span<const RowPlace> rows, float* x) = 0;
};

// The stages that this host leads: it keeps the residual stream of consecutive layers while a step runs and
// asks devices for the rest. Used by one thread at a time.
class Stage {
 public:
  // All are borrowed; `leader` has the weights of the layers that are run.
  Stage(const ModelOutline& outline, const LeaderWeights& leader, uint32_t max_rows, ThreadPool& pool);

  // Runs the layers on x, (rows, n_embd), which comes out changed. Rows of the same `step` stand at the same
  // places. UNAVAILABLE when a device was lost: x is undefined then. Allocates nothing.
  absl::Status Run(uint64_t step, absl::Span<const RowPlace> rows, const LayerRange& layers,
                   DeviceSet& devices, float* x);

  // Weight bytes that the leader itself has read so far (devices count their own).
  uint64_t bytes_touched() const { return run_.work.bytes_touched; }

 private:
  const ModelOutline& outline_;
  const LeaderWeights& leader_;
  LayerRun run_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_STAGE_H_
