#ifndef HEARTH_ENGINE_OUTLINE_LEADER_WEIGHTS_H_
#define HEARTH_ENGINE_OUTLINE_LEADER_WEIGHTS_H_

#include <cstdint>
#include <vector>

#include "engine/spec/spec.h"
#include "engine/weights/parameters.h"
#include "engine/weights/weight_loader.h"

namespace hearth {

// The weights that whoever leads a model's layers holds: what is neither a neuron, nor a head, nor an output
// row. Immutable after loading. Vectors that an architecture or a file does not have are empty.

struct RouterWeights {
  Linear logits;                      // (experts)
  std::vector<float> selection_bias;  // (experts)
  std::vector<float> shared_gate;     // (n_embd)
};

struct LayerWeights {
  Norm attention_norm, attention_post_norm, ffn_norm, ffn_post_norm;
  Norm attention_stream_norm, ffn_stream_norm;
  // Of the mixer's output projection: y = scale * (sum over the devices) + bias.
  std::vector<float> mixer_bias;
  float mixer_scale = 1;
  RouterWeights router;
  Linear predictor;  // fc1: (predictor_rank)
};

struct LeaderWeights {
  RowTable embedding;             // (n_vocab)
  RowTable positions;             // learned positions
  std::vector<float> token_type;  // (n_embd): what every token gets beside its embedding
  Norm embedding_norm;
  Norm output_norm;
  std::vector<LayerWeights> layers;
};

// Loads (or checks) one layer's. Errors stay in the loader.
LayerWeights LoadLayerWeights(const ModelSpec& spec, uint32_t layer, bool with_predictors,
                              WeightLoader& loader);

// Loads (or, with a checking loader, just checks) them. Errors stay in the loader.
LeaderWeights LoadLeaderWeights(const ModelSpec& spec, bool with_predictors, WeightLoader& loader);

}  // namespace hearth

#endif  // HEARTH_ENGINE_OUTLINE_LEADER_WEIGHTS_H_
