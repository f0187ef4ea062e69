#include "engine/kernel/added_product.h"

#include <algorithm>

#include "engine/kernel/vector_ops.h"

namespace hearth {

void AddedProduct::Add(ThreadPool& pool, const Matrix& weights, const float* x, size_t rows, size_t stride,
                       float* out) {
  if (weights.empty()) return;
  const size_t values = rows * weights.rows();
  product_.resize(std::max(product_.size(), values));
  input_.Set(x, rows, weights.cols(), stride);
  const Product product{&weights, product_.data(), weights.rows()};
  MatMul(pool, input_, {&product, 1});
  const auto add = [&](size_t begin, size_t end, int) {
    const size_t first = begin * weights.rows();
    hearth::Add(product_.data() + first, (end - begin) * weights.rows(), out + first);
  };
  if (rows == 1) return add(0, 1, 0);
  pool.ParallelFor(rows, 1, add);
}

}  // namespace hearth
