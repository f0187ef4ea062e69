#ifndef HEARTH_ENGINE_KERNEL_TURNED_ROWS_H_
#define HEARTH_ENGINE_KERNEL_TURNED_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "absl/functional/function_ref.h"
#include "engine/quant/types.h"

namespace hearth {

// How a matrix `down` that a file stores by output, (n_embd, neurons), looks by neuron, without loss: what
// one neuron has of it is one run of bytes. F32, F16 and BF16 move value by value. Q8_0 and Q4_0 keep their
// codes in the neuron's row, in runs of 32 outputs (32 bytes; 16 bytes of which byte i holds code i below
// code 16 + i), and beside the rows, for every 32 neighbouring neurons, the scale that they share for each
// output.
class TurnedRows {
 public:
  // Neurons that share scales, and outputs of a run.
  static constexpr size_t kUnit = 32;

  // Whether there is such a form.
  static bool Has(TensorType type, size_t n_embd);
  TurnedRows(TensorType type, size_t n_embd);  // Has (CHECK)

  // Bytes of a neuron's row.
  size_t row_bytes() const { return row_bytes_; }
  // Bytes of the scales of one unit of neurons, half precision, (n_embd); 0 where values stand alone.
  size_t scale_bytes() const { return values_ ? 0 : n_embd_ * sizeof(uint16_t); }

  // Where rows and scales of `neurons` neurons, whole units where they share scales, are: row i at
  // rows + i * row_stride.
  struct Place {
    size_t neurons = 0;
    uint8_t* rows = nullptr;
    size_t row_stride = 0;
    uint8_t* scales = nullptr;
  };
  // Puts outputs [first, first + count) of the file, `from`, one after another, into rows, which were zero,
  // and scales. `first` begins a run.
  void Turn(const uint8_t* from, size_t first, size_t count, const Place& to) const;

  // The way back: outputs [first, first + count) of neurons whose rows `row` gives, as a file has them,
  // out_stride bytes apart.
  using RowOf = absl::FunctionRef<const uint8_t*(size_t neuron)>;
  using ScalesOf = absl::FunctionRef<const uint8_t*(size_t unit)>;
  void TurnBack(RowOf row, ScalesOf scales, size_t neurons, size_t first, size_t count, uint8_t* out,
                size_t out_stride) const;

 private:
  const TensorType type_;
  const size_t n_embd_;
  const bool values_;  // no blocks
  size_t run_bytes_ = 0;
  size_t row_bytes_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_TURNED_ROWS_H_
