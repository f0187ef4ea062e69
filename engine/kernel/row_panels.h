#ifndef HEARTH_ENGINE_KERNEL_ROW_PANELS_H_
#define HEARTH_ENGINE_KERNEL_ROW_PANELS_H_

// The kernel behind row_matrix.h; not for other folders.

#include <cstddef>

#include "engine/kernel/panels.h"
#include "engine/kernel/row_matrix.h"

namespace hearth {

struct RowTask {
  const RowMatrix* weights = nullptr;
  const Activations::Blocks* blocks = nullptr;  // of quantised rows that are multiplied as such
  const float* values = nullptr;                // perhaps rounded, for the others
  size_t values_stride = 0;
  RowProduct product;
};

// How the rows of a RowMatrix lie.
Layout RowLayout(const RowMatrix& weights);

// Computes the panels [begin, end), each 16 of the product's ids.
void MultiplyRowPanels(const RowTask& task, size_t begin, size_t end);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_ROW_PANELS_H_
