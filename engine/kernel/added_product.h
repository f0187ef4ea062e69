#ifndef HEARTH_ENGINE_KERNEL_ADDED_PRODUCT_H_
#define HEARTH_ENGINE_KERNEL_ADDED_PRODUCT_H_

#include <cstddef>
#include <vector>

#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"

namespace hearth {

// Adds products to what other ones have given, with buffers of its own, which only grow. Not thread-safe.
class AddedProduct {
 public:
  // out[t] += W x[t] for each row: x (rows, cols), `stride` apart, out (rows, W's rows). Nothing where W is
  // empty. The same promise on bits as MatMul's.
  void Add(ThreadPool& pool, const Matrix& weights, const float* x, size_t rows, size_t stride, float* out);

 private:
  Activations input_;
  std::vector<float> product_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_ADDED_PRODUCT_H_
