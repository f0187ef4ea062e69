#include "engine/outline/ffn_layers.h"

#include <algorithm>
#include <string>
#include <string_view>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"

namespace hearth {
namespace {

// Binds one layer's feed-forward tensors.
class FfnBinder {
 public:
  FfnBinder(const ModelSpec& model, uint32_t index, WeightLoader& loader)
      : ffn_(model.layers[index].ffn),
        adapter_(model.layers[index].adapter),
        n_embd_(model.n_embd),
        index_(index),
        loader_(loader) {
    spec_.n_embd = model.n_embd;
    spec_.activation = ffn_.activation;
    spec_.activation_parameters = ffn_.activation_parameters;
    spec_.relu_up = ffn_.relu_up;
    spec_.normalize_hidden = ffn_.hidden_norm;
    spec_.normalize_epsilon = ffn_.hidden_norm ? model.norm_epsilon : 0;
  }

  void Bind(bool predicted, float sparse_threshold) {
    if (!ffn_.present) return;
    if (ffn_.router) {
      BindExperts();
    } else {
      BindDense();
    }
    BindPredictor(predicted, sparse_threshold);
    if (adapter_.of_ffn()) BindAdapter();
    if (!loader_.ok()) return;
    TakeTypes();
    const absl::Status status = CheckFfnSpec(spec_);
    if (!status.ok()) {
      loader_.Fail(absl::Status(status.code(), absl::StrCat("layer ", index_, ": ", status.message(),
                                                            "; fetch or convert the model again")));
    }
  }

  FfnLayerSpec& spec() { return spec_; }
  FfnLayerSource& source() { return source_; }

 private:
  std::string Name(std::string_view name) const { return absl::StrCat("blk.", index_, ".", AbslView(name)); }

  void BindDense() {
    const uint64_t n = ffn_.neurons;
    FfnBlockSource& block = AddBlock(ffn_.neurons);
    if (stacks_gate()) {
      block.gate = loader_.Slice(Name("ffn_up.weight"), {n_embd_, 2 * n});
      block.up = loader_.Slice(Name("ffn_up.weight"), {n_embd_, 2 * n}, n);
      block.gate_bias = loader_.OptionalVectorSlice(Name("ffn_up.bias"), {2 * n});
      block.up_bias = loader_.OptionalVectorSlice(Name("ffn_up.bias"), {2 * n}, n);
    } else {
      BindGateAndUp("", n, block);
    }
    // PowerInfer stores `down` by neuron.
    spec_.neuron_major = loader_.Has(Name("ffn_down_t.weight"));
    const std::string down = Name(spec_.neuron_major ? "ffn_down_t" : "ffn_down");
    block.down = spec_.neuron_major ? loader_.Slice(down + ".weight", {n_embd_, n})
                                    : loader_.Slice(down + ".weight", {n, n_embd_});
    block.down_bias = loader_.OptionalVectorSlice(down + ".bias", {n_embd_});
    if (ffn_.hidden_norm) block.neuron_scale = loader_.VectorSlice(Name("ffn_sub_norm.weight"), {n});
    spec_.gate_scale = Scale("ffn_gate.scale");
    spec_.up_scale = Scale("ffn_up.scale");
    spec_.down_scale = Scale("ffn_down.scale");
  }

  float Scale(std::string_view name) {
    const GgufTensor* tensor = loader_.Optional(Name(name), {1});
    float scale = 1;
    if (tensor != nullptr) Dequantize(tensor->type, tensor->data, 1, &scale);
    return scale;
  }

  void BindGateAndUp(std::string_view suffix, uint64_t n, FfnBlockSource& block) {
    const std::string gate = absl::StrCat(Name("ffn_gate"), AbslView(suffix));
    const std::string up = absl::StrCat(Name("ffn_up"), AbslView(suffix));
    if (ffn_.gated) {
      block.gate = loader_.Slice(gate + ".weight", {n_embd_, n});
      block.gate_bias = loader_.OptionalVectorSlice(gate + ".bias", {n});
    }
    block.up = loader_.Slice(up + ".weight", {n_embd_, n});
    block.up_bias = loader_.OptionalVectorSlice(up + ".bias", {n});
  }

