#ifndef HEARTH_ENGINE_NEURON_UNION_PRODUCT_H_
#define HEARTH_ENGINE_NEURON_UNION_PRODUCT_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/row_matrix.h"

namespace hearth {

// Products of a RowMatrix with several rows of activations, each of which wants other neurons. They are
// computed chunk by chunk of neurons, so that a chunk's weights stay in the L2 cache for all rows: either
// each row its own neurons, or all rows the union of what they want, whichever costs less. The results have
// the same bits. Reusable; its buffers only grow.
class UnionProduct {
 public:
  // Borrows both until Run.
  void Begin(const RowMatrix& weights, const Activations& x, size_t rows);
  // out[k] = row ids[k] of the weights . row i of x; ids rise.
  void SetRow(size_t i, absl::Span<const uint32_t> ids, float* out);
  // Every row has been set.
  void Run(ThreadPool& pool);

 private:
  struct Wanted {
    absl::Span<const uint32_t> ids;
    float* out;
  };
  // Neurons [begin, end), of which all rows get those that any of them wants.
  struct SharedChunk {
    uint32_t begin, end;
    size_t count;         // wanted neurons
    const float* values;  // (rows, count)
  };

  void AddChunk(uint32_t begin, uint32_t end);
  // Takes a row's own results from those of the shared chunks.
  void Pick(const Wanted& row, size_t number) const;

  const RowMatrix* weights_ = nullptr;
  const Activations* x_ = nullptr;
  std::vector<Wanted> rows_;
  std::vector<RowProduct> products_;
  std::vector<SharedChunk> shared_;
  std::vector<uint32_t> union_ids_;  // (neurons): of each shared chunk, where it begins
  std::vector<uint32_t> places_;     // (neurons): of a neuron in its chunk's union, plus one; 0: not wanted
  std::vector<float> values_;        // (rows, neurons)
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_UNION_PRODUCT_H_
