#include "engine/kernel/matrix.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/quant_pack.h"

namespace hearth {
namespace {

bool IsFloatType(TensorType type) {
  return type == TensorType::kF32 || type == TensorType::kF16 || type == TensorType::kBF16;
}

// Interleaves `rows` (at most 16) rows of cols values, each Value bytes wide: out[column][row].
template <class Value>
void PackFloatPanel(const uint8_t* source, size_t rows, size_t cols, uint8_t* out) {
  for (size_t r = 0; r < rows; ++r) {
    const uint8_t* row = source + r * cols * sizeof(Value);
    for (size_t c = 0; c < cols; ++c) {
      std::memcpy(out + (c * kPanelRows + r) * sizeof(Value), row + c * sizeof(Value), sizeof(Value));
    }
  }
}

// Memory for panels of rows of row_bytes, each panel starting at a cache line.
absl::Status AllocatePanels(size_t rows, size_t row_bytes, Matrix::Storage& storage) {
  const std::optional<size_t> packed = CheckedMul(row_bytes, kPanelRows);
  const std::optional<size_t> padded = packed ? CheckedAdd(*packed, kCacheLine - 1) : std::nullopt;
  const size_t stride = padded ? *padded / kCacheLine * kCacheLine : 0;
  const std::optional<size_t> bytes = padded ? CheckedMul(stride, PanelCount(rows)) : std::nullopt;
  if (!bytes) return absl::ResourceExhaustedError("a matrix too large for the address space");
  HEARTH_ASSIGN_OR_RETURN(storage.memory, WeightMemory::Allocate(*bytes));
  storage.data = storage.memory.data();
  storage.stride = stride;
  return absl::OkStatus();
}

// Where the file's rows [first, first + count) lie, for one panel's time: in the file, or in the thread's
// buffer that they were copied to.
using RowsAt = absl::FunctionRef<const uint8_t*(size_t first, size_t count, int thread)>;

absl::Status PackFloat(const Matrix& matrix, size_t row_bytes, RowsAt rows_at, ThreadPool& pool,
                       Matrix::Storage& storage) {
  HEARTH_RETURN_IF_ERROR(AllocatePanels(matrix.rows(), row_bytes, storage));
  storage.layout = Layout::kFloatPanels;
  pool.ParallelFor(PanelCount(matrix.rows()), 1, [&](size_t begin, size_t end, int thread) {
    for (size_t panel = begin; panel < end; ++panel) {
      const size_t count = std::min(kPanelRows, matrix.rows() - panel * kPanelRows);
      const uint8_t* source = rows_at(panel * kPanelRows, count, thread);
      uint8_t* out = storage.memory.data() + panel * storage.stride;
      if (matrix.type() == TensorType::kF32) {
        PackFloatPanel<uint32_t>(source, count, matrix.cols(), out);
      } else {
        PackFloatPanel<uint16_t>(source, count, matrix.cols(), out);
      }
    }
  });
  return absl::OkStatus();
}

absl::Status PackQuantised(const Matrix& matrix, size_t row_bytes, RowsAt rows_at, ThreadPool& pool,
                           Matrix::Storage& storage) {
  HEARTH_RETURN_IF_ERROR(AllocatePanels(matrix.rows(), row_bytes, storage));
  const TypeInfo& info = GetTypeInfo(matrix.type());
  storage.layout = Layout::kQuantPanels;
  storage.strip_bytes = kStripCols / info.block_values * info.block_bytes * kPanelRows;
  pool.ParallelFor(PanelCount(matrix.rows()), kGroupPanels, [&](size_t begin, size_t end, int thread) {
    for (size_t panel = begin; panel < end; ++panel) {
      const StripGroup group(storage, matrix.rows(), matrix.cols(), panel);
      const size_t count = std::min(kPanelRows, matrix.rows() - panel * kPanelRows);
      const uint8_t* source = rows_at(panel * kPanelRows, count, thread);
      for (size_t strip = 0; strip <= group.last_strip; ++strip) {
        PackQuantStrip(matrix.type(), source, row_bytes, count, matrix.cols(), strip,
                       storage.memory.data() + group.At(panel, strip));
      }
    }
  });
  return absl::OkStatus();
}

bool HasPanels(TensorType type, Arithmetic arithmetic) {
  return IsFloatType(type) || (arithmetic == Arithmetic::kFast && HasQuantPanels(type));
}

absl::Status PackPanels(const Matrix& matrix, size_t row_bytes, RowsAt rows_at, ThreadPool& pool,
                        Matrix::Storage& storage) {
  return IsFloatType(matrix.type()) ? PackFloat(matrix, row_bytes, rows_at, pool, storage)
                                    : PackQuantised(matrix, row_bytes, rows_at, pool, storage);
}

absl::Status CheckBytes(TensorType type, size_t rows, size_t cols, uint64_t row_bytes, size_t given) {
  const std::optional<uint64_t> bytes = CheckedMul<uint64_t>(rows, row_bytes);
  if (bytes && *bytes == given) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("a ", AbslView(GetTypeInfo(type).name), " matrix of ", rows,
                                                 " x ", cols, " does not have ", given, " bytes"));
}

// Rows that are not packed; `storage.data` is still to be set.
void SetRows(size_t row_bytes, Arithmetic arithmetic, Matrix::Storage& storage) {
  storage.layout = Layout::kRows;
  storage.stride = row_bytes;
  storage.rounds = arithmetic == Arithmetic::kFast;
}

// The kernel of a layout.
void Multiply(const PanelTask& task, size_t begin, size_t end) {
  switch (task.weights->storage().layout) {
    case Layout::kRows:
      return MultiplyRows(task, begin, end);
    case Layout::kFloatPanels:
      return MultiplyFloatPanels(task, begin, end);
    case Layout::kQuantPanels:
      return MultiplyQuantPanels(task, begin, end);
  }
}

// Of a parallel section: several pieces per thread, so that a slow core takes fewer of them,
// each whole groups.
size_t PanelsPerPiece(size_t panels, int threads) {
  constexpr size_t kPiecesPerThread = 8;
  const size_t even = panels / (static_cast<size_t>(threads) * kPiecesPerThread);
  return std::max(kGroupPanels, even / kGroupPanels * kGroupPanels);
}

}  // namespace

