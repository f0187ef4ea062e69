#include "engine/model/layer.h"

#include <variant>

#include "engine/base/status_macros.h"
#include "engine/kernel/vector_ops.h"
#include "engine/model/mixer.h"

namespace hearth {
namespace {

// Attention, latent attention or convolution.
void Mix(const ModelSpec& model, const LayerSpec& layer, const LayerWeights& weights, const float* input,
         KvLayer& cache, Step& step, float* out) {
  if (const auto* attention = std::get_if<AttentionWeights>(&weights.mixer)) {
    Attend(model, layer, *attention, input, cache, step, out);
  } else if (const auto* latent = std::get_if<LatentAttentionWeights>(&weights.mixer)) {
    AttendLatent(model, layer, *latent, input, cache, step, out);
  } else {
    ConvolveShort(model, std::get<ShortConvolutionWeights>(weights.mixer), input, cache, step, out);
  }
}

const float* Normalize(const ModelSpec& model, const Norm& norm, Step& step, const float* x, float* out) {
  return ApplyNorm(step, model, norm, step.row_count(), model.n_embd, x, out);
}

void AddToResidual(const ModelSpec& model, Step& step, const float* branch) {
  step.ForEachRow([&](uint32_t t) {
    const size_t offset = size_t{t} * model.n_embd;
    AddScaled(branch + offset, model.residual_scale, model.n_embd, step.x.data() + offset);
  });
}

// Norm, router or predictor, and the devices' start. `shared_input` is what a parallel layer without a norm
// of its own for the FFN reads: the normed input of its attention.
void StartFfn(const ModelSpec& model, const LayerWeights& weights, const float* shared_input, FfnStage& ffn,
              Step& step) {
  ffn.Observe(FfnSideInput::kResidual, step.x.data());
  const float* input = weights.ffn_norm.present
                           ? Normalize(model, weights.ffn_norm, step, step.x.data(), step.ffn_input.data())
                           : shared_input;
  ffn.Observe(FfnSideInput::kNormed, input);
  ffn.Submit(input);
}

}  // namespace

absl::Status RunLayer(const ModelSpec& model, uint32_t index, const LayerWeights& weights, KvLayer& cache,
                      FfnStage& ffn, Step& step) {
  const LayerSpec& layer = model.layers[index];
  const float* x = step.x.data();
  float* branch = step.branch.data();
  ffn.Begin(index, weights, step);
  ffn.Observe(FfnSideInput::kLayerInput, x);

  const float* normed = Normalize(model, weights.attention_norm, step, x, step.normed.data());
  // Where the FFN does not wait for the attention, its devices compute while the leader attends.
  const bool early_ffn = layer.parallel && layer.ffn.present;
  if (early_ffn) StartFfn(model, weights, normed, ffn, step);

  Mix(model, layer, weights, normed, cache, step, branch);
  const float* mixed = Normalize(model, weights.attention_post_norm, step, branch, branch);
  AddToResidual(model, step, mixed);

  if (!layer.ffn.present) return absl::OkStatus();
  if (!early_ffn) StartFfn(model, weights, x, ffn, step);
  HEARTH_RETURN_IF_ERROR(ffn.Collect(branch));
  AddToResidual(model, step, Normalize(model, weights.ffn_post_norm, step, branch, branch));
  return absl::OkStatus();
}

}  // namespace hearth
