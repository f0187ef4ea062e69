#ifndef HEARTH_ENGINE_TOOLS_PREDICTOR_LAYER_H_
#define HEARTH_ENGINE_TOOLS_PREDICTOR_LAYER_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/device/device.h"
#include "engine/file/gguf_writer.h"
#include "engine/outline/model_outline.h"
#include "engine/tools/predictor_fit.h"

namespace hearth {

// The way from a model's layer to the task of predicting it, and from a predictor to a profile file.

// Whether neurons of such a layer can be predicted from its gate: one block of the ReLU family.
bool CanPredict(const FfnLayerSpec& spec);

// The task for a layer that CanPredict. `inputs`, (tokens, n_embd), is what the layer reads on text: the
// first three quarters to make the predictor from, the last to try it on. `device` holds the layer and takes
// up to max_rows rows, without a prediction it computes them exactly. INVALID_ARGUMENT for fewer than four
// tokens; what the device says.
absl::StatusOr<PredictorTask> MakePredictorTask(const ModelOutline& outline, uint32_t layer,
                                                std::vector<float> inputs, Device& device, uint32_t max_rows);

// Adds the predictor's tensors to a profile file.
void AddPredictor(uint32_t layer, const Predictor& predictor, GgufWriter& writer);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_PREDICTOR_LAYER_H_
