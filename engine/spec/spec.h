#ifndef HEARTH_ENGINE_SPEC_SPEC_H_
#define HEARTH_ENGINE_SPEC_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {

// A model as data: what the one generic layer (layer.h) needs to know to compute any supported
// architecture. architectures.h says how an architecture fills it; weights.h what the tensors that belong to
// it are called.

enum class NormKind {
  kRms,    // x / sqrt(mean(x^2) + epsilon)
  kLayer,  // (x - mean(x)) / sqrt(variance(x) + epsilon)
};

// Which two values of a head one rotation turns.
enum class RopeStyle {
  kInterleaved,  // (0, 1), (2, 3), ...
  kHalfSplit,    // (0, n/2), (1, n/2 + 1), ...
};

// The tensor that divides the rotation frequencies (Llama 3, LongRoPE).
enum class RopeFactors { kNone, kFrequencies, kLongRopeShort, kLongRopeLong };
// The tensor's name; empty for kNone.
std::string_view RopeFactorsTensor(RopeFactors factors);

// One rotary position embedding. Pair i of `dims` / 2 turns by position * base^(-2i / dims), changed by the
// scaling.
struct RopeSpec {
  RopeStyle style = RopeStyle::kInterleaved;
  uint32_t dims = 0;
  float base = 10000;
  float frequency_scale = 1;  // linear and YaRN: 1 / factor
  bool yarn = false;          // blends scaled with unscaled frequencies, see rope.cc
  float yarn_mix = 1;         // how much of the blend applies
  float yarn_beta_fast = 32;
  float yarn_beta_slow = 1;
  uint32_t original_context = 0;
  float magnitude = 1;  // rotated values are multiplied by this
  RopeFactors factors = RopeFactors::kNone;
  // ReRoPE: relative distances are exact below the window. Beyond it they grow by 1 / interval per token, or
  // not at all when the interval is 0. Window 0: off.
  uint32_t rectified_window = 0;
  uint32_t rectified_interval = 0;

  bool operator==(const RopeSpec&) const = default;
};

// What mixes the tokens of a sequence in a layer.
enum class MixerKind {
  kAttention,         // multi-head, grouped-query or multi-query attention
  kLatentAttention,   // MLA with absorbed projections: the cache holds the latent and one rotated key
  kShortConvolution,  // LFM2: gated causal convolution over the last few positions
};

enum class WindowKind {
  kNone,
  kSliding,  // a token sees the last `window` positions, itself included
  kChunked,  // a token sees its own chunk of `window` positions up to itself
};

enum class QkNorm {
  kNone,
  kPerHead,         // each head alone, all with the same weights (key_dim)
  kPerHeadWeights,  // each head alone with weights of its own (heads, key_dim)
  kWhole,           // all heads as one vector (heads * key_dim)
  kUnweighted,      // each head alone, RMS without weights
};

struct AttentionSpec {
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t key_dim = 0;    // per head; latent attention: of a head before absorption, rotated part included
  uint32_t value_dim = 0;  // per head; latent attention: after decompression
  float scale = 0;         // of q.k
  float softcap = 0;
  float clamp_qkv = 0;       // > 0: q, k and v are clamped to +-this
  float alibi_max_bias = 0;  // > 0: ALiBi
  bool sinks = false;
  WindowKind window_kind = WindowKind::kNone;
  uint32_t window = 0;
  std::optional<uint32_t> rope;  // index in ModelSpec::ropes
  QkNorm qk_norm = QkNorm::kNone;
  bool qk_norm_after_rope = false;
  // Temperature tuning: q *= 1 + temperature_scale * ln(1 + floor((position + temperature_offset) /
  // temperature_floor)).
  float temperature_scale = 0;
  uint32_t temperature_floor = 0;
  uint32_t temperature_offset = 0;
  bool output_norm = false;  // bitnet: a norm before the output projection
  // Latent attention: ranks of the compressed query (0: not compressed) and of the cached latent.
  uint32_t query_rank = 0;
  uint32_t latent_rank = 0;
  bool split_kv_b = false;   // attn_k_b and attn_v_b instead of attn_kv_b
  uint32_t rotated_dim = 0;  // the last values of each query head; their key is shared by all heads
};

// Scores of the experts from the router's logits.
enum class Gating {
  kSoftmax,
  kSigmoid,
  kSoftmaxOfChosen,  // the best logits first, then softmax over them
};

// Which vector a router or predictor reads.
enum class FfnSideInput {
  kNormed,    // the FFN's own input
  kResidual,  // the residual stream before the FFN's norm
  kLayerInput,
};

struct RouterSpec {
  uint32_t experts = 0;
  uint32_t chosen = 0;
  Gating gating = Gating::kSoftmax;
  bool normalize = false;  // the weights of the chosen experts are divided by their sum
  float scale = 1;         // and multiplied by this
  uint32_t groups = 1;     // DeepSeek V3: experts are chosen from the best groups only
  uint32_t groups_used = 1;
  FfnSideInput input = FfnSideInput::kNormed;
  bool weight_on_input = false;
};

