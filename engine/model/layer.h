#ifndef HEARTH_ENGINE_MODEL_LAYER_H_
#define HEARTH_ENGINE_MODEL_LAYER_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine/model/ffn_stage.h"
#include "engine/model/kv_cache.h"
#include "engine/model/spec.h"
#include "engine/model/step.h"
#include "engine/model/weights.h"

namespace hearth {

// One layer of any supported architecture on the rows of a step: step.x, the residual stream, goes in and
// comes out changed; `cache` takes up the rows' keys and values. UNAVAILABLE when a device was lost: x is
// undefined then.
absl::Status RunLayer(const ModelSpec& model, uint32_t index, const LayerWeights& weights, KvLayer& cache,
                      FfnStage& ffn, Step& step);

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_LAYER_H_
