#ifndef HEARTH_ENGINE_KERNEL_ROW_MATRIX_H_
#define HEARTH_ENGINE_KERNEL_ROW_MATRIX_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/weight_memory.h"
#include "engine/quant/types.h"

namespace hearth {

// How a RowMatrix wants a row: the file's bytes, in another order where kernels multiply quantised rows as
// they are. Thread-safe.
class RowForm {
 public:
  // The sizes must fit (CHECK of RowBytes elsewhere).
  RowForm(TensorType type, size_t cols, Arithmetic arithmetic);

  // Bytes of a row, in the file and here.
  size_t bytes() const { return bytes_; }
  // Whether both are the same.
  bool is_files() const { return !packs_; }
  void Write(const uint8_t* row, uint8_t* out) const;

 private:
  const TensorType type_;
  const size_t cols_;
  const size_t bytes_;
  const bool packs_;
};

// A weight matrix whose rows are multiplied one by one, those of the neurons that fire: each row is one run
// of bytes, about as many as the file has for it. Products take 16 rows at a time: they are laid side by side
// in the L1 cache, strip after strip, as the panels of a Matrix are in memory, and multiplied by the same
// code. So a row's product has the same bits here and there. Immutable and thread-safe after construction.
// Movable.
class RowMatrix {
 public:
  // As Matrix::PackRows. RESOURCE_EXHAUSTED without memory.
  static absl::StatusOr<RowMatrix> PackRows(TensorType type, size_t rows, size_t cols, Matrix::RowReader read,
                                            ThreadPool& pool, Arithmetic arithmetic = Arithmetic::kFast);

  // Rows that lie elsewhere, in the form of RowForm: row r at places[r] + offset. `places` outlives the
  // matrix; only rows that are multiplied need a place.
  static RowMatrix View(TensorType type, size_t rows, size_t cols, const uint8_t* const* places,
                        size_t offset, Arithmetic arithmetic);

  RowMatrix() = default;

  // Its shape and type.
  size_t rows() const { return rows_; }
  size_t cols() const { return cols_; }
  TensorType type() const { return type_; }
  bool empty() const { return rows_ == 0; }
  // Bytes that one row takes, and all.
  size_t row_bytes() const { return row_bytes_; }
  size_t bytes() const { return rows_ * row_bytes_; }
  // Of memory that it owns.
  size_t memory_bytes() const { return memory_.size(); }

  // A row's bytes; how it is multiplied.
  const uint8_t* row(size_t r) const {
    return places_ != nullptr ? places_[r] + offset_ : memory_.data() + r * row_bytes_;
  }
  Arithmetic arithmetic() const { return arithmetic_; }

 private:
  size_t rows_ = 0;
  size_t cols_ = 0;
  size_t row_bytes_ = 0;
  TensorType type_ = TensorType::kF32;
  Arithmetic arithmetic_ = Arithmetic::kFast;
  WeightMemory memory_;
  const uint8_t* const* places_ = nullptr;  // of a view
  size_t offset_ = 0;
};

// Some rows of a matrix times some tokens: out[t * out_stride + i] = row ids[i] . x[first_token + t].
struct RowProduct {
  absl::Span<const uint32_t> ids;
  size_t first_token = 0;
  size_t tokens = 1;
  float* out = nullptr;
  size_t out_stride = 0;
};

// Computes the products in one parallel section: the panels of a single one are shared among the threads, of
// several each is computed by one thread, neighbours by the same one where that is even. Each result has the
// bits that MatMul gives for that row of a Matrix with the same arithmetic.
void MatMulRows(ThreadPool& pool, const Activations& x, const RowMatrix& weights,
                absl::Span<const RowProduct> products);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_ROW_MATRIX_H_
