// Layers that a GPU computes whole: its units' kernels, with norms, residuals and predictors between.
#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_device.h"
#include "engine/device/gpu_products.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/outline/leader_weights.h"
#include "engine/weights/weight_loader.h"

namespace hearth {

bool GpuDevice::CanLead(const ModelOutline& outline, uint32_t layer) const {
  const LayerSpec& spec = outline.spec.layers[layer];
  const FfnLayerSpec& ffn = outline.ffn_specs[layer];
  if (spec.parallel || !spec.ffn.present || spec.ffn.router || ffn.block_neurons.size() != 1) return false;
  if (!spec.attention_stream_norm.empty() || !spec.ffn_stream_norm.empty()) return false;
  if (spec.attention_norm.empty() || spec.ffn_norm.empty() || model_.n_embd > gpu::kMaxResidualCols)
    return false;
  const auto held = [&](UnitKind kind) {
    size_t units = 0;
    for (const auto& piece : pieces(kind, layer)) units += piece->units().size();
    return units;
  };
  return held(UnitKind::kHeads) == outline.head_groups[layer].size() &&
         held(UnitKind::kNeurons) == outline.neuron_groups[layer].size();
}

absl::Status GpuDevice::LoadLayer(const LoadContext& context, uint32_t layer, const UnitWeights& weights) {
  const ModelOutline& outline = context.outline;
  const TensorSet tensors = JoinUnits({&weights, 1});
  WeightLoader loader = WeightLoader::Borrowing(tensors, &context.pool);
  const LayerWeights own = LoadLayerWeights(outline.spec, layer, outline.predicted(), loader);
  HEARTH_RETURN_IF_ERROR(loader.Finish());
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GpuUploader> uploader,
                          GpuUploader::Create(*memory_, context.pool, outline.options.arithmetic));
  WholeLayer& whole = whole_[layer];
  const auto load_norm = [&](const Norm& from, WholeLayer::OwnNorm& to) -> absl::Status {
    HEARTH_ASSIGN_OR_RETURN(to.weight, uploader->Upload(from.weight));
    HEARTH_ASSIGN_OR_RETURN(to.bias, uploader->Upload(from.bias));
    to.norm = {from.present, model_.norm == NormKind::kLayer, model_.norm_epsilon, to.weight.as<float>(),
               to.bias.as<float>()};
    return absl::OkStatus();
  };
  HEARTH_RETURN_IF_ERROR(load_norm(own.attention_norm, whole.attention));
  HEARTH_RETURN_IF_ERROR(load_norm(own.attention_post_norm, whole.attention_post));
  HEARTH_RETURN_IF_ERROR(load_norm(own.ffn_norm, whole.ffn));
  HEARTH_RETURN_IF_ERROR(load_norm(own.ffn_post_norm, whole.ffn_post));
  HEARTH_ASSIGN_OR_RETURN(whole.mixer_bias, uploader->Upload(own.mixer_bias));
  whole.mixer_scale = own.mixer_scale;
  const FfnSpec& ffn = outline.spec.layers[layer].ffn;
  const bool predicted =
      LayerSparsity(outline.ffn_specs[layer], outline.options.sparsity) == SparsityMode::kPredicted;
  if (predicted) {
    HEARTH_ASSIGN_OR_RETURN(whole.predictor, uploader->Upload(own.predictor));
    whole.predictor_input = ffn.predictor_input;
    whole.predictor_linear = ffn.predictor_linear;
  }
  whole.loaded = true;
  needs_.leads = true;
  return absl::OkStatus();
}

uint32_t GpuDevice::WholeLayersFrom(uint32_t layer) const {
  uint32_t last = layer;
  while (last < whole_.size() && whole_[last].loaded) ++last;
  return last;
}

void GpuDevice::QueueResidual(uint32_t layer, bool of_ffn, const gpu::GpuNorm* next, uint32_t rows) {
  const WholeLayer& whole = whole_[layer];
  gpu::ResidualArgs args;
  args.sums = scratch_->sums.as<int64_t>();
  args.sums_stride = model_.n_embd;
  args.scale = of_ffn ? 1 : whole.mixer_scale;
  args.bias = of_ffn ? nullptr : whole.mixer_bias.as<float>();
  args.post = of_ffn ? whole.ffn_post.norm : whole.attention_post.norm;
  args.residual_scale = model_.residual_scale;
  args.x = scratch_->residual.values();
  if (next != nullptr) {
    args.norm = *next;
    args.out = scratch_->normed.as<float>();
  }
  args.stride = scratch_->x.cols();
  args.cols = model_.n_embd;
  args.rows = rows;
  stream_->Residual(args);
  scratch_->residual.Reset();
  scratch_->x.SetValues(scratch_->normed.as<float>());
}

void GpuDevice::QueuePredictor(const WholeLayer& whole, const GpuFfn::Rows& ffn_rows, GpuActivations& from) {
  const GpuLinear& predictor = whole.predictor;
  const uint32_t stride = scratch_->hidden.cols();
  if (stride > predictor.matrix.rows) {
    stream_->Clear(scratch_->predicted.as<void>(), uint64_t{ffn_rows.count} * stride * sizeof(float));
  }
  const gpu::ProductOut product = {predictor.matrix, scratch_->predicted.as<float>(),
                                   stride,           predictor.bias_values(),
                                   predictor.scale,  !whole.predictor_linear};
  MultiplyRows({&product, 1}, from.For(predictor.matrix.type, exact_, ffn_rows.count, *stream_),
               ffn_rows.count, exact_, *stream_);
  scratch_->hidden.SetValues(scratch_->predicted.as<float>());
}

