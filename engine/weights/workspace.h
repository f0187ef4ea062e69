#ifndef HEARTH_ENGINE_WEIGHTS_WORKSPACE_H_
#define HEARTH_ENGINE_WEIGHTS_WORKSPACE_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/added_product.h"
#include "engine/kernel/matrix.h"
#include "engine/spec/spec.h"
#include "engine/weights/parameters.h"

namespace hearth {

// What the products and norms of one thread of computation share: the threads, the input of the product at
// hand, the count of what was read. Used by one thread at a time.
struct Workspace {
  explicit Workspace(ThreadPool& threads) : pool(threads) {}

  // Calls fn(i) for every i below count, on all threads where there are several.
  template <class F>
  void ForEach(size_t count, F&& fn) {
    if (count == 1) return fn(uint32_t{0});
    pool.ParallelFor(count, 1, [&fn](size_t begin, size_t end, int) {
      for (size_t i = begin; i < end; ++i) fn(static_cast<uint32_t>(i));
    });
  }

  ThreadPool& pool;
  Activations activations;
  AddedProduct added;          // of LoRA adapters
  uint64_t bytes_touched = 0;  // of weights and caches, so far
};

// The linear map of each row of `work.activations`; out (rows, outputs). Where it has an adapter row t of A x
// begins at adapted + t * adapted_stride.
struct LinearProduct {
  const Linear* linear;
  float* out;
  const float* adapted = nullptr;
  size_t adapted_stride = 0;
};
void ApplyLinear(Workspace& work, absl::Span<const LinearProduct> products);
// The same for one product with an input of (rows, cols).
void ApplyLinear(Workspace& work, const Linear& linear, const float* input, size_t rows, float* out);

// The products of each row of x, (rows, cols), with the matrices, at most three, side by side: out (rows, sum
// of their rows).
void ApplyAll(Workspace& work, absl::Span<const Matrix> matrices, const float* x, size_t rows, float* out);

// How a model's norms work.
struct NormFormula {
  explicit NormFormula(const ModelSpec& spec) : kind(spec.norm), epsilon(spec.norm_epsilon) {}
  NormFormula(NormKind norm_kind, float norm_epsilon) : kind(norm_kind), epsilon(norm_epsilon) {}

  NormKind kind;
  float epsilon;
};
// Applies a norm to each of `count` vectors of `size` values, one after another. Returns out; where the norm
// is absent nothing happens and the input is returned.
const float* ApplyNorm(Workspace& work, NormFormula formula, const Norm& norm, size_t count, size_t size,
                       const float* input, float* out);
// One vector; `weight` and `bias` may be null.
void NormalizeVector(NormFormula formula, const float* weight, const float* bias, size_t size, const float* x,
                     float* out);

}  // namespace hearth

#endif  // HEARTH_ENGINE_WEIGHTS_WORKSPACE_H_
