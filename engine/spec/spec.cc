#include "engine/spec/spec.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/spec/architecture_metadata.h"
#include "engine/spec/architectures.h"
#include "engine/spec/ffn_spec_reader.h"
#include "engine/spec/rope_scaling.h"

namespace hearth {
namespace {

// More than models have by far; a list of their groups stays small. A file that gives no weights, as
// coordinators send it, can claim any number.
constexpr uint32_t kMostHeads = 1 << 16;

std::string LayerTensor(uint32_t layer, std::string_view name) {
  return absl::StrCat("blk.", layer, ".", AbslView(name), ".weight");
}

// Fills a spec in the order in which values depend on one another. Errors are collected by the metadata
// reader.
class SpecReader {
 public:
  SpecReader(const GgufFile& file, const Architecture& architecture, const SpecOptions& options)
      : file_(file),
        traits_(architecture),
        options_(options),
        metadata_(file.metadata(), std::string(architecture.name)) {}

  absl::StatusOr<ModelSpec> Read() {
    HEARTH_RETURN_IF_ERROR(ReadSizes());
    ReadScales();
    ReadEmbeddingTraits();
    HEARTH_RETURN_IF_ERROR(ReadBaseRope());
    ReadLayers();
    HEARTH_RETURN_IF_ERROR(metadata_.status());
    if (traits_.adjust != nullptr) HEARTH_RETURN_IF_ERROR(traits_.adjust(metadata_, file_, spec_));
    HEARTH_RETURN_IF_ERROR(metadata_.status());
    HEARTH_RETURN_IF_ERROR(CheckRopes());
    HEARTH_RETURN_IF_ERROR(CheckWholeTexts());
    return std::move(spec_);
  }

 private:
  absl::Status ReadSizes() {
    spec_.architecture = std::string(traits_.name);
    spec_.n_layers = metadata_.Size("block_count");
    // Layers that predict further tokens follow the model's own; they take no part here.
    const uint32_t extra = metadata_.SizeOr("nextn_predict_layers", 0);
    if (extra < spec_.n_layers) spec_.n_layers -= extra;
    if (spec_.n_layers > file_.tensors().size()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "block_count is ", spec_.n_layers, ", but the file has only ", file_.tensors().size(), " tensors"));
    }
    spec_.n_embd = metadata_.Size("embedding_length");
    spec_.context_length = metadata_.SizeOr("context_length", 0);
    const GgufTensor* embedding = file_.FindTensor("token_embd.weight");
    if (embedding == nullptr) return absl::InvalidArgumentError("the file has no tensor token_embd.weight");
    spec_.n_vocab = static_cast<uint32_t>(std::min<uint64_t>(embedding->ne[1], UINT32_MAX));
    return metadata_.status();
  }

  void ReadScales() {
    spec_.norm = traits_.norm;
    spec_.norm_weights = traits_.norm_weights;
    spec_.norm_epsilon = metadata_.Float(traits_.norm == NormKind::kRms ? "attention.layer_norm_rms_epsilon"
                                                                        : "attention.layer_norm_epsilon");
    spec_.output_norm = traits_.output_norm;
    spec_.embedding_norm = traits_.embedding_norm;
    if (traits_.learned_positions) ReadPositions();
    spec_.embedding_scale = metadata_.FloatOr("embedding_scale", 1);
    if (traits_.embedding_scale_is_root) spec_.embedding_scale = std::sqrt(static_cast<float>(spec_.n_embd));
    spec_.residual_scale = metadata_.FloatOr("residual_scale", 1);
    if (traits_.logit_scale_exponent != 0) {
      spec_.logit_scale = std::pow(metadata_.FloatOr("logit_scale", 1), traits_.logit_scale_exponent);
    }
    spec_.logit_softcap = metadata_.FloatOr("final_logit_softcapping", traits_.logit_softcap);
    spec_.convolution_length = metadata_.SizeOr("shortconv.l_cache", 0);
  }

