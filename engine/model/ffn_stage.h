#ifndef HEARTH_ENGINE_MODEL_FFN_STAGE_H_
#define HEARTH_ENGINE_MODEL_FFN_STAGE_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "engine/model/router.h"
#include "engine/model/spec.h"
#include "engine/model/step.h"
#include "engine/model/weights.h"
#include "engine/neuron/ffn_device.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {

// The leader's part of the feed-forward networks: chooses experts, computes what predictors need, hands the
// input to the devices and turns their sums into values. For each layer: Begin, Observe with what the router
// or predictor may read, Submit, Collect. Allocated once for the largest step.
class FfnStage {
 public:
  FfnStage(const ModelSpec& model, const std::vector<FfnLayerSpec>& specs, uint32_t max_rows);

  void SetDevices(std::vector<FfnDevice*> devices) { devices_ = std::move(devices); }

  void Begin(uint32_t layer, const LayerWeights& weights, Step& step);
  // Tells what `place` holds now, (rows, n_embd). The router and the predictor take it if it is what they
  // read.
  void Observe(FfnSideInput place, const float* x);
  // Starts the devices on input, (rows, n_embd), which stays until Collect has returned.
  void Submit(const float* input);
  // Waits for them and writes the result, (rows, n_embd). UNAVAILABLE when a device was lost.
  absl::Status Collect(float* out);

 private:
  void ChooseExperts(const float* x);
  float SharedWeight(const float* x);

  const ModelSpec& model_;
  const std::vector<FfnLayerSpec>& specs_;
  std::vector<FfnDevice*> devices_;

  // Of the layer at hand.
  const FfnSpec* ffn_ = nullptr;
  const FfnLayerSpec* spec_ = nullptr;
  const LayerWeights* weights_ = nullptr;
  Step* step_ = nullptr;
  FfnRequest request_;
  absl::Status submitted_;

  Router router_;
  std::vector<float> logits_;         // (rows, experts)
  std::vector<BlockChoice> choices_;  // (rows, choices)
  std::vector<float> hidden_;         // (rows, predictor_rank)
  std::vector<int64_t> sums_;         // (rows, output_values)
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_FFN_STAGE_H_
