#ifndef HEARTH_ENGINE_MODEL_MIXER_H_
#define HEARTH_ENGINE_MODEL_MIXER_H_

#include "engine/model/kv_cache.h"
#include "engine/model/spec.h"
#include "engine/model/step.h"
#include "engine/model/weights.h"

namespace hearth {

// What mixes the tokens of a sequence: each reads `input`, (rows, n_embd), stores what later tokens need in
// `cache` and writes (rows, n_embd) to `out`.

// Multi-head attention: softmax(scale * q k^T) v over the positions that a row sees, for groups of query
// heads that share a KV head.
void Attend(const ModelSpec& model, const LayerSpec& layer, const AttentionWeights& weights,
            const float* input, KvLayer& cache, Step& step, float* out);

// Latent attention (MLA). Keys of a head are k_up_h c for the cached latent c, so q_h . k_up_h c = (k_up_h^T
// q_h) . c: the projection moves to the query, and the one of the values to the result. What is cached is c,
// normalised, and one rotated key for all heads.
void AttendLatent(const ModelSpec& model, const LayerSpec& layer, const LatentAttentionWeights& weights,
                  const float* input, KvLayer& cache, Step& step, float* out);

// LFM2's gated convolution: b, c, z = W_in x; y = W_out (c * conv(b * z)), where conv weighs the last few
// positions of each channel. The cache holds b * z of the positions before.
void ConvolveShort(const ModelSpec& model, const ShortConvolutionWeights& weights, const float* input,
                   KvLayer& cache, Step& step, float* out);

// Runs the attention kernel for all rows of the step: step.query (and far_query) to step.attended.
void RunAttention(const LayerSpec& layer, const AttentionShape& shape, const KvLayer& cache, Step& step);

// What queries at `position` are multiplied by; 1 without temperature tuning.
float AttentionTemperature(const AttentionSpec& attention, uint32_t position);
// The first position that a token at `position` sees.
uint32_t FirstVisible(const AttentionSpec& attention, uint32_t position);

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_MIXER_H_