Matrix::Matrix() = default;
Matrix::Matrix(Matrix&&) noexcept = default;
Matrix& Matrix::operator=(Matrix&&) noexcept = default;
Matrix::~Matrix() = default;

Matrix::Matrix(TensorType type, size_t rows, size_t cols)
    : rows_(rows), cols_(cols), type_(type), storage_(std::make_unique<Storage>()) {}

absl::StatusOr<Matrix> Matrix::Borrow(TensorType type, size_t rows, size_t cols,
                                      absl::Span<const uint8_t> blocks) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  HEARTH_RETURN_IF_ERROR(CheckBytes(type, rows, cols, row_bytes, blocks.size()));
  Matrix matrix(type, rows, cols);
  SetRows(row_bytes, Arithmetic::kFloat32, *matrix.storage_);
  matrix.storage_->data = blocks.data();
  return matrix;
}

absl::StatusOr<Matrix> Matrix::Pack(TensorType type, size_t rows, size_t cols,
                                    absl::Span<const uint8_t> blocks, ThreadPool& pool,
                                    Arithmetic arithmetic) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  HEARTH_RETURN_IF_ERROR(CheckBytes(type, rows, cols, row_bytes, blocks.size()));
  Matrix matrix(type, rows, cols);
  if (blocks.empty()) return matrix;
  if (HasPanels(type, arithmetic)) {
    const auto rows_at = [&](size_t first, size_t, int) { return blocks.data() + first * row_bytes; };
    HEARTH_RETURN_IF_ERROR(PackPanels(matrix, row_bytes, rows_at, pool, *matrix.storage_));
  } else {
    SetRows(row_bytes, arithmetic, *matrix.storage_);
    matrix.storage_->data = blocks.data();
  }
  return matrix;
}

absl::StatusOr<Matrix> Matrix::PackRows(TensorType type, size_t rows, size_t cols, RowReader read,
                                        ThreadPool& pool, Arithmetic arithmetic) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  Matrix matrix(type, rows, cols);
  if (rows == 0 || cols == 0) return matrix;
  Storage& storage = *matrix.storage_;
  if (HasPanels(type, arithmetic)) {
    // A panel's rows go through a small buffer, one per thread.
    std::vector<Scratch<uint8_t>> buffers(static_cast<size_t>(pool.threads()));
    const auto rows_at = [&](size_t first, size_t count, int thread) {
      uint8_t* buffer = buffers[static_cast<size_t>(thread)].Reserve(kPanelRows * row_bytes);
      read(first, count, buffer);
      return static_cast<const uint8_t*>(buffer);
    };
    HEARTH_RETURN_IF_ERROR(PackPanels(matrix, row_bytes, rows_at, pool, storage));
    return matrix;
  }
  SetRows(row_bytes, arithmetic, storage);
  const std::optional<size_t> bytes = CheckedMul<size_t>(rows, row_bytes);
  if (!bytes) return absl::ResourceExhaustedError("a matrix too large for the address space");
  HEARTH_ASSIGN_OR_RETURN(storage.memory, WeightMemory::Allocate(*bytes));
  storage.data = storage.memory.data();
  pool.ParallelFor(PanelCount(rows), 1, [&](size_t begin, size_t end, int) {
    const size_t first = begin * kPanelRows;
    read(first, std::min(end * kPanelRows, rows) - first, storage.memory.data() + first * row_bytes);
  });
  return matrix;
}

