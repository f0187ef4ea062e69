#ifndef HEARTH_ENGINE_MODEL_STEERING_H_
#define HEARTH_ENGINE_MODEL_STEERING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "engine/attention/row_place.h"
#include "engine/model/router.h"
#include "engine/neuron/ffn_request.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/outline/leader_weights.h"
#include "engine/outline/model_outline.h"
#include "engine/weights/workspace.h"

namespace hearth {

// One of a model's layers with everything that is known of it. Borrowed.
struct LayerContext {
  LayerContext(const ModelOutline& outline, const LeaderWeights& leader, uint32_t layer)
      : model(outline.spec),
        index(layer),
        spec(outline.spec.layers[layer]),
        ffn(outline.ffn_specs[layer]),
        weights(leader.layers[layer]) {}

  const ModelSpec& model;
  uint32_t index;
  const LayerSpec& spec;
  const FfnLayerSpec& ffn;
  const LayerWeights& weights;
};

// What the leader tells a layer's FFN besides its input: which experts each row chose, or what the second
// halves of predictors or of a LoRA adapter read. Empty where the layer has none of them.
struct Steering {
  absl::Span<const BlockChoice> choices;  // (rows, choices_per_row)
  uint32_t choices_per_row = 0;
  const float* hidden = nullptr;  // (rows, FfnLayerSpec::hidden_values())
};

// The vector that the layer's router, predictor or adapter reads; nullopt where it has none of them.
std::optional<FfnSideInput> SideInputOf(const LayerContext& layer);

// Router, first half of the predictor or of the adapter. Its buffers are as large as the largest step needs.
class Steerer {
 public:
  Steerer(const ModelOutline& outline, uint32_t max_rows);

  // `x`, (rows, n_embd), is what SideInputOf names. The result is valid until the next call.
  Steering Steer(const LayerContext& layer, Workspace& work, absl::Span<const RowPlace> rows, const float* x);

 private:
  Steering ChooseExperts(const LayerContext& layer, Workspace& work, size_t rows, const float* x);
  Steering Adapt(const LayerContext& layer, Workspace& work, size_t rows, const float* x);
  // For the rows that have a prediction: those that are not of a prompt.
  Steering Predict(const LayerContext& layer, Workspace& work, absl::Span<const RowPlace> rows,
                   const float* x);

  Router router_;
  std::vector<float> logits_;         // (rows, experts)
  std::vector<BlockChoice> choices_;  // (rows, choices)
  std::vector<float> hidden_;         // (rows, hidden_values)
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_STEERING_H_
