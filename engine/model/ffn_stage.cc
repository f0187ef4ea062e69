#include "engine/model/ffn_stage.h"

#include <algorithm>
#include <cmath>

#include "engine/kernel/neuron_rows.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {
namespace {

uint32_t ChoicesPerRow(const FfnSpec& ffn) {
  return ffn.router ? ffn.router->chosen + (ffn.shared_neurons > 0 ? 1 : 0) : 0;
}

}  // namespace

FfnStage::FfnStage(const ModelSpec& model, const std::vector<FfnLayerSpec>& specs, uint32_t max_rows)
    : model_(model), specs_(specs) {
  size_t experts = 0, choices = 0, rank = 0;
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const FfnSpec& ffn = model.layers[i].ffn;
    experts = std::max<size_t>(experts, ffn.router ? ffn.router->experts : 0);
    choices = std::max<size_t>(choices, ChoicesPerRow(ffn));
    rank = std::max<size_t>(rank, specs[i].predictor_rank);
  }
  logits_.resize(max_rows * experts);
  choices_.resize(max_rows * choices);
  hidden_.resize(max_rows * rank);
  sums_.resize(static_cast<size_t>(max_rows) * (model.n_embd + 1));
}

void FfnStage::Begin(uint32_t layer, const LayerWeights& weights, Step& step) {
  ffn_ = &model_.layers[layer].ffn;
  spec_ = &specs_[layer];
  weights_ = &weights;
  step_ = &step;
  request_ = FfnRequest();
  request_.layer = layer;
  request_.rows = step.row_count();
  request_.output_values = spec_->output_values();
}

void FfnStage::Observe(FfnSideInput place, const float* x) {
  if (ffn_->router && ffn_->router->input == place) ChooseExperts(x);
  if (spec_->predictor_rank > 0 && ffn_->predictor_input == place) {
    ApplyLinear(*step_, weights_->predictor, x, hidden_.data());
    const size_t count = size_t{request_.rows} * spec_->predictor_rank;
    for (size_t i = 0; i < count; ++i) hidden_[i] = std::max(hidden_[i], 0.0f);
    request_.hidden = hidden_.data();
  }
}

void FfnStage::ChooseExperts(const float* x) {
  const RouterSpec& router = *ffn_->router;
  const RouterWeights& weights = weights_->router;
  ApplyLinear(*step_, weights.logits, x, logits_.data());
  const uint32_t per_row = ChoicesPerRow(*ffn_);
  for (uint32_t t = 0; t < request_.rows; ++t) {
    BlockChoice* choices = choices_.data() + size_t{t} * per_row;
    router_.Choose(router, absl::MakeSpan(logits_).subspan(size_t{t} * router.experts, router.experts),
                   weights.selection_bias, choices);
    if (ffn_->shared_neurons > 0) {
      // The shared expert is the block after those that are chosen among.
      choices[router.chosen] = {router.experts, SharedWeight(x + size_t{t} * model_.n_embd)};
    }
  }
  request_.choices = absl::MakeConstSpan(choices_).first(size_t{request_.rows} * per_row);
  request_.choices_per_row = per_row;
}

float FfnStage::SharedWeight(const float* x) {
  if (!ffn_->shared_gate) return 1;
  return 1 / (1 + std::exp(-Dot(weights_->router.shared_gate.data(), x, model_.n_embd)));
}

void FfnStage::Submit(const float* input) {
  request_.x = input;
  submitted_ = SubmitFfn(devices_, request_);
}

absl::Status FfnStage::Collect(float* out) {
  const size_t values = spec_->output_values();
  const absl::Span<int64_t> sums = absl::MakeSpan(sums_).first(request_.rows * values);
  const absl::Status collected = CollectFfn(devices_, request_, sums);
  if (!submitted_.ok()) return submitted_;
  if (!collected.ok()) return collected;
  for (uint32_t t = 0; t < request_.rows; ++t) {
    const int64_t* row = sums.data() + t * values;
    float* to = out + size_t{t} * model_.n_embd;
    FixedPointToFloat(row, model_.n_embd, to);
    if (!spec_->normalize_hidden) continue;
    // The devices summed down(h * weight); dividing by the root mean square of h completes the norm.
    float square_sum = 0;
    FixedPointToFloat(row + model_.n_embd, 1, &square_sum);
    const float mean = square_sum / static_cast<float>(spec_->block_neurons[0]);
    Scale(1 / std::sqrt(mean + spec_->normalize_epsilon), model_.n_embd, to);
  }
  return absl::OkStatus();
}

}  // namespace hearth