  void ReadPositions() {
    const GgufTensor* positions = file_.FindTensor("position_embd.weight");
    if (positions == nullptr || positions->ne[1] <= traits_.position_offset || positions->ne[1] > INT32_MAX) {
      metadata_.Fail(
          absl::InvalidArgumentError("the file has no tensor position_embd.weight with a row per position"));
      return;
    }
    spec_.learned_positions = static_cast<uint32_t>(positions->ne[1]);
    spec_.position_offset = traits_.position_offset;
  }

  void ReadEmbeddingTraits() {
    spec_.causal = metadata_.BoolOr("attention.causal", traits_.causal);
    if (traits_.token_types) {
      const GgufTensor* types = file_.FindTensor("token_types.weight");
      if (types != nullptr)
        spec_.token_types = static_cast<uint32_t>(std::min<uint64_t>(types->ne[1], INT32_MAX));
    }
    switch (const uint32_t type = metadata_.SizeOr("pooling_type", kNoPooling)) {
      case kNoPooling:
        return;
      case 1:
        spec_.pooling = Pooling::kMean;
        return;
      case 2:
        spec_.pooling = Pooling::kCls;
        return;
      case 3:
        spec_.pooling = Pooling::kLast;
        return;
      case 4:
        return metadata_.Fail(absl::UnimplementedError(
            "pooling_type is 4: models that rank texts are not supported, those that embed them are"));
      default:
        return metadata_.Fail(
            absl::InvalidArgumentError(absl::StrCat("pooling_type is ", type, "; 0 to 4 are known")));
    }
  }

  absl::Status ReadBaseRope() {
    if (!traits_.rope) return absl::OkStatus();
    RopeSpec rope;
    rope.style = *traits_.rope;
    rope.base = metadata_.FloatOr("rope.freq_base", 10000);
    rope.original_context = metadata_.SizeOr("rope.scaling.original_context_length", spec_.context_length);
    if (file_.FindTensor("rope_freqs.weight") != nullptr) {
      rope.factors = RopeFactors::kFrequencies;
    } else if (file_.FindTensor("rope_factors_long.weight") != nullptr) {
      rope.factors = options_.context_length > rope.original_context ? RopeFactors::kLongRopeLong
                                                                     : RopeFactors::kLongRopeShort;
    }
    HEARTH_RETURN_IF_ERROR(ReadRopeScaling(metadata_, options_.rope_scaling, rope));
    base_rope_ = rope;
    return absl::OkStatus();
  }

  uint32_t AddRope(const RopeSpec& rope) {
    const auto found = std::find(spec_.ropes.begin(), spec_.ropes.end(), rope);
    if (found != spec_.ropes.end()) return static_cast<uint32_t>(found - spec_.ropes.begin());
    spec_.ropes.push_back(rope);
    return static_cast<uint32_t>(spec_.ropes.size() - 1);
  }

  void ReadLayers() {
    ReadWindows();
    const uint32_t n = spec_.n_layers;
    const std::vector<uint32_t> heads = metadata_.SizePerLayer("attention.head_count", n, std::nullopt);
    if (!metadata_.status().ok()) return;
    const std::vector<uint32_t> kv_heads = metadata_.SizePerLayer("attention.head_count_kv", n, 0);
    const bool has_kv_heads = metadata_.Has("attention.head_count_kv");
    const bool moe = metadata_.SizeOr("expert_count", 0) > 0;
    const std::vector<uint32_t> widths =
        metadata_.SizePerLayer("feed_forward_length", n, moe ? std::optional<uint32_t>(0) : std::nullopt);
    for (uint32_t i = 0; i < n && metadata_.status().ok(); ++i) {
      LayerSpec& layer = spec_.layers.emplace_back();
      layer.attention_norm = traits_.attention_norm;
      layer.attention_post_norm = traits_.attention_post_norm;
      layer.ffn_norm = traits_.ffn_norm;
      layer.ffn_post_norm = traits_.ffn_post_norm;
      layer.attention_stream_norm = traits_.attention_stream_norm;
      layer.ffn_stream_norm = traits_.ffn_stream_norm;
      layer.parallel = traits_.parallel;
      layer.mixer = traits_.mixer;
      if (spec_.convolution_length > 0 && has_kv_heads && kv_heads[i] == 0) {
        layer.mixer = MixerKind::kShortConvolution;
      } else {
        ReadAttention(i, heads[i], has_kv_heads ? kv_heads[i] : heads[i], layer);
      }
      layer.ffn = ReadFfnSpec(metadata_, file_, options_.profile, traits_, i, widths[i]);
      ReadAdapter(i, layer);
    }
  }

