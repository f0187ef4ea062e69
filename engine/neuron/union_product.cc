#include "engine/neuron/union_product.h"

#include <algorithm>

namespace hearth {
namespace {

// Half a megabyte to two of usual types: fits an L2 cache or nearly so.
constexpr uint32_t kChunkNeurons = 256;
constexpr size_t kPanel = 16;
// Laying 16 rows side by side costs about as much as multiplying them with three rows of activations;
// measured with Q4_0 on AVX-512.
constexpr size_t kPanelCost = 3;

size_t PanelsOf(size_t rows) { return (rows + kPanel - 1) / kPanel; }

// The ids in [begin, end).
absl::Span<const uint32_t> Within(absl::Span<const uint32_t> ids, uint32_t begin, uint32_t end) {
  const uint32_t* first = std::lower_bound(ids.begin(), ids.end(), begin);
  return {first, static_cast<size_t>(std::lower_bound(first, ids.end(), end) - first)};
}

}  // namespace

void UnionProduct::Begin(const RowMatrix& weights, const Activations& x, size_t rows) {
  weights_ = &weights;
  x_ = &x;
  rows_.assign(rows, {});
  products_.clear();
  shared_.clear();
  const size_t chunks = (weights.rows() + kChunkNeurons - 1) / kChunkNeurons;
  products_.reserve(rows * chunks);
  shared_.reserve(chunks);
  if (rows < 2) return;
  union_ids_.resize(std::max(union_ids_.size(), weights.rows()));
  places_.resize(std::max(places_.size(), weights.rows()));
  values_.resize(std::max(values_.size(), rows * weights.rows()));
}

void UnionProduct::SetRow(size_t i, absl::Span<const uint32_t> ids, float* out) { rows_[i] = {ids, out}; }

void UnionProduct::Run(ThreadPool& pool) {
  if (rows_.size() == 1) {
    products_.push_back({rows_[0].ids, 0, 1, rows_[0].out, 0});
    return MatMulRows(pool, *x_, *weights_, products_);
  }
  const auto neurons = static_cast<uint32_t>(weights_->rows());
  for (uint32_t begin = 0; begin < neurons; begin += kChunkNeurons) {
    AddChunk(begin, std::min(neurons, begin + kChunkNeurons));
  }
  MatMulRows(pool, *x_, *weights_, products_);
  if (shared_.empty()) return;
  pool.ParallelFor(rows_.size(), 1, [&](size_t begin, size_t end, int) {
    for (size_t i = begin; i < end; ++i) Pick(rows_[i], i);
  });
}

void UnionProduct::AddChunk(uint32_t begin, uint32_t end) {
  std::fill(places_.begin() + begin, places_.begin() + end, 0);
  size_t own_panels = 0;
  for (const Wanted& row : rows_) {
    const absl::Span<const uint32_t> ids = Within(row.ids, begin, end);
    own_panels += PanelsOf(ids.size());
    for (const uint32_t id : ids) places_[id] = 1;
  }
  uint32_t count = 0;
  for (uint32_t id = begin; id < end; ++id) {
    if (places_[id] == 0) continue;
    union_ids_[begin + count] = id;
    places_[id] = ++count;
  }
  if (PanelsOf(count) * (kPanelCost + rows_.size()) < own_panels * (kPanelCost + 1)) {
    float* values = values_.data() + rows_.size() * begin;
    shared_.push_back({begin, end, count, values});
    products_.push_back(
        {absl::MakeConstSpan(union_ids_).subspan(begin, count), 0, rows_.size(), values, count});
    return;
  }
  for (size_t i = 0; i < rows_.size(); ++i) {
    const absl::Span<const uint32_t> ids = Within(rows_[i].ids, begin, end);
    if (!ids.empty())
      products_.push_back({ids, i, 1, rows_[i].out + (ids.begin() - rows_[i].ids.begin()), 0});
  }
}

void UnionProduct::Pick(const Wanted& row, size_t number) const {
  for (const SharedChunk& chunk : shared_) {
    const absl::Span<const uint32_t> ids = Within(row.ids, chunk.begin, chunk.end);
    float* out = row.out + (ids.begin() - row.ids.begin());
    const float* values = chunk.values + number * chunk.count;
    for (size_t k = 0; k < ids.size(); ++k) out[k] = values[places_[ids[k]] - 1];
  }
}

}  // namespace hearth
