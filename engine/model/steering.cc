#include "engine/model/steering.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/kernel/neuron_rows.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {
namespace {

uint32_t ChoicesPerRow(const FfnSpec& ffn) {
  return ffn.router ? ffn.router->chosen + (ffn.shared_neurons > 0 ? 1 : 0) : 0;
}

// The weight of the expert that every token uses.
float SharedWeight(const LayerContext& layer, const float* x) {
  if (!layer.spec.ffn.shared_gate) return 1;
  return 1 / (1 + std::exp(-Dot(layer.weights.router.shared_gate.data(), x, layer.model.n_embd)));
}

}  // namespace

std::optional<FfnSideInput> SideInputOf(const LayerContext& layer) {
  if (layer.spec.ffn.router) return layer.spec.ffn.router->input;
  if (!layer.weights.adapter.ffn_inputs.empty()) return FfnSideInput::kNormed;
  if (layer.ffn.predictor_rank > 0) return layer.spec.ffn.predictor_input;
  return std::nullopt;
}

Steerer::Steerer(const ModelOutline& outline, uint32_t max_rows) {
  size_t experts = 0, choices = 0, rank = 0;
  for (size_t i = 0; i < outline.spec.layers.size(); ++i) {
    const FfnSpec& ffn = outline.spec.layers[i].ffn;
    experts = std::max<size_t>(experts, ffn.router ? ffn.router->experts : 0);
    choices = std::max<size_t>(choices, ChoicesPerRow(ffn));
    rank = std::max<size_t>(rank, outline.ffn_specs[i].hidden_values());
  }
  logits_.resize(max_rows * experts);
  choices_.resize(max_rows * choices);
  hidden_.resize(max_rows * rank);
}

Steering Steerer::Steer(const LayerContext& layer, Workspace& work, absl::Span<const RowPlace> rows,
                        const float* x) {
  if (layer.spec.ffn.router) return ChooseExperts(layer, work, rows.size(), x);
  return layer.ffn.has_adapter() ? Adapt(layer, work, rows.size(), x) : Predict(layer, work, rows, x);
}

Steering Steerer::Adapt(const LayerContext& layer, Workspace& work, size_t rows, const float* x) {
  ApplyAll(work, layer.weights.adapter.ffn_inputs, x, rows, hidden_.data());
  return {{}, 0, hidden_.data()};
}

Steering Steerer::ChooseExperts(const LayerContext& layer, Workspace& work, size_t rows, const float* x) {
  const RouterSpec& spec = *layer.spec.ffn.router;
  const RouterWeights& weights = layer.weights.router;
  ApplyLinear(work, weights.logits, x, rows, logits_.data());
  const uint32_t per_row = ChoicesPerRow(layer.spec.ffn);
  for (size_t t = 0; t < rows; ++t) {
    BlockChoice* choices = choices_.data() + t * per_row;
    router_.Choose(spec, absl::MakeSpan(logits_).subspan(t * spec.experts, spec.experts),
                   weights.selection_bias, choices);
    if (layer.spec.ffn.shared_neurons > 0) {
      // The shared expert is the block after those that are chosen among.
      choices[spec.chosen] = {spec.experts, SharedWeight(layer, x + t * layer.model.n_embd)};
    }
  }
  return {absl::MakeConstSpan(choices_).first(rows * per_row), per_row, nullptr};
}

Steering Steerer::Predict(const LayerContext& layer, Workspace& work, absl::Span<const RowPlace> rows,
                          const float* x) {
  const auto is_prompt = [](const RowPlace& row) { return row.prompt; };
  if (std::all_of(rows.begin(), rows.end(), is_prompt)) return {};
  const size_t rank = layer.ffn.predictor_rank;
  ApplyLinear(work, layer.weights.predictor, x, rows.size(), hidden_.data());
  if (!layer.spec.ffn.predictor_linear) {
    for (size_t i = 0; i < rows.size() * rank; ++i) hidden_[i] = std::max(hidden_[i], 0.0f);
  }
  for (size_t t = 0; t < rows.size(); ++t) {
    if (rows[t].prompt) hidden_[t * rank] = std::numeric_limits<float>::quiet_NaN();
  }
  return {{}, 0, hidden_.data()};
}

}  // namespace hearth
