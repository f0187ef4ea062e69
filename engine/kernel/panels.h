#ifndef HEARTH_ENGINE_KERNEL_PANELS_H_
#define HEARTH_ENGINE_KERNEL_PANELS_H_

// What the matrix kernels share; not for other folders.

#include <algorithm>
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
constexpr size_t PanelCount(size_t rows) { return rows / kPanelRows + (rows % kPanelRows != 0); }

// Quantised weights and activations meet in units of 32 columns, which share one scale (or two, for 16
// columns each). A strip is up to 8 units: a super-block of the K types. Four panels make a group, whose
// strips lie in the order in which they are multiplied: the first strips of all four, then the second ones.
// So memory is read from one end to the other, and a strip of activations serves four panels while it is in
// the L1 cache.
inline constexpr size_t kUnitCols = 32;
// Four columns of a unit, as 8-bit codes of all rows: what one step of an integer product takes.
inline constexpr size_t kQuads = kUnitCols / 4;
inline constexpr size_t kQuadBytes = 4 * kPanelRows;
inline constexpr size_t kStripUnits = 8;
inline constexpr size_t kStripCols = kStripUnits * kUnitCols;
inline constexpr size_t kGroupPanels = 4;

// Float sums run over pieces of 256 columns from their group's start, which are then added up: a shorter
// chain of roundings than one long sum, and a piece of a few panels stays in the L1 cache for all tokens.
inline constexpr size_t kPieceCols = 256;

enum class Layout {
  kRows,         // the file's rows, borrowed or copied; dequantised at every use
  kFloatPanels,  // F32, F16, BF16: [panel][column][16 values]
  kQuantPanels,  // [group][strip][panel of the group], see StripGroup and quant_pack.h
};

struct Matrix::Storage {
  Layout layout = Layout::kRows;
  const uint8_t* data = nullptr;
  size_t stride = 0;       // bytes from one row (kRows) or panel to the next; kQuantPanels: of a panel
  size_t strip_bytes = 0;  // of a whole strip (kQuantPanels)
  bool rounds = false;     // kRows: activations are rounded as for kQuantPanels
  WeightMemory memory;     // empty where `data` is borrowed
};

// Where the strips of a group of quantised panels lie. A last group may have fewer panels, a last strip fewer
// units.
struct StripGroup {
  size_t first_panel;
  size_t panels;
  size_t offset;       // bytes from the matrix's start
  size_t strip_bytes;  // of a whole strip
  size_t last_strip;   // the one that may have fewer units
  size_t last_bytes;

  // The group that `panel` belongs to, of a matrix of rows x cols.
  StripGroup(const Matrix::Storage& storage, size_t rows, size_t cols, size_t panel)
      : first_panel(panel / kGroupPanels * kGroupPanels),
        panels(std::min(kGroupPanels, PanelCount(rows) - first_panel)),
        offset(first_panel * storage.stride),
        strip_bytes(storage.strip_bytes),
        last_strip((cols - 1) / kStripCols),
        last_bytes(strip_bytes / kStripUnits * ((cols - last_strip * kStripCols) / kUnitCols)) {}

  // Bytes from the matrix's start to a strip of a panel.
  size_t At(size_t panel, size_t strip) const {
    const size_t bytes = strip == last_strip ? last_bytes : strip_bytes;
    return offset + strip * panels * strip_bytes + (panel - first_panel) * bytes;
  }
};

// Every row in units of 32 values: value = scale * code, codes in [-127, 127], rounded to nearest. Units of
// one block have the same scale. The sums of the codes correct for weights whose codes have an offset. The
// same unit of all rows lies together: kernels that take several rows find them at fixed distances.
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
