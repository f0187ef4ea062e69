#ifndef HEARTH_ENGINE_OUTLINE_FFN_LAYERS_H_
#define HEARTH_ENGINE_OUTLINE_FFN_LAYERS_H_

#include <vector>

#include "absl/status/status.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/spec/spec.h"
#include "engine/weights/weight_loader.h"

namespace hearth {

// The feed-forward networks of a model as devices see them: what they compute and where their weights lie. A
// layer without one has no blocks. Errors stay in the loader.
struct FfnLayers {
  std::vector<FfnLayerSpec> specs;      // by layer
  std::vector<FfnLayerSource> sources;  // by layer
};

// Finds the tensors of all layers and checks that they fit one another.
FfnLayers BindFfnLayers(const ModelSpec& spec, SparsityMode sparsity, float sparse_threshold,
                        WeightLoader& loader);

// Whether the model can be computed in this mode: exact needs ReLU in every layer, predicted a predictor in
// any (the other layers are computed exactly where ReLU allows, else dense). INVALID_ARGUMENT, saying why and
// what works, otherwise.
absl::Status CheckSparsity(const ModelSpec& spec, SparsityMode sparsity);

}  // namespace hearth

#endif  // HEARTH_ENGINE_OUTLINE_FFN_LAYERS_H_
