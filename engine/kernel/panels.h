#ifndef HEARTH_ENGINE_KERNEL_PANELS_H_
#define HEARTH_ENGINE_KERNEL_PANELS_H_

// What the matrix kernels share; not for other folders.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/weight_memory.h"

namespace hearth {

// Packed weights lie in panels of 16 rows, column after column, the 16 rows side by side: a vector register holds
// one column of 16 rows, every lane sums one row, and no kernel ever adds across lanes. A last panel that is not
// full has zeros for the missing rows.
inline constexpr size_t kPanelRows = 16;

enum class Layout {
  kRows,         // the file's rows, borrowed; dequantised at every use
  kFloatPanels,  // F32, F16, BF16: [panel][column][16 values]
};

struct Matrix::Storage {
  Layout layout = Layout::kRows;
  const uint8_t* data = nullptr;
  size_t stride = 0;    // bytes from one row (kRows) or panel to the next
  WeightMemory memory;  // empty where `data` is borrowed
};

// One product as the kernels see it: float results in `out`, or group sums added to `sums`.
struct PanelTask {
  const Matrix* weights;
  const Activations* x;
  absl::Span<const uint32_t> group_ends;  // see MatMulFixedPoint; {cols} for a plain product
  float* out = nullptr;
  size_t out_stride = 0;
  int64_t* sums = nullptr;
  size_t sums_stride = 0;
};

// Each computes the rows of the panels [begin, end), for all tokens.
void MultiplyRows(const PanelTask& task, size_t begin, size_t end);
void MultiplyFloatPanels(const PanelTask& task, size_t begin, size_t end);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_PANELS_H_
