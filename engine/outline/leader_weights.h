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

// The leader's halves of a LoRA adapter, y = W x + B (A x): A of what reads a layer's own inputs, (rank,
// n_embd), B of what devices return the sums of, (n_embd, rank).
struct AdapterWeights {
  std::vector<Matrix> mixer_inputs;  // of query, key and value, those that there are
  std::vector<Matrix> ffn_inputs;    // of gate and up, those that there are
  Matrix mixer_output, ffn_output;   // of the output projection and of down, or empty
};

struct LayerWeights {
  Norm attention_norm, attention_post_norm, ffn_norm, ffn_post_norm;
  Norm attention_stream_norm, ffn_stream_norm;
  // Of the mixer's output projection: y = scale * (sum over the devices) + bias.
  std::vector<float> mixer_bias;
  float mixer_scale = 1;
  RouterWeights router;
  Linear predictor;  // fc1: (predictor_rank)
  AdapterWeights adapter;
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
