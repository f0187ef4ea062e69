#include "engine/weights/workspace.h"

#include <array>

#include "engine/base/check.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {

void ApplyLinear(Workspace& work, absl::Span<const LinearProduct> linears) {
  constexpr size_t kMost = 4;
  HEARTH_CHECK(linears.size() <= kMost);
  std::array<Product, kMost> products;
  for (size_t i = 0; i < linears.size(); ++i) {
    const Matrix& weights = linears[i].linear->weights;
    products[i] = {&weights, linears[i].out, weights.rows()};
    work.bytes_touched += weights.bytes() + linears[i].linear->adapter.bytes();
  }
  MatMul(work.pool, work.activations, absl::MakeConstSpan(products.data(), linears.size()));
  const size_t rows = work.activations.rows();
  for (const auto& [linear, out, adapted, adapted_stride] : linears) {
    const size_t outputs = linear->weights.rows();
    work.added.Add(work.pool, linear->adapter, adapted, rows, adapted_stride, out);
    if (linear->scale != 1) Scale(linear->scale, rows * outputs, out);
    if (linear->bias.empty()) continue;
    for (size_t t = 0; t < rows; ++t) Add(linear->bias.data(), outputs, out + t * outputs);
  }
}

void ApplyLinear(Workspace& work, const Linear& linear, const float* input, size_t rows, float* out) {
  const size_t inputs = linear.weights.cols();
  work.activations.Set(input, rows, inputs, inputs);
  const LinearProduct product{&linear, out};
  ApplyLinear(work, absl::MakeConstSpan(&product, 1));
}

void ApplyAll(Workspace& work, absl::Span<const Matrix> matrices, const float* x, size_t rows, float* out) {
  constexpr size_t kMost = 3;
  HEARTH_CHECK(!matrices.empty() && matrices.size() <= kMost);
  size_t values = 0;
  for (const Matrix& matrix : matrices) values += matrix.rows();
  std::array<Product, kMost> products;
  for (size_t i = 0; i < matrices.size(); ++i) {
    products[i] = {&matrices[i], out, values};
    out += matrices[i].rows();
    work.bytes_touched += matrices[i].bytes();
  }
  const size_t cols = matrices[0].cols();
  work.activations.Set(x, rows, cols, cols);
  MatMul(work.pool, work.activations, absl::MakeConstSpan(products.data(), matrices.size()));
}

void NormalizeVector(NormFormula formula, const float* weight, const float* bias, size_t size, const float* x,
                     float* out) {
  if (formula.kind == NormKind::kLayer) return LayerNorm(x, weight, bias, formula.epsilon, size, out);
  RmsNorm(x, weight, formula.epsilon, size, out);
  if (bias != nullptr) Add(bias, size, out);
}

const float* ApplyNorm(Workspace& work, NormFormula formula, const Norm& norm, size_t count, size_t size,
                       const float* input, float* out) {
  if (!norm.present) return input;
  const float* weight = norm.weight.empty() ? nullptr : norm.weight.data();
  const float* bias = norm.bias.empty() ? nullptr : norm.bias.data();
  work.ForEach(count, [&](uint32_t i) {
    NormalizeVector(formula, weight, bias, size, input + i * size, out + i * size);
  });
  return out;
}

}  // namespace hearth