  void BindExperts() {
    const uint64_t n = ffn_.neurons;
    const uint64_t experts = ffn_.router->experts;
    FfnBlockSource first;
    if (ffn_.gated && loader_.Has(Name("ffn_gate_up_exps.weight"))) {
      first.gate = loader_.Slice(Name("ffn_gate_up_exps.weight"), {n_embd_, 2 * n, experts});
      first.up = loader_.Slice(Name("ffn_gate_up_exps.weight"), {n_embd_, 2 * n, experts}, n);
    } else {
      if (ffn_.gated) first.gate = loader_.Slice(Name("ffn_gate_exps.weight"), {n_embd_, n, experts});
      first.up = loader_.Slice(Name("ffn_up_exps.weight"), {n_embd_, n, experts});
    }
    first.down = loader_.Slice(Name("ffn_down_exps.weight"), {n, n_embd_, experts});
    if (ffn_.gated) first.gate_bias = loader_.OptionalVectorSlice(Name("ffn_gate_exps.bias"), {n, experts});
    first.up_bias = loader_.OptionalVectorSlice(Name("ffn_up_exps.bias"), {n, experts});
    first.down_bias = loader_.OptionalVectorSlice(Name("ffn_down_exps.bias"), {n_embd_, experts});
    spec_.weight_on_input = ffn_.router->weight_on_input;
    // The shapes are checked: that many experts are in the file.
    if (!loader_.ok()) return;
    const uint64_t rows_per_expert = first.up.tensor->ne[1];
    for (uint64_t e = 0; e < experts; ++e) {
      FfnBlockSource& block = AddBlock(ffn_.neurons);
      block = first;
      block.gate.first_row += e * rows_per_expert;
      block.up.first_row += e * rows_per_expert;
      block.down.first_row = e * n_embd_;
      block.gate_bias.first_row = block.up_bias.first_row = e * n;
      block.down_bias.first_row = e * n_embd_;
    }
    if (ffn_.shared_neurons == 0) return;
    FfnBlockSource& shared = AddBlock(ffn_.shared_neurons);
    BindGateAndUp("_shexp", ffn_.shared_neurons, shared);
    shared.down = loader_.Slice(Name("ffn_down_shexp.weight"), {ffn_.shared_neurons, n_embd_});
  }

  FfnBlockSource& AddBlock(uint32_t neurons) {
    spec_.block_neurons.push_back(neurons);
    return source_.blocks.emplace_back();
  }

  // Files that lack the gate stack it on top of `up`.
  bool stacks_gate() const { return ffn_.gated && !loader_.Has(Name("ffn_gate.weight")); }

  void BindAdapter() {
    if (ffn_.router) return;
    const uint64_t n = ffn_.neurons;
    FfnBlockSource& block = source_.blocks[0];
    spec_.gate_rank = adapter_.gate;
    spec_.up_rank = adapter_.up;
    spec_.down_rank = adapter_.down;
    const bool stacked = stacks_gate();
    if (adapter_.gate > 0) {
      block.gate_adapter =
          loader_.AdapterSlice(Name(stacked ? "ffn_up.weight.lora_b" : "ffn_gate.weight.lora_b"),
                               {adapter_.gate, stacked ? 2 * n : n});
    }
    if (adapter_.up > 0) {
      block.up_adapter = loader_.AdapterSlice(Name("ffn_up.weight.lora_b"),
                                              {adapter_.up, stacked ? 2 * n : n}, stacked ? n : 0);
    }
    if (adapter_.down > 0) {
      block.down_adapter = loader_.AdapterSlice(Name("ffn_down.weight.lora_a"), {n, adapter_.down});
    }
  }

