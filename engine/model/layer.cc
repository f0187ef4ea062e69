#include "engine/model/layer.h"

#include <algorithm>
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
  const std::vector<Matrix>& adapter = layer.weights.adapter.mixer_inputs;
  if (!adapter.empty()) ApplyAll(run.work, adapter, normed, run.row_count(), run.adapted.data());
  run.devices->Submit(MixRequest{.step = run.step,
                                 .layer = layer.index,
                                 .rows = run.rows,
                                 .x = normed,
                                 .adapted = adapter.empty() ? nullptr : run.adapted.data(),
                                 .output_values = layer.model.n_embd + layer.spec.adapter.output});
}

// run.branch += B (A x), where the last values of each row of `sums` are A x.
void AddAdapter(const Matrix& b, absl::Span<const int64_t> sums, LayerRun& run) {
  if (b.empty()) return;
  const size_t rank = b.cols(), values = sums.size() / run.row_count();
  for (size_t t = 0; t < run.row_count(); ++t) {
    FixedPointToFloat(sums.data() + (t + 1) * values - rank, rank, run.returned.data() + t * rank);
  }
  run.work.added.Add(run.work.pool, b, run.returned.data(), run.row_count(), rank, run.branch.data());
  run.work.bytes_touched += b.bytes();
}

// y = scale * (sum over the devices) + bias, in run.branch.
absl::Status CollectMixer(const LayerContext& layer, LayerRun& run) {
  const size_t n = layer.model.n_embd;
  const size_t values = n + layer.spec.adapter.output;
  const absl::Span<int64_t> sums = absl::MakeSpan(run.mix_sums).first(run.row_count() * values);
  HEARTH_RETURN_IF_ERROR(run.devices->Collect(Work::kMix, sums));
  const LayerWeights& weights = layer.weights;
  run.work.ForEach(run.row_count(), [&](uint32_t t) {
    FixedPointToFloat(sums.data() + t * values, n, run.branch.data() + t * n);
  });
  AddAdapter(weights.adapter.mixer_output, sums, run);
  if (weights.mixer_scale == 1 && weights.mixer_bias.empty()) return absl::OkStatus();
  run.work.ForEach(run.row_count(), [&](uint32_t t) {
    float* out = run.branch.data() + t * n;
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
  AddAdapter(layer.weights.adapter.ffn_output, sums, run);
  return absl::OkStatus();
}

}  // namespace

LayerRun::LayerRun(const ModelOutline& outline, uint32_t max_rows, ThreadPool& pool)
    : work(pool), steerer(outline, max_rows) {
  const size_t stream = size_t{max_rows} * outline.spec.n_embd;
  for (std::vector<float>* buffer : {&normed, &ffn_input, &branch}) buffer->resize(stream);
  uint32_t inputs = 0, output = 0, mix_values = 0, ffn_values = 0;
  for (uint32_t i = 0; i < outline.spec.n_layers; ++i) {
    const AdapterRanks& ranks = outline.spec.layers[i].adapter;
    inputs = std::max(inputs, ranks.mixer_inputs());
    output = std::max({output, ranks.output, ranks.down});
    mix_values = std::max(mix_values, outline.spec.n_embd + ranks.output);
    ffn_values = std::max(ffn_values, outline.ffn_specs[i].output_values());
  }
  mix_sums.resize(size_t{max_rows} * mix_values);
  ffn_sums.resize(size_t{max_rows} * ffn_values);
  adapted.resize(size_t{max_rows} * inputs);
  returned.resize(size_t{max_rows} * output);
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
