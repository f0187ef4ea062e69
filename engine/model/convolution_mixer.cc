#include <algorithm>

#include "engine/model/mixer.h"

namespace hearth {
namespace {

// One position of all channels: y = c * conv(b * z). `state`, (taps - 1, n), holds b * z of the positions
// before, oldest first, and moves on by one.
void ConvolveRow(const float* bcz, const float* taps, size_t tap_count, size_t n, float* state, float* y) {
  const float* b = bcz;
  const float* c = bcz + n;
  const float* z = bcz + 2 * n;
  const size_t before = tap_count - 1;
  for (size_t i = 0; i < n; ++i) {
    const float* channel_taps = taps + i * tap_count;
    const float current = b[i] * z[i];
    float sum = channel_taps[before] * current;
    for (size_t j = 0; j < before; ++j) sum += channel_taps[j] * state[j * n + i];
    for (size_t j = 0; j + 1 < before; ++j) state[j * n + i] = state[(j + 1) * n + i];
    if (before > 0) state[(before - 1) * n + i] = current;
    y[i] = c[i] * sum;
  }
}

}  // namespace

void ConvolveShort(const ModelSpec& model, const ShortConvolutionWeights& weights, const float* input,
                   KvLayer& cache, Step& step, float* out) {
  const size_t n = model.n_embd;
  ApplyLinear(step, weights.input, input, step.projected.data());
  // Rows of a sequence follow one another: each needs the state that the one before leaves.
  cache.BeginStep();
  for (uint32_t t = 0; t < step.row_count(); ++t) {
    ConvolveRow(step.projected.data() + t * 3 * n, weights.taps.data(), model.convolution_length, n,
                cache.State(step.rows[t].sequence, step.rows[t].position), step.attended.data() + t * n);
  }
  ApplyLinear(step, weights.output, step.attended.data(), out);
}

}  // namespace hearth
