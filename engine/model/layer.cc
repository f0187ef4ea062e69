#include "engine/model/layer.h"

#include <cmath>

#include "engine/base/status_macros.h"
#include "engine/kernel/neuron_rows.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {
namespace {

const float* Normalize(const LayerContext& layer, const Norm& norm, LayerRun& run, const float* x,
                       float* out) {
  return ApplyNorm(run.work, NormFormula(layer.model), norm, run.row_count(), layer.model.n_embd, x, out);
}

void AddToResidual(const LayerContext& layer, LayerRun& run, const float* branch, float* x) {
  const size_t n = layer.model.n_embd;
  run.work.ForEach(run.row_count(),
                   [&](uint32_t t) { AddScaled(branch + t * n, layer.model.residual_scale, n, x + t * n); });
}

// Attention, latent attention or convolution: starts the devices that hold the layer's heads.
void SubmitMixer(const LayerContext& layer, LayerRun& run, const float* normed) {
  run.devices->Submit(MixRequest{.step = run.step,
                                 .layer = layer.index,
                                 .rows = run.rows,
                                 .x = normed,
                                 .output_values = layer.model.n_embd});
}

// y = scale * (sum over the devices) + bias, in run.branch.
absl::Status CollectMixer(const LayerContext& layer, LayerRun& run) {
  const size_t n = layer.model.n_embd;
  const absl::Span<int64_t> sums = absl::MakeSpan(run.mix_sums).first(run.row_count() * n);
  HEARTH_RETURN_IF_ERROR(run.devices->Collect(Work::kMix, sums));
  const LayerWeights& weights = layer.weights;
  run.work.ForEach(run.row_count(), [&](uint32_t t) {
    float* out = run.branch.data() + t * n;
    FixedPointToFloat(sums.data() + t * n, n, out);
    if (weights.mixer_scale != 1) Scale(weights.mixer_scale, n, out);
    if (!weights.mixer_bias.empty()) Add(weights.mixer_bias.data(), n, out);
  });
  return absl::OkStatus();
}

FfnRequest RequestOf(const LayerContext& layer, const LayerRun& run, const Steering& steering,
                     const float* input) {
  return {.layer = layer.index,
          .rows = static_cast<uint32_t>(run.row_count()),
          .x = input,
          .hidden = steering.hidden,
          .choices = steering.choices,
          .choices_per_row = steering.choices_per_row,
          .output_values = layer.ffn.output_values()};
}

// The devices' sums as values, in run.branch.
absl::Status CollectFfn(const LayerContext& layer, LayerRun& run) {
  const size_t n = layer.model.n_embd;
  const size_t values = layer.ffn.output_values();
  const absl::Span<int64_t> sums = absl::MakeSpan(run.ffn_sums).first(run.row_count() * values);
  HEARTH_RETURN_IF_ERROR(run.devices->Collect(Work::kFfn, sums));
  run.work.ForEach(run.row_count(), [&](uint32_t t) {
    const int64_t* row = sums.data() + t * values;
    float* out = run.branch.data() + t * n;
    FixedPointToFloat(row, n, out);
    if (!layer.ffn.normalize_hidden) return;
    // The devices summed down(h * weight); dividing by the root mean square of h completes the norm.
    float square_sum = 0;
    FixedPointToFloat(row + n, 1, &square_sum);
    const float mean = square_sum / static_cast<float>(layer.ffn.block_neurons[0]);
    Scale(1 / std::sqrt(mean + layer.ffn.normalize_epsilon), n, out);
  });
  return absl::OkStatus();
}

}  // namespace

LayerRun::LayerRun(const ModelOutline& outline, uint32_t max_rows, ThreadPool& pool)
    : work(pool), steerer(outline, max_rows) {
  const size_t stream = size_t{max_rows} * outline.spec.n_embd;
  for (std::vector<float>* buffer : {&normed, &ffn_input, &branch}) buffer->resize(stream);
  mix_sums.resize(stream);
  ffn_sums.resize(stream + max_rows);
}

absl::Status RunLayer(const LayerContext& layer, LayerRun& run, float* x) {
  const LayerWeights& weights = layer.weights;
  const std::optional<FfnSideInput> side = SideInputOf(layer);
  const auto steer = [&](const float* input) { return run.steerer.Steer(layer, run.work, run.rows, input); };
  Steering steering;
  if (side == FfnSideInput::kLayerInput) steering = steer(x);

  // The residual stream changes little from one layer to the next: what it would fire now is read from the
  // disk while the attention runs.
  if (side && !layer.spec.parallel && run.devices->wants_guesses()) {
    const float* input = Normalize(layer, weights.ffn_norm, run, x, run.ffn_input.data());
    const Steering guess =
        side == FfnSideInput::kLayerInput ? steering : steer(side == FfnSideInput::kNormed ? input : x);
    run.devices->Expect(RequestOf(layer, run, guess, input));
  }

  const float* normed = Normalize(layer, weights.attention_norm, run, x, run.normed.data());
  SubmitMixer(layer, run, normed);
  // Where the FFN does not wait for the attention, the devices compute both before the leader adds either. A
  // layer without a norm of its own for the FFN lets it read the normed input of the attention.
  const auto start_ffn = [&] {
    if (side == FfnSideInput::kResidual) steering = steer(x);
    const float* input = weights.ffn_norm.present
                             ? Normalize(layer, weights.ffn_norm, run, x, run.ffn_input.data())
                             : (layer.spec.parallel ? normed : x);
    if (side == FfnSideInput::kNormed) steering = steer(input);
    run.devices->Submit(RequestOf(layer, run, steering, input));
  };
  const bool early_ffn = layer.spec.parallel && layer.spec.ffn.present;
  if (early_ffn) start_ffn();

  const absl::Status mixed = CollectMixer(layer, run);
  if (!mixed.ok()) {
    if (early_ffn) CollectFfn(layer, run).IgnoreError();
    return mixed;
  }
  const float* attended =
      Normalize(layer, weights.attention_post_norm, run, run.branch.data(), run.branch.data());
  AddToResidual(layer, run, attended, x);
  Normalize(layer, weights.attention_stream_norm, run, x, x);

  if (!layer.spec.ffn.present) return absl::OkStatus();
  if (!early_ffn) start_ffn();
  HEARTH_RETURN_IF_ERROR(CollectFfn(layer, run));
  AddToResidual(layer, run,
                Normalize(layer, weights.ffn_post_norm, run, run.branch.data(), run.branch.data()), x);
  Normalize(layer, weights.ffn_stream_norm, run, x, x);
  return absl::OkStatus();
}

}  // namespace hearth
