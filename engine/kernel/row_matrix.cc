#include "engine/kernel/row_matrix.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/quant_pack.h"
#include "engine/kernel/row_panels.h"
#include "engine/kernel/scratch.h"

namespace hearth {
namespace {

// Writes a row as the first lane of its strips, one after another: what a panel of 16 such rows is made of.
class LaneWriter {
 public:
  LaneWriter(TensorType type, size_t cols)
      : type_(type),
        cols_(cols),
        strip_(kStripCols / GetTypeInfo(type).block_values * GetTypeInfo(type).block_bytes * kPanelRows) {}

  void Write(const uint8_t* row, size_t row_bytes, uint8_t* out) {
    for (size_t strip = 0; strip * kStripCols < cols_; ++strip) {
      PackQuantStrip(type_, row, row_bytes, 1, cols_, strip, strip_.data());
      const uint8_t* from = strip_.data();
      const size_t units = std::min(kStripCols, cols_ - strip * kStripCols) / kUnitCols;
      for (const StripField& field : StripFieldsOf(type_, units)) {
        for (size_t i = 0; i < field.count; ++i, from += kPanelRows * field.width, out += field.width)
          std::memcpy(out, from, field.width);
      }
    }
  }

 private:
  const TensorType type_;
  const size_t cols_;
  std::vector<uint8_t> strip_;
};

// Weights and activations of a product, these in the form that the weights' kernel wants.
RowTask TaskOf(ThreadPool& pool, const RowMatrix& weights, const Activations& x) {
  RowTask task;
  task.weights = &weights;
  task.values = x.row(0);
  task.values_stride = x.stride();
  const Layout layout = RowLayout(weights);
  if (layout == Layout::kQuantPanels) task.blocks = &x.Quantized(pool, ActivationBlock(weights.type()));
  if (layout == Layout::kRows && weights.arithmetic() == Arithmetic::kFast) {
    task.values = x.Rounded(pool, ActivationBlock(weights.type()));
    task.values_stride = x.cols();
  }
  return task;
}

// Of a parallel section: several pieces per thread, so that a slow core takes fewer of them, and long ones,
// since a panel's rows are asked for while the one before it is computed.
size_t CountPerPiece(size_t count, int threads) {
  constexpr size_t kPiecesPerThread = 4;
  if (threads == 1) return std::max<size_t>(1, count);
  return std::max<size_t>(1, count / (static_cast<size_t>(threads) * kPiecesPerThread));
}

}  // namespace

Layout RowLayout(const RowMatrix& weights) {
  const TensorType type = weights.type();
  if (GetTypeInfo(type).block_values == 1) {
    const bool has_panels = type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
    return has_panels ? Layout::kFloatPanels : Layout::kRows;
  }
  const bool fast = weights.arithmetic() == Arithmetic::kFast && HasQuantPanels(type);
  return fast ? Layout::kQuantPanels : Layout::kRows;
}

absl::StatusOr<RowMatrix> RowMatrix::PackRows(TensorType type, size_t rows, size_t cols,
                                              Matrix::RowReader read, ThreadPool& pool,
                                              Arithmetic arithmetic) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  RowMatrix matrix;
  if (rows == 0 || cols == 0) return matrix;
  matrix.rows_ = rows;
  matrix.cols_ = cols;
  matrix.row_bytes_ = row_bytes;
  matrix.type_ = type;
  matrix.arithmetic_ = arithmetic;
  const std::optional<size_t> bytes = CheckedMul<size_t>(rows, row_bytes);
  if (!bytes) return absl::ResourceExhaustedError("a matrix too large for the address space");
  HEARTH_ASSIGN_OR_RETURN(matrix.memory_, WeightMemory::Allocate(*bytes));
  const bool lanes = RowLayout(matrix) == Layout::kQuantPanels;
  // Rows go through a small buffer, one per thread.
  std::vector<Scratch<uint8_t>> buffers(static_cast<size_t>(pool.threads()));
  pool.ParallelFor(PanelCount(rows), 1, [&](size_t begin, size_t end, int thread) {
    const size_t first = begin * kPanelRows, count = std::min(end * kPanelRows, rows) - first;
    uint8_t* out = matrix.memory_.data() + first * row_bytes;
    if (!lanes) return read(first, count, out);
    uint8_t* buffer = buffers[static_cast<size_t>(thread)].Reserve(count * row_bytes);
    read(first, count, buffer);
    LaneWriter writer(type, cols);
    for (size_t r = 0; r < count; ++r) {
      writer.Write(buffer + r * row_bytes, row_bytes, out + r * row_bytes);
    }
  });
  return matrix;
}

void MatMulRows(ThreadPool& pool, const Activations& x, const RowMatrix& weights,
                absl::Span<const RowProduct> products) {
  if (products.empty() || weights.empty()) return;
  HEARTH_CHECK(weights.cols() == x.cols());
  const RowTask task = TaskOf(pool, weights, x);
  const auto multiply = [&task](const RowProduct& product, size_t begin, size_t end) {
    RowTask part = task;
    part.product = product;
    MultiplyRowPanels(part, begin, end);
  };
  if (products.size() == 1) {
    const size_t panels = PanelCount(products[0].ids.size());
    pool.ParallelFor(panels, CountPerPiece(panels, pool.threads()),
                     [&](size_t begin, size_t end, int) { multiply(products[0], begin, end); });
    return;
  }
  pool.ParallelFor(products.size(), CountPerPiece(products.size(), pool.threads()),
                   [&](size_t begin, size_t end, int) {
                     for (size_t p = begin; p < end; ++p)
                       multiply(products[p], 0, PanelCount(products[p].ids.size()));
                   });
}

}  // namespace hearth