  // Finds what an adapter adds to a layer. Predictors are made of the matrices without it.
  void ReadAdapter(uint32_t i, LayerSpec& layer) {
    const bool fused = Has(i, "attn_qkv");
    AdapterRanks& ranks = layer.adapter;
    ranks.query = RankOf(i, fused ? "attn_qkv" : "attn_q");
    ranks.key = RankOf(i, fused ? "attn_qkv" : "attn_k");
    ranks.value = RankOf(i, fused ? "attn_qkv" : "attn_v");
    ranks.output = RankOf(i, "attn_output");
    if (ranks.of_mixer() && layer.mixer != MixerKind::kAttention) {
      metadata_.Fail(absl::UnimplementedError(absl::StrCat(
          "the LoRA adapter changes the attention of layer ", i,
          ", which is latent or a convolution: use one for the feed-forward layers alone, or none")));
    }
    ranks.up = RankOf(i, "ffn_up");
    if (layer.ffn.gated) ranks.gate = Has(i, "ffn_gate") ? RankOf(i, "ffn_gate") : ranks.up;
    ranks.down = RankOf(i, "ffn_down");
    if (ranks.of_ffn()) layer.ffn.predictor_rank = 0;
  }

  bool Has(uint32_t i, std::string_view matrix) const {
    return file_.FindTensor(LayerTensor(i, matrix)) != nullptr;
  }

  // 0 where it is not adapted.
  uint32_t RankOf(uint32_t i, std::string_view matrix) {
    constexpr uint64_t kHighestRank = 1 << 14;
    const std::string name = LayerTensor(i, matrix) + ".lora_a";
    const GgufTensor* a = options_.adapter != nullptr ? options_.adapter->FindTensor(name) : nullptr;
    if (a == nullptr) a = file_.FindTensor(name);
    if (a == nullptr) return 0;
    if (a->rows() <= kHighestRank) return static_cast<uint32_t>(a->rows());
    metadata_.Fail(absl::InvalidArgumentError(
        absl::StrCat("tensor ", name, " is of rank ", a->rows(), "; at most ", kHighestRank, " is read")));
    return 0;
  }

  // Which layers have a window.
  void ReadWindows() {
    const WindowTraits& traits = traits_.window;
    windowed_.assign(spec_.n_layers, false);
    constexpr std::string_view kKey = "attention.sliding_window";
    window_ = metadata_.SizeOr(kKey, traits.needs_key ? 0 : traits.default_size);
    if (traits.fixed_size && window_ > 0) window_ = traits.default_size;
    has_windows_ = traits.kind != WindowKind::kNone && window_ > 0 &&
                   (traits.only_with_layers == 0 || traits.only_with_layers == spec_.n_layers);
    if (!has_windows_) return;
    constexpr std::string_view kPattern = "attention.sliding_window_pattern";
    uint32_t period = traits.period;
    if (metadata_.Has(kPattern)) {
      const std::vector<uint32_t> pattern = metadata_.SizePerLayer(kPattern, spec_.n_layers, 0);
      if (std::all_of(pattern.begin(), pattern.end(), [](uint32_t value) { return value <= 1; })) {
        std::copy(pattern.begin(), pattern.end(), windowed_.begin());
        return;
      }
      period = pattern[0];
    }
    for (uint32_t i = 0; i < spec_.n_layers; ++i) {
      windowed_[i] = period == 0 || (traits.full_first ? i % period != 0 : i % period < period - 1);
    }
  }

