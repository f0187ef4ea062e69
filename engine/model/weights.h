#ifndef HEARTH_ENGINE_MODEL_WEIGHTS_H_
#define HEARTH_ENGINE_MODEL_WEIGHTS_H_

#include <cstdint>
#include <variant>
#include <vector>

#include "absl/types/span.h"
#include "engine/file/gguf.h"
#include "engine/kernel/matrix.h"
#include "engine/model/spec.h"

namespace hearth {

// The weights that the leader of a model's layers holds: all but those of the feed-forward blocks. Immutable
// after loading. Vectors that an architecture or a file does not have are empty.

// y = scale * W x + bias.
struct Linear {
  Matrix weights;  // (outputs, inputs)
  std::vector<float> bias;
  float scale = 1;
};

struct Norm {
  bool present = false;  // absent: the vector stays as it is
  std::vector<float> weight;
  std::vector<float> bias;
};

// Rows in the file's format that are read one at a time.
struct RowTable {
  TensorType type = TensorType::kF32;
  const uint8_t* data = nullptr;  // in the file's mapping
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint64_t row_bytes = 0;

  void Read(uint64_t row, float* out) const;
};

struct AttentionWeights {
  Linear query, key, value, output;
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
  Linear output;
};

struct ShortConvolutionWeights {
  Linear input;             // (3 * n_embd)
  std::vector<float> taps;  // (n_embd, convolution_length)
  Linear output;
};

struct RouterWeights {
  Linear logits;                      // (experts)
  std::vector<float> selection_bias;  // (experts)
  std::vector<float> shared_gate;     // (n_embd)
};

struct LayerWeights {
  Norm attention_norm, attention_post_norm, ffn_norm, ffn_post_norm;
  std::variant<AttentionWeights, LatentAttentionWeights, ShortConvolutionWeights> mixer;
  RouterWeights router;
  Linear predictor;  // fc1: (predictor_rank)
};

struct ModelWeights {
  RowTable embedding;  // (n_vocab)
  RowTable positions;  // learned positions
  Norm embedding_norm;
  Norm output_norm;
  Linear output;                                 // (n_vocab)
  std::vector<std::vector<float>> rope_factors;  // by rope; empty where a rope has none
  std::vector<LayerWeights> layers;
};

class WeightLoader;

// Loads (or, with a checking loader, just checks) everything. Errors stay in the loader.
ModelWeights LoadWeights(const ModelSpec& spec, bool with_predictors, WeightLoader& loader);

// ALiBi's slope of each head: a geometric series; for a number of heads that is no power of two a second
// series with half the step fills the rest.
std::vector<float> AlibiSlopes(uint32_t heads, float max_bias);

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_WEIGHTS_H_
