#ifndef HEARTH_ENGINE_KERNEL_PANELS_H_
#define HEARTH_ENGINE_KERNEL_PANELS_H_

// What the matrix kernels share; not for other folders.

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/scratch.h"
#include "engine/kernel/weight_memory.h"

namespace hearth {

// Packed weights lie in panels of 16 rows, column after column, the 16 rows side by side: a vector register
// holds one column of 16 rows, every lane sums one row, and no kernel ever adds across lanes. A last panel
// that is not full has zeros for the missing rows.
inline constexpr size_t kPanelRows = 16;

// Quantised weights and activations meet in units of 32 columns, which share one scale (or two, for 16
// columns each). A strip is up to 8 units: a super-block of the K types. Quantised panels lie strip after
// strip.
inline constexpr size_t kUnitCols = 32;
// Four columns of a unit, as 8-bit codes of all rows: what one step of an integer product takes.
inline constexpr size_t kQuads = kUnitCols / 4;
inline constexpr size_t kQuadBytes = 4 * kPanelRows;
inline constexpr size_t kStripUnits = 8;
inline constexpr size_t kStripCols = kStripUnits * kUnitCols;

enum class Layout {
  kRows,         // the file's rows, borrowed; dequantised at every use
  kFloatPanels,  // F32, F16, BF16: [panel][column][16 values]
  kQuantPanels,  // [panel][strip], see quant_pack.h
};

struct Matrix::Storage {
  Layout layout = Layout::kRows;
  const uint8_t* data = nullptr;
  size_t stride = 0;       // bytes from one row (kRows) or panel to the next
  size_t strip_bytes = 0;  // of a whole strip (kQuantPanels)
  bool rounds = false;     // kRows: activations are rounded as for kQuantPanels
  WeightMemory memory;     // empty where `data` is borrowed
};

// Every row in units of 32 values: value = scale * code, codes in [-127, 127], rounded to nearest. Units of one
// block have the same scale. The sums of the codes correct for weights whose codes have an offset. The same unit of
// all rows lies together: kernels that take several rows find them at fixed distances.
struct Activations::Blocks {
  bool made = false;
  bool rounded_made = false;
  size_t rows = 0;
  size_t units = 0;               // per row
  Scratch<int8_t> codes;          // (units, rows, 32)
  Scratch<float> scales;          // (units, rows)
  Scratch<int32_t> minus_sums;    // (units, rows): minus the sum of the codes
  Scratch<int32_t> minus_halves;  // (2 * units, rows): of 16 columns each
  Scratch<float> scaled_sums;     // scale * sum of the codes
  Scratch<float> scaled_halves;
  Scratch<float> rounded;  // (rows, cols), see Activations::Rounded
};

// One product as the kernels see it: float results in `out`, or group sums added to `sums`.
struct PanelTask {
  const Matrix* weights = nullptr;
  const Activations* x = nullptr;
  const Activations::Blocks* blocks = nullptr;  // of x, for kQuantPanels
  const float* values = nullptr;                // of x, perhaps rounded, for the other layouts: row t is at
  size_t values_stride = 0;                     // values + t * values_stride
  absl::Span<const uint32_t> group_ends;        // see MatMulFixedPoint; {cols} for a plain product
  float* out = nullptr;
  size_t out_stride = 0;
  int64_t* sums = nullptr;
  size_t sums_stride = 0;
};

// Each computes the rows of the panels [begin, end), for all tokens.
void MultiplyRows(const PanelTask& task, size_t begin, size_t end);
void MultiplyFloatPanels(const PanelTask& task, size_t begin, size_t end);
void MultiplyQuantPanels(const PanelTask& task, size_t begin, size_t end);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_PANELS_H_
