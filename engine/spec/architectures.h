#ifndef HEARTH_ENGINE_SPEC_ARCHITECTURES_H_
#define HEARTH_ENGINE_SPEC_ARCHITECTURES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "engine/file/gguf.h"
#include "engine/spec/architecture_metadata.h"
#include "engine/spec/spec.h"

namespace hearth {

// Which layers of an architecture see only a window of the positions before them. In each run of `period`
// layers all but the last (or, with full_first, the first) do.
struct WindowTraits {
  WindowKind kind = WindowKind::kNone;
  uint32_t period = 0;
  bool full_first = false;
  uint32_t default_size = 0;      // where the file gives no size; 0: then there are no windows
  bool fixed_size = false;        // the size is default_size whatever the file gives
  bool needs_key = false;         // no windows in files without attention.sliding_window
  uint32_t only_with_layers = 0;  // windows only in models of this many layers
  float rope_base = 0;            // > 0: layers with a window rotate with this base (or rope.freq_base_swa)
  bool rope_unscaled = false;     // and without the model's rope scaling
};

// What an architecture is beyond the values in its files. The defaults are Llama's: an entry says what
// differs. Adding an architecture is adding an entry to architectures.cc; ARCHITECTURE.md walks through one.
struct Architecture {
  std::string_view name;  // "general.architecture" of the file

  // Norms. The names are those of tensors; see LayerSpec.
  NormKind norm = NormKind::kRms;
  bool norm_weights = true;
  std::string_view attention_norm = "attn_norm";
  std::string_view attention_post_norm = "";
  std::string_view ffn_norm = "ffn_norm";
  std::string_view ffn_post_norm = "";
  std::string_view attention_stream_norm = "";
  std::string_view ffn_stream_norm = "";
  std::string_view output_norm = "output_norm";  // "": there is none
  bool embedding_norm = false;
  bool token_types = false;

  // Positions.
  std::optional<RopeStyle> rope = RopeStyle::kInterleaved;
  uint32_t no_rope_period = 0;        // every n-th layer has no rope
  bool rope_on_windows_only = false;  // where the model has windows, only layers with one have rope
  bool learned_positions = false;
  uint32_t position_offset = 0;
  float alibi_max_bias = 0;  // default of attention.max_alibi_bias

  // Attention.
  bool causal = true;  // default of attention.causal
  MixerKind mixer = MixerKind::kAttention;
  QkNorm qk_norm = QkNorm::kNone;
  bool qk_norm_optional = false;  // some files of the architecture lack it
  bool qk_norm_after_rope = false;
  bool sinks = false;
  bool attention_output_norm = false;
  bool parallel = false;
  WindowTraits window = {};

  // Feed-forward network.
  Activation activation = Activation::kSilu;
  bool gated = true;
  bool relu_up = false;
  bool hidden_norm = false;
  FfnSideInput predictor_input = FfnSideInput::kResidual;

  // Mixture of experts.
  Gating gating = Gating::kSoftmax;
  bool normalize_expert_weights = false;
  FfnSideInput router_input = FfnSideInput::kNormed;
  bool weight_on_input = false;
  bool experts_everywhere = false;  // whatever leading_dense_block_count says
  // The experts' width is feed_forward_length, also where expert_feed_forward_length is given.
  bool experts_of_full_width = false;
  bool shared_expert = false;  // always, also where no key gives its width
  bool shared_gate = false;

  // Scales.
  float logit_scale_exponent =
      0;  // logits *= logit_scale ^ this: 1 (Cohere), -1 (Granite); 0: the key is not read
  float attention_softcap = 0;  // defaults of the keys
  float logit_softcap = 0;
  bool embedding_scale_is_root = false;  // Gemma: embeddings * sqrt(n_embd)

  // What no field above can say; called last.
  absl::Status (*adjust)(const ArchitectureMetadata& metadata, const GgufFile& file,
                         ModelSpec& spec) = nullptr;
};

// The entry of `name`, or nullptr.
const Architecture* FindArchitecture(std::string_view name);
// "llama, qwen2, ...": for error messages.
std::string SupportedArchitectures();

}  // namespace hearth

#endif  // HEARTH_ENGINE_SPEC_ARCHITECTURES_H_
