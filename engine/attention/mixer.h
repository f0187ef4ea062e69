#ifndef HEARTH_ENGINE_ATTENTION_MIXER_H_
#define HEARTH_ENGINE_ATTENTION_MIXER_H_

#include <cstdint>

#include "engine/attention/kv_cache.h"
#include "engine/attention/mix_step.h"
#include "engine/attention/mixer_weights.h"
#include "engine/spec/spec.h"

namespace hearth {

// What mixes the tokens of a sequence: each reads `input`, (rows, n_embd), for the rows that `step` has
// begun, stores what later tokens need in `cache` and returns what the output projection reads, (rows,
// results), in a buffer of the step. `layer` is narrowed to the heads that `weights` and `cache` have.

// Multi-head attention: softmax(scale * q k^T) v over the positions that a row sees, for groups of query
// heads that share a KV head.
const float* Attend(const LayerSpec& layer, const AttentionWeights& weights, const float* input,
                    KvLayer& cache, MixStep& step);

// Latent attention (MLA). Keys of a head are k_up_h c for the cached latent c, so q_h . k_up_h c = (k_up_h^T
// q_h) . c: the projection moves to the query, and the one of the values to the result. What is cached is c,
// normalised, and one rotated key for all heads.
const float* AttendLatent(const LayerSpec& layer, const LatentAttentionWeights& weights, const float* input,
                          KvLayer& cache, MixStep& step);

// LFM2's gated convolution: b, c, z = W_in x; y = W_out (c * conv(b * z)), where conv weighs the last few
// positions of each channel. The cache holds b * z of the positions before.
const float* ConvolveShort(const ShortConvolutionWeights& weights, const float* input, KvLayer& cache,
                           MixStep& step);

// Runs the attention kernel for all rows of the step: step.query (and far_query) to step.attended.
void RunAttention(const LayerSpec& layer, const AttentionShape& shape, const KvLayer& cache, MixStep& step);

// What queries at `position` are multiplied by; 1 without temperature tuning.
float AttentionTemperature(const AttentionSpec& attention, uint32_t position);
// The first position that a token at `position` sees.
uint32_t FirstVisible(const AttentionSpec& attention, uint32_t position);

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_MIXER_H_
