#include "engine/outline/leader_weights.h"

#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "engine/attention/head_groups.h"
#include "engine/base/absl_view.h"

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
    weights.attention_stream_norm = LayerNorm(layer_.attention_stream_norm);
    if (layer_.ffn.present) {
      weights.ffn_stream_norm = LayerNorm(layer_.ffn_stream_norm);
      weights.ffn_norm = LayerNorm(layer_.ffn_norm);
      weights.ffn_post_norm = LayerNorm(layer_.ffn_post_norm);
    }
    LoadMixerExit(weights);
    if (layer_.ffn.router) weights.router = LoadRouter();
    if (layer_.ffn.predictor_rank > 0 && with_predictors) {
      weights.predictor = loader_.LoadLinear(Name("fc1"), layer_.ffn.predictor_rank, spec_.n_embd);
    }
    LoadAdapter(weights.adapter);
    return weights;
  }

 private:
  std::string Name(std::string_view name) const { return absl::StrCat("blk.", index_, ".", AbslView(name)); }

  Norm LayerNorm(std::string_view name) {
    if (name.empty()) return {};
    if (!spec_.norm_weights) return {.present = true, .weight = {}, .bias = {}};
    return loader_.LoadNorm(Name(name), {spec_.n_embd});
  }

  void LoadMixerExit(LayerWeights& weights) {
    std::string tensor = MixerOutputTensor(layer_, index_);
    tensor.resize(tensor.size() - std::string_view("weight").size());
    weights.mixer_bias = loader_.LoadOptionalVector(tensor + "bias", {spec_.n_embd});
    const std::vector<float> scale = loader_.LoadOptionalVector(tensor + "scale", {1});
    if (!scale.empty()) weights.mixer_scale = scale[0];
  }

  void LoadAdapter(AdapterWeights& weights) {
    const AdapterRanks& ranks = layer_.adapter;
    const uint64_t n = spec_.n_embd;
    const auto load_a = [&](std::string_view name, uint64_t rank, std::vector<Matrix>& to) {
      const std::string tensor = absl::StrCat(Name(name), ".weight.lora_a");
      if (rank > 0) to.push_back(loader_.LoadAdapter(tensor, 0, rank, rank, n));
    };
    const auto load_b = [&](std::string_view name, uint64_t rank, Matrix& to) {
      const std::string tensor = absl::StrCat(Name(name), ".weight.lora_b");
      if (rank > 0) to = loader_.LoadAdapter(tensor, 0, n, n, rank);
    };
    // Matrices that lie in one tensor have one A, which is read for each.
    const bool fused = loader_.Has(Name("attn_qkv.weight.lora_a"));
    const bool stacked = !loader_.Has(Name("ffn_gate.weight.lora_a"));
    load_a(fused ? "attn_qkv" : "attn_q", ranks.query, weights.mixer_inputs);
    load_a(fused ? "attn_qkv" : "attn_k", ranks.key, weights.mixer_inputs);
    load_a(fused ? "attn_qkv" : "attn_v", ranks.value, weights.mixer_inputs);
    load_b("attn_output", ranks.output, weights.mixer_output);
    load_a(stacked ? "ffn_up" : "ffn_gate", ranks.gate, weights.ffn_inputs);
    load_a("ffn_up", ranks.up, weights.ffn_inputs);
    load_b("ffn_down", ranks.down, weights.ffn_output);
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

}  // namespace

LayerWeights LoadLayerWeights(const ModelSpec& spec, uint32_t layer, bool with_predictors,
                              WeightLoader& loader) {
  return LayerLoader(spec, layer, loader).Load(with_predictors);
}

LeaderWeights LoadLeaderWeights(const ModelSpec& spec, bool with_predictors, WeightLoader& loader) {
  LeaderWeights weights;
  weights.embedding = loader.BorrowRows("token_embd.weight", {spec.n_embd, spec.n_vocab});
  if (spec.learned_positions > 0) {
    weights.positions = loader.BorrowRows("position_embd.weight", {spec.n_embd, spec.learned_positions});
  }
  if (spec.token_types > 0) {
    weights.token_type = loader.LoadVector("token_types.weight", {spec.n_embd, spec.token_types});
    weights.token_type.resize(spec.n_embd);  // texts that stand alone are of the first type
  }
  if (spec.embedding_norm) weights.embedding_norm = loader.LoadNorm("token_embd_norm", {spec.n_embd});
  weights.output_norm.present = !spec.output_norm.empty();
  if (weights.output_norm.present && spec.norm_weights) {
    weights.output_norm = loader.LoadNorm(std::string(spec.output_norm), {spec.n_embd});
  }
  for (uint32_t i = 0; i < spec.n_layers && loader.ok(); ++i) {
    weights.layers.push_back(LoadLayerWeights(spec, i, with_predictors, loader));
  }
  return weights;
}

}  // namespace hearth
