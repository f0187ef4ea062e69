#ifndef HEARTH_ENGINE_KERNEL_MATRIX_H_
#define HEARTH_ENGINE_KERNEL_MATRIX_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/quant/types.h"

namespace hearth {

// How products round the activations. kFloat32 multiplies dequantised weights with float32 activations: slow,
// and as close to the exact result as float32 gets. kFast lets quantised weights multiply activations in
// 8-bit blocks as long as their own: 256 values for super-blocks, else 32, which is how llama.cpp rounds too
// (F32, F16 and BF16 weights keep float32 activations).
enum class Arithmetic { kFast, kFloat32 };

// With kFast: how many columns of the activations share a scale, for weights of a quantised type.
inline size_t ActivationBlock(TensorType type) {
  return std::max<size_t>(32, GetTypeInfo(type).block_values);
}

// A weight matrix W, (rows, cols), in the layout its kernel wants. It either owns packed weights (about as
// many bytes as the file has for them) or borrows the bytes it was made from, where the kernel reads the
// file's layout as it is (owns_memory() tells: borrowed bytes must outlive the matrix, packed-from bytes may
// be released). Immutable and thread-safe after construction. Movable.
class Matrix {
 public:
  // `blocks`: row-major rows of `type`, exactly rows * RowBytes(type, cols) bytes (INVALID_ARGUMENT
  // otherwise).
  static absl::StatusOr<Matrix> Pack(TensorType type, size_t rows, size_t cols,
                                     absl::Span<const uint8_t> blocks, ThreadPool& pool,
                                     Arithmetic arithmetic = Arithmetic::kFast);

  // Copies rows [first, first + count), as the file has them, one after another to `out`. Called by several
  // threads at a time.
  using RowReader = absl::FunctionRef<void(size_t first, size_t count, uint8_t* out)>;
  // As Pack, of rows that need not lie anywhere in one piece; the matrix owns its memory. INVALID_ARGUMENT
  // when `type` has no rows of cols values.
  static absl::StatusOr<Matrix> PackRows(TensorType type, size_t rows, size_t cols, RowReader read,
                                         ThreadPool& pool, Arithmetic arithmetic = Arithmetic::kFast);

  // The packed rows of `piece` `times` times, one below the other: as large as one likes, soon made. `piece`
  // has whole groups of panels (kGroupPanels * kPanelRows rows).
  static absl::StatusOr<Matrix> Repeat(const Matrix& piece, size_t times, ThreadPool& pool);

  // Rows that stay where they are, as they are, to be read by whoever packs them in another way
  // (borrowed_rows): no kernel multiplies such a matrix. `blocks` as for Pack.
  static absl::StatusOr<Matrix> Borrow(TensorType type, size_t rows, size_t cols,
                                       absl::Span<const uint8_t> blocks);

  Matrix();
  Matrix(Matrix&&) noexcept;
  Matrix& operator=(Matrix&&) noexcept;
  ~Matrix();

  // Its shape.
  size_t rows() const { return rows_; }
  size_t cols() const { return cols_; }
  TensorType type() const { return type_; }
  bool empty() const { return rows_ == 0; }
  bool owns_memory() const;
  // The rows that it borrows, one after another; null where it does not.
  const uint8_t* borrowed_rows() const;
  // Bytes that one product with a single row of activations reads.
  size_t bytes() const;

  struct Storage;  // the layout; known to the kernels only
  // For kernels.
  const Storage& storage() const { return *storage_; }

 private:
  Matrix(TensorType type, size_t rows, size_t cols);

  size_t rows_ = 0;
  size_t cols_ = 0;
  TensorType type_ = TensorType::kF32;
  std::unique_ptr<Storage> storage_;
};

// The activations of a batch, X (rows, cols): borrowed float32 plus, made when first needed, the 8-bit blocks
// of integer kernels, so that several products with the same X convert it once. Reusable; its buffers only
// grow. Not thread-safe.
class Activations {
 public:
  Activations();
  ~Activations();
  Activations(Activations&&) noexcept;
  Activations& operator=(Activations&&) noexcept;

  // Borrows values, row t at values + t * stride, until the next Set.
  void Set(const float* values, size_t rows, size_t cols, size_t stride);

  // A row's values, the shape, and the distance of rows.
  const float* row(size_t t) const { return values_ + t * stride_; }
  // Its shape.
  size_t rows() const { return rows_; }
  size_t cols() const { return cols_; }
  size_t stride() const { return stride_; }

  struct Blocks;  // the 8-bit form; known to the kernels only
  // Makes the 8-bit form with a scale per block_cols (32 or 256) columns if it is not there yet (cols is
  // padded with zeros to a multiple of 32).
  const Blocks& Quantized(ThreadPool& pool, size_t block_cols) const;
  // What the 8-bit form stands for, as float32: (rows, cols) without gaps.
  const float* Rounded(ThreadPool& pool, size_t block_cols) const;

 private:
  Blocks& MakeBlocks(ThreadPool& pool, size_t block_cols) const;

  const float* values_ = nullptr;
  size_t rows_ = 0;
  size_t cols_ = 0;
  size_t stride_ = 0;
  std::unique_ptr<Blocks> small_blocks_;
  std::unique_ptr<Blocks> large_blocks_;
};

// One product of a fused call: out (x.rows, weights->rows), row t at out + t * out_stride.
struct Product {
  const Matrix* weights;
  float* out;
  size_t out_stride;
};

// out[t][r] = sum_c W[r][c] * X[t][c] for every product, one parallel section for all. All have X's cols
// (CHECK). Each result is the same bits whatever the number of threads, of rows of X and of other products in
// the call.
void MatMul(ThreadPool& pool, const Activations& x, absl::Span<const Product> products);

// sums[t * sums_stride + r] += sum over g of fixed(sum over c in group g of W[r][c] * X[t][c]) in fixed point
// (see fixed_point.h). Group g holds the columns [group_ends[g-1], group_ends[g]); the ends are multiples of
// the type's block (CHECK), the last is cols. Same promise on bits.
void MatMulFixedPoint(ThreadPool& pool, const Activations& x, const Matrix& weights,
                      absl::Span<const uint32_t> group_ends, int64_t* sums, size_t sums_stride);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_MATRIX_H_