absl::StatusOr<Matrix> Matrix::Repeat(const Matrix& piece, size_t times, ThreadPool& pool) {
  const Storage& packed = piece.storage();
  HEARTH_CHECK(packed.layout != Layout::kRows && piece.rows() % (kGroupPanels * kPanelRows) == 0);
  const std::optional<size_t> bytes = CheckedMul(packed.memory.size(), times);
  if (!bytes) return absl::ResourceExhaustedError("a matrix too large for the address space");
  Matrix matrix(piece.type(), piece.rows() * times, piece.cols());
  Storage& storage = *matrix.storage_;
  storage.layout = packed.layout;
  storage.stride = packed.stride;
  storage.strip_bytes = packed.strip_bytes;
  HEARTH_ASSIGN_OR_RETURN(storage.memory, WeightMemory::Allocate(*bytes));
  storage.data = storage.memory.data();
  pool.ParallelFor(times, 1, [&](size_t begin, size_t end, int) {
    for (size_t copy = begin; copy < end; ++copy)
      std::memcpy(storage.memory.data() + copy * packed.memory.size(), packed.data, packed.memory.size());
  });
  return matrix;
}

bool Matrix::owns_memory() const { return storage_ == nullptr || storage_->memory.size() > 0; }

const uint8_t* Matrix::borrowed_rows() const {
  return storage_ != nullptr && storage_->layout == Layout::kRows && !owns_memory() ? storage_->data : nullptr;
}

size_t Matrix::bytes() const {
  if (storage_ == nullptr) return 0;
  if (storage_->layout == Layout::kRows) return rows_ * storage_->stride;
  return PanelCount(rows_) * storage_->stride;
}

namespace {

// The product's weights and activations, these in the form that the weights' kernel wants; not yet where to.
PanelTask TaskOf(const Matrix& weights, const Activations& x, ThreadPool& pool) {
  PanelTask task;
  task.weights = &weights;
  task.x = &x;
  task.values = x.row(0);
  task.values_stride = x.stride();
  if (weights.empty()) return task;
  if (weights.storage().layout == Layout::kQuantPanels)
    task.blocks = &x.Quantized(pool, ActivationBlock(weights.type()));
  if (weights.storage().rounds) {
    task.values = x.Rounded(pool, ActivationBlock(weights.type()));
    task.values_stride = x.cols();
  }
  return task;
}

}  // namespace

void MatMul(ThreadPool& pool, const Activations& x, absl::Span<const Product> products) {
  size_t panels = 0;
  for (const Product& product : products) {
    HEARTH_CHECK(product.weights->cols() == x.cols());
    TaskOf(*product.weights, x, pool);  // makes what is missing, which the parallel section cannot
    panels += PanelCount(product.weights->rows());
  }
  const uint32_t group_end = static_cast<uint32_t>(x.cols());
  pool.ParallelFor(panels, PanelsPerPiece(panels, pool.threads()), [&](size_t begin, size_t end, int) {
    size_t first = 0;  // of the product's panels among all
    for (const Product& product : products) {
      const size_t count = PanelCount(product.weights->rows());
      const size_t from = std::clamp(begin, first, first + count);
      const size_t to = std::clamp(end, first, first + count);
      first += count;
      if (from >= to) continue;
      PanelTask task = TaskOf(*product.weights, x, pool);
      task.group_ends = {&group_end, 1};
      task.out = product.out;
      task.out_stride = product.out_stride;
      Multiply(task, from - (first - count), to - (first - count));
    }
  });
}

void MatMulFixedPoint(ThreadPool& pool, const Activations& x, const Matrix& weights,
                      absl::Span<const uint32_t> group_ends, int64_t* sums, size_t sums_stride) {
  HEARTH_CHECK(weights.cols() == x.cols());
  HEARTH_CHECK(!group_ends.empty() && group_ends.back() == weights.cols());
  const uint32_t block = GetTypeInfo(weights.type()).block_values;
  for (size_t g = 0; g < group_ends.size(); ++g) {
    HEARTH_CHECK(group_ends[g] % block == 0 && (g == 0 || group_ends[g - 1] <= group_ends[g]));
  }
  PanelTask task = TaskOf(weights, x, pool);
  task.group_ends = group_ends;
  task.sums = sums;
  task.sums_stride = sums_stride;
  const size_t panels = PanelCount(weights.rows());
  pool.ParallelFor(panels, PanelsPerPiece(panels, pool.threads()),
                   [&](size_t begin, size_t end, int) { Multiply(task, begin, end); });
}

}  // namespace hearth
