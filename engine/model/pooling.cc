#include "engine/model/pooling.h"

#include <cmath>

#include "engine/base/check.h"

namespace hearth {

Pooler::Pooler(const EmbeddingOptions& options, uint32_t n_embd)
    : options_(options), n_embd_(n_embd), pooled_(n_embd, 0.0) {
  HEARTH_CHECK(n_embd > 0 && options.dimensions <= n_embd);
}

void Pooler::Add(absl::Span<const float> states) {
  HEARTH_CHECK(states.size() % n_embd_ == 0);
  for (; !states.empty(); states.remove_prefix(n_embd_), ++tokens_) {
    const absl::Span<const float> state = states.first(n_embd_);
    if (options_.pooling == Pooling::kMean) {
      for (uint32_t i = 0; i < n_embd_; ++i) pooled_[i] += static_cast<double>(state[i]);
    } else if (options_.pooling == Pooling::kLast || tokens_ == 0) {
      pooled_.assign(state.begin(), state.end());
    }
  }
}

std::vector<float> Pooler::Finish() const {
  HEARTH_CHECK(tokens_ > 0);
  const uint32_t values = options_.dimensions > 0 ? options_.dimensions : n_embd_;
  double scale = options_.pooling == Pooling::kMean ? 1.0 / tokens_ : 1.0;
  if (!options_.keep_length) {
    double square_sum = 0;
    for (uint32_t i = 0; i < values; ++i) square_sum += pooled_[i] * pooled_[i];
    scale = square_sum > 0 ? 1 / std::sqrt(square_sum) : 0;
  }
  std::vector<float> vector(values);
  for (uint32_t i = 0; i < values; ++i) vector[i] = static_cast<float>(pooled_[i] * scale);
  return vector;
}

}  // namespace hearth