void GpuDevice::QueueLayer(uint32_t layer, const Places& places, const GpuMixRows& cut,
                           const GpuFfn::Rows& ffn_rows, bool more) {
  const WholeLayer& whole = whole_[layer];
  const bool predicts =
      !whole.predictor.empty() &&
      std::any_of(cut.rows.begin(), cut.rows.end(), [](const RowPlace& row) { return !row.prompt; });
  if (predicts && whole.predictor_input == FfnSideInput::kLayerInput) {
    QueuePredictor(whole, ffn_rows, scratch_->residual);
  }
  const auto& heads = pieces(UnitKind::kHeads, layer);
  GpuMixRows mix_rows = cut;
  mix_rows.angles = AnglesOf(places, static_cast<GpuMixer&>(*heads.front()));
  for (const auto& piece : heads) {
    static_cast<GpuMixer&>(*piece).Run(mix_rows, exact_, piece == heads.front(), *scratch_, *stream_);
  }
  QueueResidual(layer, false, &whole.ffn.norm, ffn_rows.count);
  if (predicts && whole.predictor_input == FfnSideInput::kResidual) {
    QueuePredictor(whole, ffn_rows, scratch_->residual);
  }
  if (predicts && whole.predictor_input == FfnSideInput::kNormed)
    QueuePredictor(whole, ffn_rows, scratch_->x);
  QueueFfn(layer, ffn_rows);
  QueueResidual(layer, true, more ? &whole_[layer + 1].attention.norm : nullptr, ffn_rows.count);
}

absl::Status GpuDevice::RunLayers(uint64_t step, absl::Span<const RowPlace> rows, uint32_t first,
                                  uint32_t last, float* x) {
  HEARTH_CHECK(scratch_ && first < last && WholeLayersFrom(first) >= last);
  HEARTH_RETURN_IF_ERROR(failure_);
  const auto count = static_cast<uint32_t>(rows.size());
  uint64_t key = uint64_t{first} << 32 | last, touched = 0;
  bool same_tiles = true;
  const GpuMixer& model_mixer = static_cast<GpuMixer&>(*pieces(UnitKind::kHeads, first).front());
  for (uint32_t layer = first; layer < last; ++layer) {
    for (const auto& piece : pieces(UnitKind::kHeads, layer)) {
      const GpuMixer& mixer = static_cast<GpuMixer&>(*piece);
      HEARTH_RETURN_IF_ERROR(mixer.CheckRows(rows));
      touched += mixer.BytesTouched(rows);
      same_tiles = same_tiles && mixer.TileRows() == model_mixer.TileRows() &&
                   mixer.BatchRows() == model_mixer.BatchRows() &&
                   mixer.TakesPrompts(exact_, *stream_) == model_mixer.TakesPrompts(exact_, *stream_);
    }
  }
  // Tiles are cut once for all layers: those that take others run in calls of their own.
  if (!same_tiles && last - first > 1) {
    for (uint32_t layer = first; layer < last; ++layer) {
      HEARTH_RETURN_IF_ERROR(RunLayers(step, rows, layer, layer + 1, x));
    }
    return absl::OkStatus();
  }
  const uint32_t cols = scratch_->x.cols();
  HEARTH_ASSIGN_OR_RETURN(GpuInput input,
                          MakeInput(count, uint64_t{count} * cols * sizeof(float), stage_exchange_));
  input.TakeRows(x, count, model_.n_embd, scratch_->residual);
  const Places places = TakePlaces(step, rows, input);
  std::vector<bool> predicted(count);
  for (uint32_t t = 0; t < count; ++t) predicted[t] = !rows[t].prompt;
  FfnRequest everything;
  everything.rows = count;
  choices_.Set(everything, 1);
  const std::vector<uint32_t> offsets = {0};
  const GpuFfn::Rows ffn_rows = {count, choices_, nullptr, nullptr, offsets, predicted};
  const GpuMixRows cut = MixRowsOf(rows, places, model_mixer);
  for (uint32_t layer = first; layer < last; ++layer) {
    const GpuMixer& mixer = static_cast<GpuMixer&>(*pieces(UnitKind::kHeads, layer).front());
    key = key * 1000003 + GpuMixer::KeyOf(mixer.layer().attention, cut);
  }
  key = key * 2 + (predicted[0] ? 1 : 0);

  if (recorded_stages_.size() <= first) recorded_stages_.resize(first + 1);
  QueueOrReplay(count == 1, key, stage_exchange_, recorded_stages_[first], [&] {
    input.CopyIn(*stream_);
    gpu::ResidualArgs begin;
    begin.x = scratch_->residual.values();
    begin.norm = whole_[first].attention.norm;
    begin.out = scratch_->normed.as<float>();
    begin.stride = cols;
    begin.cols = model_.n_embd;
    begin.rows = count;
    stream_->Residual(begin);
    scratch_->x.SetValues(begin.out);
    for (uint32_t layer = first; layer < last; ++layer)
      QueueLayer(layer, places, cut, ffn_rows, layer + 1 < last);
    stream_->CopyOut(stage_exchange_.results.data(), begin.x, uint64_t{count} * cols * sizeof(float));
  });
  stream_->Mark(kMaxInFlight);
  stream_->WaitFor(kMaxInFlight);
  failure_.Update(StreamError());
  HEARTH_RETURN_IF_ERROR(failure_);
  const float* results = reinterpret_cast<const float*>(stage_exchange_.results.data());
  for (uint32_t t = 0; t < count; ++t) {
    std::copy_n(results + size_t{t} * cols, model_.n_embd, x + size_t{t} * model_.n_embd);
  }
  for (uint32_t layer = first; layer < last; ++layer) CountFfn(layer, ffn_rows);
  MutexLock lock(&mutex_);
  counters_.bytes_touched += touched;
  return absl::OkStatus();
}

}  // namespace hearth