  void BindPredictor(bool predicted, float sparse_threshold) {
    if (ffn_.predictor_rank == 0 && !adapter_.of_ffn()) return;
    if (!predicted || adapter_.of_ffn()) {
      loader_.Ignore(Name("fc1."));
      loader_.Ignore(Name("fc2."));
      return;
    }
    spec_.predictor_rank = ffn_.predictor_rank;
    spec_.sparse_threshold = ffn_.predictor_linear ? 0 : sparse_threshold;  // else in the rows of fc2
    source_.blocks[0].predictor = loader_.Slice(Name("fc2.weight"), {ffn_.predictor_rank, ffn_.neurons});
    if (loader_.ok()) spec_.predictor_type = source_.blocks[0].predictor.tensor->type;
  }

  // Types and biases are those of the first block, except that a shared expert may have types of its own.
  void TakeTypes() {
    const FfnBlockSource& first = source_.blocks.front();
    const FfnBlockSource& last = source_.blocks.back();
    if (ffn_.gated) spec_.gate = {true, first.gate.tensor->type};
    spec_.up = {true, first.up.tensor->type};
    spec_.down = {true, first.down.tensor->type};
    spec_.gate_bias = first.gate_bias.tensor != nullptr;
    spec_.up_bias = first.up_bias.tensor != nullptr;
    spec_.down_bias = first.down_bias.tensor != nullptr;
    if (ffn_.shared_neurons == 0) return;
    if (ffn_.gated) spec_.shared_gate_type = last.gate.tensor->type;
    spec_.shared_up_type = last.up.tensor->type;
    spec_.shared_down_type = last.down.tensor->type;
    spec_.shared_types = (ffn_.gated && spec_.shared_gate_type != spec_.gate.type) ||
                         spec_.shared_up_type != spec_.up.type || spec_.shared_down_type != spec_.down.type;
    if (HasBias(first) || HasBias(last)) {
      loader_.Fail(absl::UnimplementedError(
          absl::StrCat("layer ", index_, " has biases beside a shared expert, which is not supported")));
    }
  }

  static bool HasBias(const FfnBlockSource& block) {
    return block.gate_bias.tensor != nullptr || block.up_bias.tensor != nullptr ||
           block.down_bias.tensor != nullptr;
  }

  const FfnSpec& ffn_;
  const AdapterRanks& adapter_;
  uint64_t n_embd_;
  uint32_t index_;
  WeightLoader& loader_;
  FfnLayerSpec spec_;
  FfnLayerSource source_;
};

}  // namespace

FfnLayers BindFfnLayers(const ModelSpec& spec, SparsityMode sparsity, float sparse_threshold,
                        WeightLoader& loader) {
  FfnLayers layers;
  for (uint32_t i = 0; i < spec.n_layers && loader.ok(); ++i) {
    FfnBinder binder(spec, i, loader);
    binder.Bind(sparsity == SparsityMode::kPredicted, sparse_threshold);
    layers.specs.push_back(std::move(binder.spec()));
    layers.sources.push_back(std::move(binder.source()));
  }
  return layers;
}

absl::Status CheckSparsity(const ModelSpec& spec, SparsityMode sparsity) {
  bool relu = true, predictors = false, neurons = false, adapted = false;
  for (const LayerSpec& layer : spec.layers) {
    if (!layer.ffn.present) continue;
    neurons = true;
    relu &= layer.ffn.activation == Activation::kRelu || layer.ffn.activation == Activation::kReluSquared;
    predictors |= layer.ffn.predictor_rank > 0;
    adapted |= layer.adapter.of_ffn();
  }
  if (!neurons) return absl::OkStatus();
  if (sparsity == SparsityMode::kExact && !relu) {
    return absl::InvalidArgumentError(
        "exact sparsity needs a model with ReLU in its feed-forward layers, this one has none: its neurons "
        "always fire; use dense");
  }
  if (sparsity == SparsityMode::kPredicted && !predictors) {
    return absl::InvalidArgumentError(
        absl::StrCat("predicted sparsity needs predictors (fc1, fc2), this model has none",
                     adapted ? " for layers that a LoRA adapter changes; use exact or dense" : "; ",
                     adapted ? ""
                     : relu  ? "make some with hearth-model profile --predictor, or use exact or dense"
                             : "use dense"));
  }
  return absl::OkStatus();
}

}  // namespace hearth
