#ifndef HEARTH_ENGINE_KERNEL_NEURON_ROWS_H_
#define HEARTH_ENGINE_KERNEL_NEURON_ROWS_H_

#include <cstddef>
#include <cstdint>

#include "absl/types/span.h"
#include "engine/quant/types.h"

namespace hearth {

// Kernels on single rows in the file's layout, for sparse layers where only some neurons are computed. A row
// is `cols` values of `type`. Single-threaded: called inside a parallel section. Activations stay float32.
// Every TensorType works; F32, F16, BF16, Q8_0 and Q4_0 are fast.

// out[i] = sum_c row(ids[i])[c] * x[c]; row r starts at rows + r * row_bytes.
void DotRows(TensorType type, const uint8_t* rows, size_t row_bytes, size_t cols,
             absl::Span<const uint32_t> ids, const float* x, float* out);

// y[c] += sum over i, in order, of factors[i] * row(ids[i])[c].
void AccumulateRows(TensorType type, const uint8_t* rows, size_t row_bytes, size_t cols,
                    absl::Span<const uint32_t> ids, const float* factors, float* y);

// sums[c] += fixed(y[c]) for c < count.
void AddToFixedPoint(const float* y, size_t count, int64_t* sums);
// y[c] = float(sums[c]).
void FixedPointToFloat(const int64_t* sums, size_t count, float* y);

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_NEURON_ROWS_H_
