#include "engine/model/weights.h"

#include <cmath>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/model/weight_loader.h"

namespace hearth {
namespace {

// Loads the tensors of one layer under their names in the file.
class LayerLoader {
 public:
  LayerLoader(const ModelSpec& spec, uint32_t index, WeightLoader& loader)
      : spec_(spec), layer_(spec.layers[index]), index_(index), loader_(loader) {}

  LayerWeights Load(bool with_predictors) {
    LayerWeights weights;
    weights.attention_norm = LayerNorm(layer_.attention_norm);
    weights.attention_post_norm = LayerNorm(layer_.attention_post_norm);
    if (layer_.ffn.present) {
      weights.ffn_norm = LayerNorm(layer_.ffn_norm);
      weights.ffn_post_norm = LayerNorm(layer_.ffn_post_norm);
    }
    switch (layer_.mixer) {
      case MixerKind::kAttention:
        weights.mixer = LoadAttention();
        break;
      case MixerKind::kLatentAttention:
        weights.mixer = LoadLatentAttention();
        break;
      case MixerKind::kShortConvolution:
        weights.mixer = LoadShortConvolution();
        break;
    }
    if (layer_.ffn.router) weights.router = LoadRouter();
    if (layer_.ffn.predictor_rank > 0 && with_predictors) {
      weights.predictor = loader_.LoadLinear(Name("fc1"), layer_.ffn.predictor_rank, spec_.n_embd);
    }
    return weights;
  }

 private:
  std::string Name(std::string_view name) const { return absl::StrCat("blk.", index_, ".", AbslView(name)); }

  Norm LayerNorm(std::string_view name) {
    if (name.empty()) return {};
    if (!spec_.norm_weights) return {.present = true, .weight = {}, .bias = {}};
    return loader_.LoadNorm(Name(name), {spec_.n_embd});
  }

  AttentionWeights LoadAttention() {
    const AttentionSpec& attention = layer_.attention;
    const uint64_t queries = uint64_t{attention.heads} * attention.key_dim;
    const uint64_t keys = uint64_t{attention.kv_heads} * attention.key_dim;
    const uint64_t values = uint64_t{attention.kv_heads} * attention.value_dim;
    const uint64_t results = uint64_t{attention.heads} * attention.value_dim;
    AttentionWeights weights;
    if (loader_.Has(Name("attn_qkv.weight"))) {
      const uint64_t total = queries + keys + values;
      weights.query = loader_.LoadLinearPart(Name("attn_qkv"), 0, queries, total, spec_.n_embd);
      weights.key = loader_.LoadLinearPart(Name("attn_qkv"), queries, keys, total, spec_.n_embd);
      weights.value = loader_.LoadLinearPart(Name("attn_qkv"), queries + keys, values, total, spec_.n_embd);
    } else {
      weights.query = loader_.LoadLinear(Name("attn_q"), queries, spec_.n_embd);
      weights.key = loader_.LoadLinear(Name("attn_k"), keys, spec_.n_embd);
      weights.value = loader_.LoadLinear(Name("attn_v"), values, spec_.n_embd);
    }
    weights.query_norm = LoadQkNorm("attn_q_norm", attention.heads);
    weights.key_norm = LoadQkNorm("attn_k_norm", attention.kv_heads);
    if (attention.output_norm) weights.output_norm = loader_.LoadNorm(Name("attn_sub_norm"), {results});
    if (attention.sinks) weights.sinks = loader_.LoadVector(Name("attn_sinks.weight"), {attention.heads});
    if (attention.alibi_max_bias > 0 && loader_.ok()) {
      weights.alibi_slopes = AlibiSlopes(attention.heads, attention.alibi_max_bias);
    }
    weights.output = loader_.LoadLinear(Name("attn_output"), spec_.n_embd, results);
    return weights;
  }

  Norm LoadQkNorm(std::string_view name, uint64_t heads) {
    const uint64_t dim = layer_.attention.key_dim;
    switch (layer_.attention.qk_norm) {
      case QkNorm::kNone:
        return {};
      case QkNorm::kUnweighted:
        return {.present = true, .weight = {}, .bias = {}};
      case QkNorm::kPerHead:
        return loader_.LoadNorm(Name(name), {dim});
      case QkNorm::kPerHeadWeights:
        return loader_.LoadNorm(Name(name), {dim, heads});
      case QkNorm::kWhole:
        return loader_.LoadNorm(Name(name), {dim * heads});
    }
    return {};
  }

