#ifndef HEARTH_ENGINE_KERNEL_DOWN_ROWS_H_
#define HEARTH_ENGINE_KERNEL_DOWN_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/weight_memory.h"
#include "engine/quant/types.h"

namespace hearth {

// Neurons of one row of activations that fire, and their hidden values, in the form that DownRows wants.
struct FiringNeurons {
  absl::Span<const uint32_t> ids;  // rising
  const float* values;             // (ids)
  const float* scales;             // (ids), of rounded values only
  size_t following = 0;            // ids behind the last one, whose rows are wanted next
};

// How DownRows wants a row of a matrix stored by neuron: as the file has it, but where its codes are summed
// the scales of all its runs of 32 outputs come first, then the codes. Thread-safe.
class DownRowForm {
 public:
  // The sizes must fit (CHECK of RowBytes elsewhere).
  DownRowForm(TensorType type, size_t n_embd, Arithmetic arithmetic);

  // Bytes of a row, in the file and here.
  size_t bytes() const { return bytes_; }
  // Whether its codes are summed; if not, both are the same.
  bool sums_codes() const { return sums_codes_; }
  bool is_files() const { return !sums_codes_; }
  void Write(const uint8_t* row, uint8_t* out) const;

 private:
  const TensorType type_;
  const size_t bytes_;
  const bool sums_codes_;
};

// The matrix `down` by neuron: row i is what neuron i adds to the output, and rows of neurons that do not
// fire are not read. Immutable and thread-safe after construction. Movable.
//
// Files of PowerInfer store it so; a group's sum is then a float32 chain in the order of its neurons. In fast
// arithmetic rows of Q8_0 and Q4_0 are summed as integers instead: hidden value times scale is rounded to 16
// bits, by one measure for the group's neurons (256 neighbours at most) in each run of 32 outputs.
// Standard files store it by output, and one neuron is a column: turning makes it a row, without loss. F32,
// F16 and BF16 move value by value. Q8_0 and Q4_0 keep their codes in the rows and, beside them, the scales
// that 32 neighbouring neurons share for one output; hidden values are rounded to 8-bit codes in the same
// runs of 32, so that a run's sum is the exact integer that the dense product has, and sums over runs follow
// the same order: a turned matrix gives the bits of MatMulFixedPoint.
class DownRows {
 public:
  // Of a matrix stored by output, whose rows (outputs) `read` gives; TurnedRows::Has (CHECK), and `neurons`
  // are whole blocks. RESOURCE_EXHAUSTED without memory.
  static absl::StatusOr<DownRows> Turn(TensorType type, size_t n_embd, size_t neurons, Matrix::RowReader read,
                                       ThreadPool& pool);
  // Of a matrix stored by neuron, whose rows `read` gives. The same error.
  static absl::StatusOr<DownRows> ByNeuron(TensorType type, size_t neurons, size_t n_embd,
                                           Matrix::RowReader read, ThreadPool& pool,
                                           Arithmetic arithmetic = Arithmetic::kFast);

  // Rows that lie elsewhere: neuron i's at places[i] + offset. `places` outlives the matrix; only rows of
  // neurons that fire need a place. Of a matrix stored by neuron, in the form of DownRowForm ...
  static DownRows ViewByNeuron(TensorType type, size_t neurons, size_t n_embd, const uint8_t* const* places,
                               size_t offset, Arithmetic arithmetic);
  // ... else turned (TurnedRows) with their `scales`, (neurons / 32, n_embd), where they share some.
  static DownRows ViewTurned(TensorType type, size_t neurons, size_t n_embd, const uint8_t* const* places,
                             size_t offset, WeightMemory scales);

  DownRows() = default;

  // Its size.
  bool empty() const { return neurons_ == 0; }
  size_t n_embd() const { return n_embd_; }
  uint64_t bytes() const { return neurons_ * row_bytes_ + scales_.size(); }
  // Of memory that it owns.
  uint64_t memory_bytes() const { return rows_.size() + scales_.size(); }
  // Bytes that one Accumulate over all columns reads.
  uint64_t BytesOf(absl::Span<const uint32_t> ids) const;

  // Rounds the values of ids (rising) as the products want them; scales, (ids), are written where that is so.
  void Round(absl::Span<const uint32_t> ids, float* values, float* scales) const;

  // The columns that a call of Accumulate may begin and end with: multiples of this, and n_embd.
  static constexpr size_t kColumnStep = 256;
  // sums[c] += fixed(sum over the neurons) for the columns [begin, end), for neurons of one group, which
  // starts at group_begin. `buffer` holds n_embd values.
  void Accumulate(const FiringNeurons& firing, uint32_t group_begin, size_t begin, size_t end, float* buffer,
                  int64_t* sums) const;

 private:
  friend struct DownKernel;
  enum class Kind { kByNeuron, kCodesByNeuron, kTurnedValues, kTurnedCodes };

  Kind kind_ = Kind::kByNeuron;
  TensorType type_ = TensorType::kF32;
  size_t neurons_ = 0;
  size_t n_embd_ = 0;
  size_t row_bytes_ = 0;
  WeightMemory rows_;                       // (neurons, n_embd)
  const uint8_t* const* places_ = nullptr;  // of a view
  size_t offset_ = 0;
  WeightMemory scales_;  // (neurons / 32, n_embd), half precision: of codes
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_DOWN_ROWS_H_