  void ReadAttention(uint32_t i, uint32_t heads, uint32_t kv_heads, LayerSpec& layer) {
    AttentionSpec& attention = layer.attention;
    if (heads == 0 || kv_heads == 0 || heads % kv_heads != 0) {
      return metadata_.Fail(
          absl::InvalidArgumentError(absl::StrCat("layer ", i, " has ", heads, " query heads and ", kv_heads,
                                                  " KV heads; the first must be a multiple")));
    }
    if (heads > kMostHeads) {
      return metadata_.Fail(absl::InvalidArgumentError(
          absl::StrCat("layer ", i, " has ", heads, " heads, more than any model has; at most ", kMostHeads,
                       " are read")));
    }
    attention.heads = heads;
    attention.kv_heads = kv_heads;
    const bool latent = layer.mixer == MixerKind::kLatentAttention;
    const uint32_t even = spec_.n_embd / heads;
    attention.key_dim = latent && metadata_.Has("attention.key_length_mla")
                            ? metadata_.Size("attention.key_length_mla")
                            : metadata_.SizeOr("attention.key_length", even);
    attention.value_dim = latent && metadata_.Has("attention.value_length_mla")
                              ? metadata_.Size("attention.value_length_mla")
                              : metadata_.SizeOr("attention.value_length", even);
    if (attention.key_dim == 0 || attention.value_dim == 0) {
      return metadata_.Fail(
          absl::InvalidArgumentError(absl::StrCat("the heads of layer ", i, " have no values")));
    }
    attention.scale = metadata_.FloatOr("attention.scale", 0);
    if (attention.scale == 0) attention.scale = 1 / std::sqrt(static_cast<float>(attention.key_dim));
    attention.softcap = metadata_.FloatOr("attn_logit_softcapping", traits_.attention_softcap);
    attention.clamp_qkv = metadata_.FloatOr("attention.clamp_kqv", 0);
    attention.alibi_max_bias = metadata_.FloatOr("attention.max_alibi_bias", traits_.alibi_max_bias);
    attention.sinks = traits_.sinks;
    attention.output_norm = traits_.attention_output_norm;
    attention.qk_norm = traits_.qk_norm;
    if (traits_.qk_norm_optional && file_.FindTensor(LayerTensor(i, "attn_q_norm")) == nullptr) {
      attention.qk_norm = QkNorm::kNone;
    }
    attention.qk_norm_after_rope = traits_.qk_norm_after_rope;
    if (windowed_[i]) {
      attention.window_kind = traits_.window.kind;
      attention.window = window_;
    }
    if (latent) ReadLatent(attention);
    ReadLayerRope(i, attention);
    if (latent && attention.rope)
      attention.scale *= YarnAttentionFactor(metadata_, spec_.ropes[*attention.rope]);
  }

  void ReadLatent(AttentionSpec& attention) {
    attention.query_rank = metadata_.SizeOr("attention.q_lora_rank", 0);
    if (file_.FindTensor(LayerTensor(0, "attn_q")) != nullptr) attention.query_rank = 0;
    attention.latent_rank = metadata_.Size("attention.kv_lora_rank");
    attention.split_kv_b = file_.FindTensor(LayerTensor(0, "attn_k_b")) != nullptr;
    attention.rotated_dim = metadata_.Size("rope.dimension_count");
    if (attention.rotated_dim >= attention.key_dim) {
      metadata_.Fail(absl::InvalidArgumentError(absl::StrCat(
          "rope.dimension_count is ", attention.rotated_dim, " of ", attention.key_dim, " values of a key")));
    }
  }

  void ReadLayerRope(uint32_t i, AttentionSpec& attention) {
    if (!base_rope_) return;
    if (traits_.no_rope_period > 0 && (i + 1) % traits_.no_rope_period == 0) return;
    if (traits_.rope_on_windows_only && has_windows_ && !windowed_[i]) return;
    RopeSpec rope = *base_rope_;
    rope.dims = metadata_.SizeOr("rope.dimension_count", attention.key_dim);
    if (windowed_[i]) {
      if (traits_.window.rope_unscaled || traits_.window.rope_base > 0) RemoveRopeScaling(rope);
      if (traits_.window.rope_base > 0) {
        rope.base = metadata_.FloatOr("rope.freq_base_swa", traits_.window.rope_base);
      }
    }
    attention.rope = AddRope(rope);
  }

