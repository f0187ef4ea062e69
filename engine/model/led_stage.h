#ifndef HEARTH_ENGINE_MODEL_LED_STAGE_H_
#define HEARTH_ENGINE_MODEL_LED_STAGE_H_

#include <cstdint>
#include <deque>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/device/device_set.h"
#include "engine/device/host_share.h"
#include "engine/device/weight_source.h"
#include "engine/model/stage.h"
#include "engine/outline/leader_weights.h"
#include "engine/weights/tensor_set.h"

namespace hearth {

// A stage on a host that has no model file: its layers' own weights from units, its devices those of the
// host's share. Used by one thread at a time, which holds HostDevices::compute_mutex.
class LedStage {
 public:
  // The layers are the led_layers of `share`'s first device: rising without gaps, and all of their head and
  // neuron groups lie in the share, which is loaded and outlives the stage; INVALID_ARGUMENT otherwise, or
  // when weights do not fit the model.
  static absl::StatusOr<std::unique_ptr<LedStage>> Load(HostShare& share, WeightSource& source,
                                                        ThreadPool& pool);

  // That the host leads.
  const LayerRange& layers() const { return layers_; }
  // See Stage::Run.
  absl::Status Run(uint64_t step, absl::Span<const RowPlace> rows, float* x);

 private:
  LedStage(HostShare& share, const LayerRange& layers);
  absl::Status LoadLayer(uint32_t layer, WeightSource& source, ThreadPool& pool);

  HostShare& share_;
  const LayerRange layers_;
  LeaderWeights weights_;          // of these layers; empty for others
  std::deque<TensorSet> tensors_;  // what the weights read of the tensors' own bytes
  DeviceSet devices_;
  Stage stage_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_LED_STAGE_H_
