#include "engine/model/step.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "engine/base/check.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {
namespace {

// Values per row that the widest layer needs in each buffer of the mixers.
struct MixerWidths {
  size_t query = 0, far_query = 0, key = 0, far_key = 0, value = 0, projected = 0, attended = 0,
         decompressed = 0;
  size_t row_ids = 0;

  void Include(const ModelSpec& spec, const LayerSpec& layer) {
    const AttentionSpec& attention = layer.attention;
    const size_t heads = attention.heads;
    const bool far = attention.rope && spec.ropes[*attention.rope].rectified_window > 0;
    const auto grow = [](size_t& width, size_t needed) { width = std::max(width, needed); };
    switch (layer.mixer) {
      case MixerKind::kShortConvolution:
        grow(projected, size_t{3} * spec.n_embd);
        grow(attended, spec.n_embd);
        return;
      case MixerKind::kAttention:
        grow(query, heads * attention.key_dim);
        grow(value, layer.cached_value_values());
        grow(attended, heads * attention.value_dim);
        break;
      case MixerKind::kLatentAttention:
        grow(projected, heads * attention.key_dim + attention.query_rank);
        grow(query, heads * layer.cached_key_values());
        grow(attended, heads * attention.latent_rank);
        grow(decompressed, heads * attention.value_dim);
        grow(row_ids, std::max({attention.key_dim, attention.value_dim, attention.latent_rank}));
        break;
    }
    grow(key, layer.cached_key_values());
    if (far) {
      far_query = query;
      far_key = key;
    }
  }
};

}  // namespace

Step::Step(const ModelSpec& spec, const ModelWeights& weights, uint32_t max_rows, ThreadPool& pool)
    : pool(pool) {
  MixerWidths widths;
  for (const LayerSpec& layer : spec.layers) widths.Include(spec, layer);
  const size_t stream = static_cast<size_t>(max_rows) * spec.n_embd;
  for (std::vector<float>* buffer : {&x, &normed, &ffn_input, &branch}) buffer->resize(stream);
  query.resize(max_rows * widths.query);
  far_query.resize(max_rows * widths.far_query);
  key.resize(max_rows * widths.key);
  far_key.resize(max_rows * widths.far_key);
  value.resize(max_rows * widths.value);
  projected.resize(max_rows * widths.projected);
  attended.resize(max_rows * widths.attended);
  decompressed.resize(max_rows * widths.decompressed);
  attention_rows.reserve(max_rows);
  positions_.reserve(max_rows);
  row_ids.resize(widths.row_ids);
  std::iota(row_ids.begin(), row_ids.end(), 0u);
  for (size_t i = 0; i < spec.ropes.size(); ++i)
    ropes.emplace_back(spec.ropes[i], weights.rope_factors[i], max_rows);
}

void Step::Begin(absl::Span<const BatchRow> new_rows) {
  rows = new_rows;
  positions_.clear();
  for (const BatchRow& row : rows) positions_.push_back(row.position);
  for (RopeAngles& rope : ropes) rope.Set(positions_);
}

void ApplyLinear(Step& step, absl::Span<const LinearProduct> linears) {
  constexpr size_t kMost = 4;
  HEARTH_CHECK(linears.size() <= kMost);
  std::array<Product, kMost> products;
  for (size_t i = 0; i < linears.size(); ++i) {
    const Matrix& weights = linears[i].linear->weights;
    products[i] = {&weights, linears[i].out, weights.rows()};
    step.bytes_touched += weights.bytes();
  }
  MatMul(step.pool, step.activations, absl::MakeConstSpan(products.data(), linears.size()));
  const size_t rows = step.activations.rows();
  for (const auto& [linear, out] : linears) {
    const size_t outputs = linear->weights.rows();
    if (linear->scale != 1) Scale(linear->scale, rows * outputs, out);
    if (linear->bias.empty()) continue;
    for (size_t t = 0; t < rows; ++t) Add(linear->bias.data(), outputs, out + t * outputs);
  }
}

void ApplyLinear(Step& step, const Linear& linear, const float* input, float* out) {
  const size_t inputs = linear.weights.cols();
  step.activations.Set(input, step.row_count(), inputs, inputs);
  const LinearProduct product{&linear, out};
  ApplyLinear(step, absl::MakeConstSpan(&product, 1));
}

void NormalizeVector(NormKind kind, float epsilon, const float* weight, const float* bias, size_t size,
                     const float* x, float* out) {
  if (kind == NormKind::kLayer) return LayerNorm(x, weight, bias, epsilon, size, out);
  RmsNorm(x, weight, epsilon, size, out);
  if (bias != nullptr) Add(bias, size, out);
}

const float* ApplyNorm(Step& step, const ModelSpec& spec, const Norm& norm, size_t count, size_t size,
                       const float* input, float* out) {
  if (!norm.present) return input;
  const float* weight = norm.weight.empty() ? nullptr : norm.weight.data();
  const float* bias = norm.bias.empty() ? nullptr : norm.bias.data();
  step.ForEach(count, [&](uint32_t i) {
    NormalizeVector(spec.norm, spec.norm_epsilon, weight, bias, size, input + i * size, out + i * size);
  });
  return out;
}

}  // namespace hearth