struct FfnSpec {
  bool present = true;
  Activation activation = Activation::kSilu;
  ActivationParameters activation_parameters;
  bool gated = true;
  bool relu_up = false;
  uint32_t neurons = 0;              // dense: of the layer; MoE: of one expert
  bool hidden_norm = false;          // bitnet
  std::optional<RouterSpec> router;  // MoE
  uint32_t shared_neurons = 0;       // MoE: of the expert that every token uses; 0: none
  bool shared_gate = false;          // its output is multiplied by a sigmoid gate
  FfnSideInput predictor_input = FfnSideInput::kResidual;
  uint32_t predictor_rank = 0;    // 0: there is no predictor for this layer
  bool predictor_linear = false;  // hearth-model's kind: without the ReLU between the halves
};

// How the states of a text's tokens become its embedding, see engine/model/pooling.h.
enum class Pooling { kMean, kCls, kLast };

// Of each of a layer's matrices W the rank of what a LoRA adapter adds to it, y = W x + B (A x); 0: nothing.
// A matrix that is stored together with another one has that one's rank.
struct AdapterRanks {
  uint32_t query = 0, key = 0, value = 0, output = 0;
  uint32_t gate = 0, up = 0, down = 0;

  // Values of a row's A x that the heads, and the neurons, read.
  uint32_t mixer_inputs() const { return query + key + value; }
  uint32_t ffn_inputs() const { return gate + up; }
  bool of_mixer() const { return mixer_inputs() + output > 0; }
  bool of_ffn() const { return ffn_inputs() + down > 0; }
};

// One layer. Norms are named by their tensors ("blk.N." and ".weight" left out); empty: there is none.
struct LayerSpec {
  MixerKind mixer = MixerKind::kAttention;
  AttentionSpec attention;
  FfnSpec ffn;
  AdapterRanks adapter;
  std::string_view attention_norm;
  std::string_view attention_post_norm;  // on the attention's result, before it is added
  std::string_view ffn_norm;             // empty in a parallel layer: the FFN reads the attention's input
  std::string_view ffn_post_norm;
  std::string_view attention_stream_norm;  // BERT: on the residual stream, after the result was added
  std::string_view ffn_stream_norm;
  bool parallel = false;  // attention and FFN both start from the layer's input

  // Values cached per position and sequence.
  uint32_t cached_key_values() const;
  uint32_t cached_value_values() const;  // 0 for latent attention: values are a part of the keys
};

struct ModelSpec {
  std::string architecture;
  uint32_t n_layers = 0;
  uint32_t n_embd = 0;
  uint32_t n_vocab = 0;
  uint32_t context_length = 0;  // what the model was trained for
  NormKind norm = NormKind::kRms;
  bool norm_weights = true;
  float norm_epsilon = 0;
  std::string_view output_norm;
  bool embedding_norm = false;
  uint32_t learned_positions = 0;  // rows of the table of positions; 0: there is none
  uint32_t position_offset = 0;    // OPT: row of position 0
  float embedding_scale = 1;
  float residual_scale = 1;  // of what attention and FFN add
  float logit_scale = 1;
  float logit_softcap = 0;
  uint32_t convolution_length = 0;  // taps of short convolutions
  std::vector<RopeSpec> ropes;      // the distinct rotations
  std::vector<LayerSpec> layers;
  // Whether a token sees those before it only. Without it each sees its whole text, which is read in one
  // step: such a model (an encoder) makes embeddings and generates nothing.
  bool causal = true;
  uint32_t token_types = 0;        // BERT: rows of the table of types, of which the first is added; 0: none
  std::optional<Pooling> pooling;  // of embeddings, where the file says so

  // Whether a layer keeps more than keys and values of positions.
  bool has_recurrent_state() const;
};

struct SpecOptions {
  uint32_t context_length = 512;      // LongRoPE takes its factors by it
  std::string rope_scaling = {};      // override: "", "none", "linear:factor=F", "yarn:factor=F",
                                      // "rerope:window=W[,interval=K]"
  const GgufFile* profile = nullptr;  // the model's profile file, whose predictors count as the model's
  const GgufFile* adapter = nullptr;  // what it is adapted by (engine/weights/adapter_file.h), likewise
};

// Reads the spec from the metadata. UNIMPLEMENTED for an unknown architecture (names it and lists those there
// are); INVALID_ARGUMENT, naming the key, for missing or impossible values.
absl::StatusOr<ModelSpec> ReadModelSpec(const GgufFile& file, const SpecOptions& options);

}  // namespace hearth

#endif  // HEARTH_ENGINE_SPEC_SPEC_H_
