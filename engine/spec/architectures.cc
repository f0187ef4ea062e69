#include "engine/spec/architectures.h"

#include <array>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"

namespace hearth {
namespace {

constexpr RopeStyle kHalfSplit = RopeStyle::kHalfSplit;
constexpr NormKind kLayerNorm = NormKind::kLayer;
constexpr std::string_view kNoNorm = "";
// The encoders' norms stand on the residual stream, behind attention and FFN.
constexpr std::string_view kBertAttentionNorm = "attn_output_norm";
constexpr std::string_view kBertFfnNorm = "layer_output_norm";

// Baichuan's larger model has another position scheme, and only its depth tells.
absl::Status AdjustBaichuan(const ArchitectureMetadata&, const GgufFile&, ModelSpec& spec) {
  if (spec.n_layers != 40) return absl::OkStatus();
  for (LayerSpec& layer : spec.layers) {
    layer.attention.rope.reset();
    layer.attention.alibi_max_bias = 8;
  }
  return absl::OkStatus();
}

// The second norm of the 40B model is the one for attention; the 7B model shares one norm.
absl::Status AdjustFalcon(const ArchitectureMetadata&, const GgufFile& file, ModelSpec& spec) {
  const bool two_norms = file.FindTensor("blk.0.attn_norm_2.weight") != nullptr;
  for (LayerSpec& layer : spec.layers) {
    layer.attention_norm = two_norms ? "attn_norm_2" : "attn_norm";
    layer.ffn_norm = two_norms ? "attn_norm" : kNoNorm;
  }
  return absl::OkStatus();
}

absl::Status AdjustGptNeox(const ArchitectureMetadata& metadata, const GgufFile&, ModelSpec& spec) {
  const bool parallel = metadata.BoolOr("use_parallel_residual", true);
  for (LayerSpec& layer : spec.layers) layer.parallel = parallel;
  return absl::OkStatus();
}

absl::Status AdjustStableLm(const ArchitectureMetadata&, const GgufFile& file, ModelSpec& spec) {
  if (file.FindTensor("blk.0.ffn_norm.weight") != nullptr) return absl::OkStatus();
  for (LayerSpec& layer : spec.layers) {
    layer.parallel = true;
    layer.ffn_norm = kNoNorm;
  }
  return absl::OkStatus();
}

// The largest models scale queries by n_embd / heads instead of the size of a head.
absl::Status AdjustGemmaScale(ModelSpec& spec, uint32_t layers_of_largest) {
  if (spec.n_layers != layers_of_largest) return absl::OkStatus();
  for (LayerSpec& layer : spec.layers) {
    layer.attention.scale = 1 / std::sqrt(static_cast<float>(spec.n_embd / layer.attention.heads));
  }
  return absl::OkStatus();
}

absl::Status AdjustGemma2(const ArchitectureMetadata&, const GgufFile&, ModelSpec& spec) {
  return AdjustGemmaScale(spec, 46);
}

absl::Status AdjustGemma3(const ArchitectureMetadata&, const GgufFile&, ModelSpec& spec) {
  return AdjustGemmaScale(spec, 62);
}

absl::Status AdjustJais(const ArchitectureMetadata&, const GgufFile&, ModelSpec& spec) {
  for (LayerSpec& layer : spec.layers)
    layer.attention.scale = 1 / static_cast<float>(layer.attention.key_dim);
  return absl::OkStatus();
}

absl::Status AdjustQwen(const ArchitectureMetadata&, const GgufFile&, ModelSpec& spec) {
  for (LayerSpec& layer : spec.layers) layer.ffn.neurons /= 2;
  return absl::OkStatus();
}

// Layers without rope see everything and sharpen their scores with the distance from the start; the others
// normalise queries and keys, except in the 128-expert model.
absl::Status AdjustLlama4(const ArchitectureMetadata& metadata, const GgufFile&, ModelSpec& spec) {
  const bool norms = metadata.SizeOr("expert_count", 0) != 128;
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.qk_norm = norms && attention.rope ? QkNorm::kUnweighted : QkNorm::kNone;
    if (attention.rope) continue;
    attention.temperature_scale = 0.1f;
    attention.temperature_floor = 8192;
    attention.temperature_offset = 1;
  }
  return absl::OkStatus();
}

absl::Status AdjustMistral3(const ArchitectureMetadata& metadata, const GgufFile&, ModelSpec& spec) {
  const float scale = metadata.FloatOr("attention.temperature_scale", 0);
  if (scale == 0) return absl::OkStatus();
  const uint32_t floor = metadata.Size("rope.scaling.original_context_length");
  for (LayerSpec& layer : spec.layers) {
    layer.attention.temperature_scale = scale;
    layer.attention.temperature_floor = floor;
  }
  return absl::OkStatus();
}

// Older files of MiniCPM leave out the scales that all its models have.
absl::Status AdjustMiniCpm(const ArchitectureMetadata& metadata, const GgufFile&, ModelSpec& spec) {
  const float n_embd = static_cast<float>(spec.n_embd);
  spec.embedding_scale = metadata.FloatOr("embedding_scale", 12);
  spec.residual_scale =
      metadata.FloatOr("residual_scale", 1.4f / std::sqrt(static_cast<float>(spec.n_layers)));
  spec.logit_scale = 1 / metadata.FloatOr("logit_scale", n_embd / 256);
  return absl::OkStatus();
}

absl::Status AdjustMiniCpm3(const ArchitectureMetadata&, const GgufFile&, ModelSpec& spec) {
  spec.embedding_scale = 12;
  spec.residual_scale = 1.4f / std::sqrt(static_cast<float>(spec.n_layers));
  spec.logit_scale = 256 / static_cast<float>(spec.n_embd);
  return absl::OkStatus();
}

// The heads are as wide as their rotated part.
absl::Status AdjustBailingMoe(const ArchitectureMetadata& metadata, const GgufFile&, ModelSpec& spec) {
  for (LayerSpec& layer : spec.layers) {
    AttentionSpec& attention = layer.attention;
    attention.key_dim = attention.value_dim = metadata.SizeOr("rope.dimension_count", attention.key_dim);
    attention.scale = 1 / std::sqrt(static_cast<float>(attention.key_dim));
  }
  return absl::OkStatus();
}

float Softplus(float x) { return x > 20 ? x : std::log1p(std::exp(x)); }

// Each layer has trained constants, stored before the softplus that keeps them positive.
absl::Status AdjustApertus(const ArchitectureMetadata& metadata, const GgufFile&, ModelSpec& spec) {
  const std::vector<float> alpha_p = metadata.FloatPerLayer("xielu.alpha_p", spec.n_layers);
  const std::vector<float> alpha_n = metadata.FloatPerLayer("xielu.alpha_n", spec.n_layers);
  const std::vector<float> beta = metadata.FloatPerLayer("xielu.beta", spec.n_layers);
  const std::vector<float> eps = metadata.FloatPerLayer("xielu.eps", spec.n_layers);
  for (uint32_t i = 0; i < spec.n_layers; ++i) {
    ActivationParameters& parameters = spec.layers[i].ffn.activation_parameters;
    parameters.xielu_alpha_p = Softplus(alpha_p[i]);
    parameters.xielu_alpha_n = beta[i] + Softplus(alpha_n[i]);
    parameters.xielu_beta = beta[i];
    parameters.xielu_eps = eps[i];
  }
  return absl::OkStatus();
}

absl::Status AdjustBitnet(const ArchitectureMetadata& metadata, const GgufFile&, ModelSpec& spec) {
  if (metadata.StringOr("hidden_activation", "") != "relu2") return absl::OkStatus();
  for (LayerSpec& layer : spec.layers) layer.ffn.activation = Activation::kReluSquared;
  return absl::OkStatus();
}

// The reference takes "every 4th layer has no rope" of a model with 4 layers for "all have it".
absl::Status AdjustSmallThinker(const ArchitectureMetadata&, const GgufFile&, ModelSpec& spec) {
  if (spec.n_layers != 4) return absl::OkStatus();
  for (LayerSpec& layer : spec.layers) layer.attention.rope = spec.layers.back().attention.rope;
  return absl::OkStatus();
}

// In the order in which errors list them.
constexpr std::array kArchitectures = {
    // Llama and what differs from it in details.
    Architecture{.name = "llama", .normalize_expert_weights = true},
    Architecture{.name = "mistral3", .normalize_expert_weights = true, .adjust = AdjustMistral3},
    Architecture{
        .name = "llama4",
        .rope_on_windows_only = true,
        .qk_norm_after_rope = true,
        .window = {.kind = WindowKind::kChunked, .period = 4, .default_size = 8192, .fixed_size = true},
        .gating = Gating::kSigmoid,
        .weight_on_input = true,
        .shared_expert = true,
        .adjust = AdjustLlama4},
    Architecture{.name = "arcee", .activation = Activation::kReluSquared, .gated = false},
    Architecture{.name = "smollm3", .no_rope_period = 4},
    Architecture{.name = "internlm2"},
    Architecture{.name = "xverse"},
    Architecture{.name = "baichuan", .adjust = AdjustBaichuan},
    Architecture{.name = "bitnet",
                 .rope = kHalfSplit,
                 .attention_output_norm = true,
                 .hidden_norm = true,
                 .adjust = AdjustBitnet},
    Architecture{.name = "bamboo", .activation = Activation::kRelu, .relu_up = true},

    // Qwen and other models with half-split rotation.
    Architecture{.name = "qwen", .rope = kHalfSplit, .adjust = AdjustQwen},
    Architecture{.name = "qwen2", .rope = kHalfSplit},
    Architecture{.name = "qwen2moe", .rope = kHalfSplit, .shared_expert = true, .shared_gate = true},
    Architecture{.name = "qwen3", .rope = kHalfSplit, .qk_norm = QkNorm::kPerHead},
    Architecture{.name = "qwen3moe",
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kPerHead,
                 .normalize_expert_weights = true},
    Architecture{.name = "seed_oss", .ffn_norm = "post_attention_norm", .rope = kHalfSplit},
    Architecture{.name = "exaone", .rope = kHalfSplit},
    Architecture{
        .name = "exaone4",
        .attention_norm = kNoNorm,
        .attention_post_norm = "post_attention_norm",
        .ffn_norm = kNoNorm,
        .ffn_post_norm = "post_ffw_norm",
        .rope = kHalfSplit,
        .rope_on_windows_only = true,
        .qk_norm = QkNorm::kPerHead,
        .window = {.kind = WindowKind::kSliding, .period = 4, .default_size = 4096, .only_with_layers = 64}},
    Architecture{
        .name = "hunyuan-dense", .rope = kHalfSplit, .qk_norm = QkNorm::kPerHead, .qk_norm_after_rope = true},
    Architecture{.name = "hunyuan-moe",
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kPerHead,
                 .qk_norm_after_rope = true,
                 .normalize_expert_weights = true,
                 .experts_of_full_width = true,
                 .shared_expert = true},
    Architecture{.name = "openelm", .rope = kHalfSplit, .qk_norm = QkNorm::kPerHead},
    Architecture{.name = "apertus",
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kPerHead,
                 .activation = Activation::kXielu,
                 .gated = false,
                 .adjust = AdjustApertus},
    Architecture{.name = "smallthinker",
                 .rope = kHalfSplit,
                 .rope_on_windows_only = true,
                 .window = {.kind = WindowKind::kSliding,
                            .period = 4,
                            .full_first = true,
                            .default_size = 4096,
                            .fixed_size = true,
                            .needs_key = true},
                 .activation = Activation::kRelu,
                 .normalize_expert_weights = true,
                 .router_input = FfnSideInput::kLayerInput,
                 .adjust = AdjustSmallThinker},
    Architecture{.name = "minimax-m2",
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kWhole,
                 .gating = Gating::kSigmoid,
                 .normalize_expert_weights = true,
                 .experts_of_full_width = true},
    Architecture{.name = "gpt-oss",
                 .ffn_norm = "post_attention_norm",
                 .rope = kHalfSplit,
                 .sinks = true,
                 .window = {.kind = WindowKind::kSliding, .period = 2},
                 .activation = Activation::kSwigluOai,
                 .gating = Gating::kSoftmaxOfChosen},
    Architecture{
        .name = "lfm2", .output_norm = "token_embd_norm", .rope = kHalfSplit, .qk_norm = QkNorm::kPerHead},
    Architecture{.name = "lfm2moe",
                 .output_norm = "token_embd_norm",
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kPerHead,
                 .gating = Gating::kSigmoid,
                 .normalize_expert_weights = true},

    // Gemma.
    Architecture{.name = "gemma",
                 .rope = kHalfSplit,
                 .activation = Activation::kGelu,
                 .embedding_scale_is_root = true},
    Architecture{.name = "gemma2",
                 .attention_post_norm = "post_attention_norm",
                 .ffn_post_norm = "post_ffw_norm",
                 .rope = kHalfSplit,
                 .window = {.kind = WindowKind::kSliding, .period = 2, .default_size = 4096},
                 .activation = Activation::kGelu,
                 .attention_softcap = 50,
                 .logit_softcap = 30,
                 .embedding_scale_is_root = true,
                 .adjust = AdjustGemma2},
    Architecture{.name = "gemma3",
                 .attention_post_norm = "post_attention_norm",
                 .ffn_post_norm = "post_ffw_norm",
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kPerHead,
                 .window = {.kind = WindowKind::kSliding, .period = 6, .rope_base = 10000},
                 .activation = Activation::kGelu,
                 .embedding_scale_is_root = true,
                 .adjust = AdjustGemma3},

    // Phi.
    Architecture{.name = "phi2",
                 .norm = kLayerNorm,
                 .ffn_norm = kNoNorm,
                 .rope = kHalfSplit,
                 .parallel = true,
                 .activation = Activation::kGelu,
                 .gated = false},
    Architecture{.name = "phi3", .rope = kHalfSplit},
    Architecture{.name = "phimoe", .rope = kHalfSplit, .normalize_expert_weights = true},

    // DeepSeek and other mixtures of experts.
    Architecture{.name = "deepseek"},
    Architecture{.name = "deepseek2", .mixer = MixerKind::kLatentAttention},
    Architecture{.name = "dots1", .rope = kHalfSplit, .qk_norm = QkNorm::kPerHead},
    Architecture{.name = "bailingmoe", .experts_everywhere = true, .adjust = AdjustBailingMoe},
    Architecture{.name = "dbrx",
                 .norm = kLayerNorm,
                 .ffn_norm = "attn_output_norm",
                 .rope = kHalfSplit,
                 .normalize_expert_weights = true},
    Architecture{.name = "ernie4_5"},
    Architecture{.name = "ernie4_5-moe", .normalize_expert_weights = true},

    // GLM.
    Architecture{.name = "chatglm"},
    Architecture{
        .name = "glm4", .attention_post_norm = "post_attention_norm", .ffn_post_norm = "post_ffw_norm"},
    Architecture{.name = "glm4moe",
                 .ffn_norm = "post_attention_norm",
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kPerHead,
                 .qk_norm_optional = true,
                 .gating = Gating::kSigmoid},

    // Granite and MiniCPM scale their residuals.
    Architecture{.name = "granite", .logit_scale_exponent = -1},
    Architecture{.name = "granitemoe", .normalize_expert_weights = true, .logit_scale_exponent = -1},
    Architecture{.name = "minicpm", .adjust = AdjustMiniCpm},
    Architecture{.name = "minicpm3",
                 .rope = kHalfSplit,
                 .mixer = MixerKind::kLatentAttention,
                 .adjust = AdjustMiniCpm3},

    // OLMo.
    Architecture{.name = "olmo", .norm = kLayerNorm, .norm_weights = false},
    Architecture{.name = "olmo2",
                 .attention_norm = kNoNorm,
                 .attention_post_norm = "post_attention_norm",
                 .ffn_norm = kNoNorm,
                 .ffn_post_norm = "post_ffw_norm",
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kWhole,
                 .window = {.kind = WindowKind::kSliding, .period = 4, .rope_unscaled = true}},
    Architecture{.name = "olmoe", .rope = kHalfSplit, .qk_norm = QkNorm::kWhole},

    // Cohere.
    Architecture{.name = "command-r",
                 .norm = kLayerNorm,
                 .ffn_norm = kNoNorm,
                 .qk_norm = QkNorm::kPerHeadWeights,
                 .qk_norm_optional = true,
                 .parallel = true,
                 .logit_scale_exponent = 1},
    Architecture{.name = "cohere2",
                 .norm = kLayerNorm,
                 .ffn_norm = kNoNorm,
                 .rope_on_windows_only = true,
                 .parallel = true,
                 .window = {.kind = WindowKind::kSliding, .period = 4},
                 .logit_scale_exponent = 1},

    // LayerNorm models with rope.
    Architecture{.name = "falcon",
                 .norm = kLayerNorm,
                 .rope = kHalfSplit,
                 .parallel = true,
                 .activation = Activation::kGelu,
                 .gated = false,
                 .predictor_input = FfnSideInput::kLayerInput,
                 .adjust = AdjustFalcon},
    Architecture{.name = "nemotron",
                 .norm = kLayerNorm,
                 .rope = kHalfSplit,
                 .activation = Activation::kReluSquared,
                 .gated = false},
    Architecture{.name = "orion", .norm = kLayerNorm, .rope = kHalfSplit},
    Architecture{.name = "stablelm",
                 .norm = kLayerNorm,
                 .rope = kHalfSplit,
                 .qk_norm = QkNorm::kPerHeadWeights,
                 .qk_norm_optional = true,
                 .adjust = AdjustStableLm},
    Architecture{.name = "starcoder2",
                 .norm = kLayerNorm,
                 .rope = kHalfSplit,
                 .activation = Activation::kGelu,
                 .gated = false},
    Architecture{.name = "codeshell",
                 .norm = kLayerNorm,
                 .rope = kHalfSplit,
                 .activation = Activation::kGelu,
                 .gated = false},
    Architecture{.name = "gptneox",
                 .norm = kLayerNorm,
                 .rope = kHalfSplit,
                 .activation = Activation::kGelu,
                 .gated = false,
                 .adjust = AdjustGptNeox},

    // Learned positions.
    Architecture{.name = "gpt2",
                 .norm = kLayerNorm,
                 .rope = std::nullopt,
                 .learned_positions = true,
                 .activation = Activation::kGelu,
                 .gated = false},
    Architecture{.name = "starcoder",
                 .norm = kLayerNorm,
                 .rope = std::nullopt,
                 .learned_positions = true,
                 .activation = Activation::kGelu,
                 .gated = false},
    Architecture{.name = "opt",
                 .norm = kLayerNorm,
                 .rope = std::nullopt,
                 .learned_positions = true,
                 .position_offset = 2,
                 .activation = Activation::kRelu,
                 .gated = false},

    // ALiBi.
    Architecture{.name = "bloom",
                 .norm = kLayerNorm,
                 .embedding_norm = true,
                 .rope = std::nullopt,
                 .alibi_max_bias = 8,
                 .activation = Activation::kGelu,
                 .gated = false},
    Architecture{.name = "mpt",
                 .norm = kLayerNorm,
                 .rope = std::nullopt,
                 .activation = Activation::kGelu,
                 .gated = false},
    Architecture{.name = "jais", .norm = kLayerNorm, .rope = std::nullopt, .adjust = AdjustJais},
    Architecture{.name = "refact", .rope = std::nullopt, .alibi_max_bias = 8},

    // Encoders: embeddings alone.
    Architecture{.name = "bert",
                 .norm = kLayerNorm,
                 .attention_norm = kNoNorm,
                 .ffn_norm = kNoNorm,
                 .attention_stream_norm = kBertAttentionNorm,
                 .ffn_stream_norm = kBertFfnNorm,
                 .output_norm = kNoNorm,
                 .embedding_norm = true,
                 .token_types = true,
                 .rope = std::nullopt,
                 .learned_positions = true,
                 .causal = false,
                 .activation = Activation::kGelu,
                 .gated = false},
    Architecture{.name = "nomic-bert",
                 .norm = kLayerNorm,
                 .attention_norm = kNoNorm,
                 .ffn_norm = kNoNorm,
                 .attention_stream_norm = kBertAttentionNorm,
                 .ffn_stream_norm = kBertFfnNorm,
                 .output_norm = kNoNorm,
                 .embedding_norm = true,
                 .token_types = true,
                 .rope = kHalfSplit,
                 .causal = false},
};

}  // namespace

const Architecture* FindArchitecture(std::string_view name) {
  for (const Architecture& architecture : kArchitectures) {
    if (architecture.name == name) return &architecture;
  }
  return nullptr;
}

std::string SupportedArchitectures() {
  std::string names;
  for (const Architecture& architecture : kArchitectures) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", AbslView(architecture.name));
  }
  return names;
}

}  // namespace hearth