  absl::Status CheckRopes() {
    for (const LayerSpec& layer : spec_.layers) {
      if (layer.mixer == MixerKind::kShortConvolution || !layer.attention.rope) continue;
      const RopeSpec& rope = spec_.ropes[*layer.attention.rope];
      if (rope.dims == 0 || rope.dims % 2 != 0 || rope.dims > layer.attention.key_dim || !(rope.base > 0)) {
        return absl::InvalidArgumentError(absl::StrCat("cannot rotate ", rope.dims, " of ",
                                                       layer.attention.key_dim,
                                                       " values of a head with base ", rope.base));
      }
    }
    return absl::OkStatus();
  }

  // What counts the distance backwards has no meaning for a token that sees forwards.
  absl::Status CheckWholeTexts() {
    if (spec_.causal) return absl::OkStatus();
    for (const LayerSpec& layer : spec_.layers) {
      const AttentionSpec& attention = layer.attention;
      const bool rectified = attention.rope && spec_.ropes[*attention.rope].rectified_window > 0;
      if (layer.mixer != MixerKind::kAttention || attention.window_kind != WindowKind::kNone ||
          attention.alibi_max_bias > 0 || rectified) {
        return absl::UnimplementedError(
            "attention to later tokens (attention.causal false) is supported without windows, ALiBi, ReRoPE, "
            "latent attention and convolutions only");
      }
    }
    return absl::OkStatus();
  }

  static constexpr uint32_t kNoPooling = 0;  // pooling_type of a file that leaves it open

  const GgufFile& file_;
  const Architecture& traits_;
  const SpecOptions& options_;
  ArchitectureMetadata metadata_;
  ModelSpec spec_;
  std::optional<RopeSpec> base_rope_;
  bool has_windows_ = false;
  uint32_t window_ = 0;
  std::vector<bool> windowed_;
};

}  // namespace

std::string_view RopeFactorsTensor(RopeFactors factors) {
  switch (factors) {
    case RopeFactors::kNone:
      return "";
    case RopeFactors::kFrequencies:
      return "rope_freqs.weight";
    case RopeFactors::kLongRopeShort:
      return "rope_factors_short.weight";
    case RopeFactors::kLongRopeLong:
      return "rope_factors_long.weight";
  }
  return "";
}

uint32_t LayerSpec::cached_key_values() const {
  switch (mixer) {
    case MixerKind::kAttention:
      return attention.kv_heads * attention.key_dim;
    case MixerKind::kLatentAttention:
      return attention.latent_rank + attention.rotated_dim;
    case MixerKind::kShortConvolution:
      return 0;
  }
  return 0;
}

uint32_t LayerSpec::cached_value_values() const {
  return mixer == MixerKind::kAttention ? attention.kv_heads * attention.value_dim : 0;
}

bool ModelSpec::has_recurrent_state() const {
  return std::any_of(layers.begin(), layers.end(),
                     [](const LayerSpec& layer) { return layer.mixer == MixerKind::kShortConvolution; });
}

absl::StatusOr<ModelSpec> ReadModelSpec(const GgufFile& file, const SpecOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> name,
                          file.metadata().GetString("general.architecture"));
  if (!name) {
    return absl::InvalidArgumentError(
        "the file has no general.architecture; it is no language model or damaged");
  }
  const Architecture* architecture = FindArchitecture(*name);
  if (architecture == nullptr) {
    return absl::UnimplementedError(absl::StrCat("architecture \"", Printable(*name),
                                                 "\" is not supported; supported are ",
                                                 SupportedArchitectures()));
  }
  return SpecReader(file, *architecture, options).Read();
}

}  // namespace hearth
