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
#include "engine/kernel/row_writer.h"

namespace hearth {
namespace {

Layout LayoutOf(TensorType type, Arithmetic arithmetic) {
  if (GetTypeInfo(type).block_values == 1) {
    const bool has_panels = type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
    return has_panels ? Layout::kFloatPanels : Layout::kRows;
  }
  const bool fast = arithmetic == Arithmetic::kFast && HasQuantPanels(type);
  return fast ? Layout::kQuantPanels : Layout::kRows;
}

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

Layout RowLayout(const RowMatrix& weights) { return LayoutOf(weights.type(), weights.arithmetic()); }

RowForm::RowForm(TensorType type, size_t cols, Arithmetic arithmetic)
    : type_(type),
      cols_(cols),
      bytes_(cols / GetTypeInfo(type).block_values * GetTypeInfo(type).block_bytes),
      packs_(LayoutOf(type, arithmetic) == Layout::kQuantPanels) {}

void RowForm::Write(const uint8_t* row, uint8_t* out) const {
  if (packs_) {
    PackQuantRow(type_, row, cols_, out);
  } else {
    std::memcpy(out, row, bytes_);
  }
}

RowMatrix RowMatrix::View(TensorType type, size_t rows, size_t cols, const uint8_t* const* places,
                          size_t offset, Arithmetic arithmetic) {
  RowMatrix matrix;
  matrix.rows_ = rows;
  matrix.cols_ = cols;
  matrix.row_bytes_ = RowForm(type, cols, arithmetic).bytes();
  matrix.type_ = type;
  matrix.arithmetic_ = arithmetic;
  matrix.places_ = places;
  matrix.offset_ = offset;
  return matrix;
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
  WriteRows(RowForm(type, cols, arithmetic), rows, read, pool, matrix.memory_.data());
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