  LatentAttentionWeights LoadLatentAttention() {
    const AttentionSpec& attention = layer_.attention;
    const uint64_t heads = attention.heads;
    const uint64_t latent = attention.latent_rank;
    const uint64_t plain = attention.key_dim - attention.rotated_dim;
    LatentAttentionWeights weights;
    if (attention.query_rank > 0) {
      weights.query_down = loader_.LoadLinear(Name("attn_q_a"), attention.query_rank, spec_.n_embd);
      weights.query_down_norm = loader_.LoadNorm(Name("attn_q_a_norm"), {attention.query_rank});
      weights.query = loader_.LoadLinear(Name("attn_q_b"), heads * attention.key_dim, attention.query_rank);
    } else {
      weights.query = loader_.LoadLinear(Name("attn_q"), heads * attention.key_dim, spec_.n_embd);
    }
    weights.kv_down = loader_.LoadLinear(Name("attn_kv_a_mqa"), latent + attention.rotated_dim, spec_.n_embd);
    weights.kv_down_norm = loader_.LoadNorm(Name("attn_kv_a_norm"), {latent});
    if (attention.split_kv_b) {
      weights.key_up = loader_.BorrowMatrix(Name("attn_k_b.weight"), {plain, latent, heads});
      weights.value_up = loader_.BorrowMatrix(Name("attn_v_b.weight"), {latent, attention.value_dim, heads});
    } else {
      weights.key_up =
          loader_.BorrowMatrix(Name("attn_kv_b.weight"), {latent, heads * (plain + attention.value_dim)});
      weights.value_up = weights.key_up;
    }
    weights.output = loader_.LoadLinear(Name("attn_output"), spec_.n_embd, heads * attention.value_dim);
    return weights;
  }

  ShortConvolutionWeights LoadShortConvolution() {
    ShortConvolutionWeights weights;
    weights.input = loader_.LoadLinear(Name("shortconv.in_proj"), uint64_t{3} * spec_.n_embd, spec_.n_embd);
    weights.taps =
        loader_.LoadVector(Name("shortconv.conv.weight"), {spec_.convolution_length, spec_.n_embd});
    weights.output = loader_.LoadLinear(Name("shortconv.out_proj"), spec_.n_embd, spec_.n_embd);
    return weights;
  }

  RouterWeights LoadRouter() {
    const uint64_t experts = layer_.ffn.router->experts;
    RouterWeights weights;
    weights.logits = loader_.LoadLinear(Name("ffn_gate_inp"), experts, spec_.n_embd);
    weights.selection_bias = loader_.LoadOptionalVector(Name("exp_probs_b.bias"), {experts});
    if (layer_.ffn.shared_gate) {
      weights.shared_gate = loader_.LoadVector(Name("ffn_gate_inp_shexp.weight"), {spec_.n_embd});
    }
    return weights;
  }

  const ModelSpec& spec_;
  const LayerSpec& layer_;
  uint32_t index_;
  WeightLoader& loader_;
};

std::vector<float> LoadRopeFactors(const RopeSpec& rope, WeightLoader& loader) {
  switch (rope.factors) {
    case RopeFactors::kNone:
      return {};
    case RopeFactors::kFrequencies:
      return loader.LoadVector("rope_freqs.weight", {rope.dims / 2});
    case RopeFactors::kLongRopeShort:
      return loader.LoadVector("rope_factors_short.weight", {rope.dims / 2});
    case RopeFactors::kLongRopeLong:
      return loader.LoadVector("rope_factors_long.weight", {rope.dims / 2});
  }
  return {};
}

}  // namespace

void RowTable::Read(uint64_t row, float* out) const {
  Dequantize(type, absl::MakeConstSpan(data + row * row_bytes, row_bytes), cols, out);
}

std::vector<float> AlibiSlopes(uint32_t heads, float max_bias) {
  uint32_t power_of_two = 1;
  while (power_of_two <= heads / 2) power_of_two *= 2;
  const double step = std::exp2(-static_cast<double>(max_bias) / power_of_two);
  const double half_step = std::exp2(-static_cast<double>(max_bias) / 2 / power_of_two);
  std::vector<float> slopes(heads);
  for (uint32_t h = 0; h < heads; ++h) {
    slopes[h] = static_cast<float>(h < power_of_two ? std::pow(step, h + 1)
                                                    : std::pow(half_step, 2 * (h - power_of_two) + 1));
  }
  return slopes;
}

ModelWeights LoadWeights(const ModelSpec& spec, bool with_predictors, WeightLoader& loader) {
  ModelWeights weights;
  weights.embedding = loader.BorrowRows("token_embd.weight", {spec.n_embd, spec.n_vocab});
  if (spec.learned_positions > 0) {
    weights.positions = loader.BorrowRows("position_embd.weight", {spec.n_embd, spec.learned_positions});
  }
  if (spec.embedding_norm) weights.embedding_norm = loader.LoadNorm("token_embd_norm", {spec.n_embd});
  weights.output_norm.present = true;
  if (spec.norm_weights) {
    weights.output_norm = loader.LoadNorm(std::string(spec.output_norm), {spec.n_embd});
  }
  // Without a matrix of its own the output is the embedding, turned round.
  const bool tied = !loader.Has("output.weight");
  weights.output = loader.LoadLinear(tied ? "token_embd" : "output", spec.n_vocab, spec.n_embd);
  for (const RopeSpec& rope : spec.ropes) weights.rope_factors.push_back(LoadRopeFactors(rope, loader));
  for (const char* unused : {"rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"}) {
    loader.Ignore(unused);
  }
  for (uint32_t i = 0; i < spec.n_layers && loader.ok(); ++i) {
    weights.layers.push_back(LayerLoader(spec, i, loader).Load(with_predictors));
  }
  return weights;
}

}  // namespace hearth
