#ifndef HEARTH_ENGINE_DEVICE_GPU_LATENT_H_
#define HEARTH_ENGINE_DEVICE_GPU_LATENT_H_

#include <cstdint>

#include "absl/status/status.h"
#include "engine/attention/mixer_weights.h"
#include "engine/device/gpu_scratch.h"
#include "engine/device/gpu_weights.h"
#include "engine/spec/spec.h"

namespace hearth {

// The projections of latent attention (MLA) on a GPU, as engine/attention/latent_mixer has them on CPUs:
// queries are multiplied into the latents' space, where one KV head of latents and rotated values serves all
// of them, and results out of it.
class GpuLatent {
 public:
  absl::Status Load(const LatentAttentionWeights& weights, GpuUploader& uploader);

  static void AddNeeds(const AttentionSpec& attention, GpuNeeds& needs);

  // Queues what is before the attention: scratch.query, (rows, heads, latent + rotated), and scratch.key,
  // neither normed nor rotated, of scratch.x.
  void Project(const ModelSpec& model, const AttentionSpec& attention, uint32_t rows, bool exact,
               GpuScratch& scratch, gpu::Gpu& stream) const;
  // The weights that the latents are normed by.
  const float* latent_norm() const { return latent_norm_.as<const float>(); }
  // Queues what is behind it: scratch.attended, rows that lie out_stride apart, of scratch.projected, (rows,
  // heads, latent).
  void Decompress(const AttentionSpec& attention, uint32_t rows, uint32_t out_stride, GpuScratch& scratch,
                  gpu::Gpu& stream) const;

  uint64_t bytes() const;

 private:
  GpuLinear query_down_, query_, kv_down_;
  GpuBuffer query_down_norm_, query_down_norm_bias_, latent_norm_;
  GpuLinear key_up_, value_up_;  // value_up_ is empty where key_up_ has both
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_LATENT_H_
