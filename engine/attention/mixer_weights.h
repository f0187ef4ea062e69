#ifndef HEARTH_ENGINE_ATTENTION_MIXER_WEIGHTS_H_
#define HEARTH_ENGINE_ATTENTION_MIXER_WEIGHTS_H_

#include <cstdint>
#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "engine/attention/head_groups.h"
#include "engine/spec/spec.h"
#include "engine/weights/parameters.h"
#include "engine/weights/weight_loader.h"

namespace hearth {

// The weights of a mixer, or of some of its head groups: then every number of heads below is theirs. The
// output projection stands apart (MixerWeights), since it is multiplied in fixed point; its bias and scale
// are the leader's, who adds the devices' sums.

struct AttentionWeights {
  Linear query, key, value;
  Norm query_norm, key_norm;  // see QkNorm for their sizes
  Norm output_norm;
  std::vector<float> sinks;         // (heads)
  std::vector<float> alibi_slopes;  // (heads)
};

struct LatentAttentionWeights {
  Linear query_down;  // empty where queries are not compressed
  Norm query_down_norm;
  Linear query;    // (heads * key_dim)
  Linear kv_down;  // (latent_rank + rotated_dim)
  Norm kv_down_norm;
  // The projections that absorption moves to the query and to the result. With split_kv_b key_up's rows are
  // (heads * latent_rank) of key_dim - rotated_dim values; without, both tables are the same tensor, whose
  // rows are (heads * (key_dim - rotated_dim + value_dim)) of latent_rank values.
  RowTable key_up, value_up;
};

struct ShortConvolutionWeights {
  Linear input;             // (3 * n_embd)
  std::vector<float> taps;  // (n_embd, convolution_length)
};

struct MixerWeights {
  std::variant<AttentionWeights, LatentAttentionWeights, ShortConvolutionWeights> mixer;
  Matrix output;                    // (n_embd, results)
  Matrix output_adapter;            // A of a LoRA adapter, (rank, results), or empty; B is the leader's
  std::vector<float> rope_factors;  // of the layer's rope; empty where it has none
};

// Loads (or, with a checking loader, just checks) the weights of `groups` of a layer from their tensors, see
// HeadGroupParts. Errors stay in the loader.
MixerWeights LoadMixer(const ModelSpec& model, uint32_t layer, absl::Span<const HeadGroup> groups,
                       WeightLoader& loader);

// ALiBi's slope of each head: a geometric series; for a number of heads that is no power of two a second
// series with half the step fills the rest.
std::vector<float> AlibiSlopes(uint32_t heads, float max_bias);

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_MIXER_WEIGHTS_H_
