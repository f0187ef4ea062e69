#include "engine/attention/mix_step.h"

#include <algorithm>
#include <numeric>

#include "engine/base/check.h"

namespace hearth {
namespace {

void Grow(std::vector<float>& buffer, size_t values) { buffer.resize(std::max(buffer.size(), values)); }

}  // namespace

MixStep::MixStep(const ModelSpec& model, uint32_t max_rows, ThreadPool& pool)
    : work(pool), model_(model), max_rows_(max_rows), ropes_(model.ropes.size()) {
  attention_rows.reserve(max_rows);
  positions_.reserve(max_rows);
  ends_.reserve(max_rows);
}

void MixStep::Reserve(const LayerSpec& layer, absl::Span<const float> rope_factors) {
  const AttentionSpec& attention = layer.attention;
  const size_t rows = max_rows_;
  const size_t heads = attention.heads;
  if (layer.mixer == MixerKind::kShortConvolution) {
    Grow(projected, rows * 3 * model_.n_embd);
    Grow(attended, rows * model_.n_embd);
    return;
  }
  if (attention.rope && !ropes_[*attention.rope]) {
    ropes_[*attention.rope].emplace(model_.ropes[*attention.rope], rope_factors, max_rows_);
    begun_ = false;
  }
  if (layer.mixer == MixerKind::kAttention) {
    Grow(query, rows * heads * attention.key_dim);
    Grow(value, rows * layer.cached_value_values());
    Grow(attended, rows * heads * attention.value_dim);
  } else {
    Grow(projected, rows * (heads * attention.key_dim + attention.query_rank));
    Grow(query, rows * heads * layer.cached_key_values());
    Grow(attended, rows * heads * attention.latent_rank);
    Grow(decompressed, rows * heads * attention.value_dim);
    const size_t ids = std::max({attention.key_dim, attention.value_dim, attention.latent_rank});
    row_ids.resize(std::max(row_ids.size(), ids));
    std::iota(row_ids.begin(), row_ids.end(), 0u);
  }
  Grow(key, rows * layer.cached_key_values());
  if (attention.rope && model_.ropes[*attention.rope].rectified_window > 0) {
    Grow(far_query, query.size());
    Grow(far_key, key.size());
  }
}

void MixStep::Begin(uint64_t step, absl::Span<const RowPlace> places) {
  HEARTH_CHECK(places.size() <= max_rows_);
  rows = places;
  if (begun_ && step == step_) return;
  step_ = step;
  begun_ = true;
  positions_.clear();
  for (const RowPlace& row : rows) positions_.push_back(row.position);
  if (!model_.causal) {
    // The rows of a sequence are neighbours there (Decoder).
    ends_.resize(rows.size());
    for (size_t t = rows.size(); t-- > 0;) {
      const bool goes_on = t + 1 < rows.size() && rows[t + 1].sequence == rows[t].sequence;
      ends_[t] = goes_on ? ends_[t + 1] : rows[t].position;
    }
  }
  for (std::optional<RopeAngles>& rope : ropes_) {
    if (rope) rope->Set(positions_);
  }
}

}  // namespace hearth
