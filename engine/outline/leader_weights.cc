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
