#include <algorithm>

#include "engine/attention/mixer.h"

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

const float* ConvolveShort(const ShortConvolutionWeights& weights, const float* input, KvLayer& cache,
                           MixStep& step) {
  const size_t n = step.model().n_embd;
  ApplyLinear(step.work, weights.input, input, step.row_count(), step.projected.data());
  // Rows of a sequence follow one another: each needs the state that the one before leaves.
  cache.BeginStep();
  for (uint32_t t = 0; t < step.row_count(); ++t) {
    const RowPlace& row = step.rows[t];
    ConvolveRow(step.projected.data() + t * 3 * n, weights.taps.data(), step.model().convolution_length, n,
                cache.State(row.sequence, row.position), step.attended.data() + t * n);
  }
  return step.attended.data();
}

}  // namespace hearth
