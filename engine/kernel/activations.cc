#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "engine/kernel/matrix.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/activations.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

constexpr size_t kUnitVectors = kUnitCols / kLanes;

// The largest magnitude of `count` values, a whole number of units. As integers the magnitudes compare as
// they do as floats, and a NaN is larger than everything: it becomes the scale and thus the result.
HWY_INLINE float LargestMagnitude(const float* values, size_t count) {
  VI32 largest = hn::Zero(I32());
  for (size_t i = 0; i < count; i += kLanes) {
    const VI32 bits = hn::BitCast(I32(), hn::LoadU(F32(), values + i));
    largest = hn::Max(largest, hn::And(bits, hn::Set(I32(), 0x7fffffff)));
  }
  return std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(I32(), largest)));
}

// One unit of one row, in a block whose largest magnitude is given: codes, scale and sums.
HWY_INLINE void QuantizeUnit(const float* values, float magnitude, size_t row, size_t number,
                             Activations::Blocks& blocks) {
  const size_t unit = number * blocks.rows + row;
  const F32 d;
  const VF32 inverse = hn::Set(d, magnitude > 0 ? 127.0f / magnitude : 0.0f);
  const float scale = magnitude / 127.0f;
  const hn::Rebind<int8_t, I32> bytes;
  int8_t* codes = blocks.codes.data() + unit * kUnitCols;
  uint32_t halves[2];  // not finite values give codes whose sums wrap
  for (size_t half = 0; half < 2; ++half) {
    VI32 sum = hn::Zero(I32());
    for (size_t v = half * kUnitVectors / 2; v < (half + 1) * kUnitVectors / 2; ++v) {
      const VI32 code = hn::NearestInt(hn::Mul(hn::LoadU(d, values + v * kLanes), inverse));
      hn::StoreU(hn::DemoteTo(bytes, code), bytes, codes + v * kLanes);
      sum = hn::Add(sum, code);
    }
    halves[half] = static_cast<uint32_t>(hn::GetLane(hn::SumOfLanes(I32(), sum)));
  }
  const uint32_t sum = halves[0] + halves[1];
  blocks.scales.data()[unit] = scale;
  blocks.minus_sums.data()[unit] = static_cast<int32_t>(0 - sum);
  blocks.scaled_sums.data()[unit] = scale * static_cast<float>(static_cast<int32_t>(sum));
  for (size_t half = 0; half < 2; ++half) {
    const size_t at = (2 * number + half) * blocks.rows + row;
    blocks.minus_halves.data()[at] = static_cast<int32_t>(0 - halves[half]);
    blocks.scaled_halves.data()[at] = scale * static_cast<float>(static_cast<int32_t>(halves[half]));
  }
}

// Rows [begin, end) of x, with a scale per block_cols columns.
void QuantizeRows(const Activations& x, size_t block_cols, size_t begin, size_t end,
                  Activations::Blocks& blocks) {
  HWY_ALIGN float last[kStripCols];  // a block that is not full, with zeros
  for (size_t row = begin; row < end; ++row) {
    for (size_t column = 0; column < x.cols(); column += block_cols) {
      const float* values = x.row(row) + column;
      size_t count = std::min(block_cols, x.cols() - column);
      if (count < block_cols) {
        std::fill(std::copy_n(values, count, last), last + block_cols, 0.0f);
        values = last;
        count = (count + kUnitCols - 1) / kUnitCols * kUnitCols;
      }
      const float magnitude = LargestMagnitude(values, count);
      for (size_t i = 0; i < count; i += kUnitCols) {
        QuantizeUnit(values + i, magnitude, row, (column + i) / kUnitCols, blocks);
      }
    }
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(QuantizeRows);

Activations::Activations()
    : small_blocks_(std::make_unique<Blocks>()), large_blocks_(std::make_unique<Blocks>()) {}
Activations::~Activations() = default;
Activations::Activations(Activations&&) noexcept = default;
Activations& Activations::operator=(Activations&&) noexcept = default;

void Activations::Set(const float* values, size_t rows, size_t cols, size_t stride) {
  values_ = values;
  rows_ = rows;
  cols_ = cols;
  stride_ = stride;
  for (Blocks* blocks : {small_blocks_.get(), large_blocks_.get()})
    blocks->made = blocks->rounded_made = false;
}

const Activations::Blocks& Activations::Quantized(ThreadPool& pool, size_t block_cols) const {
  return MakeBlocks(pool, block_cols);
}

Activations::Blocks& Activations::MakeBlocks(ThreadPool& pool, size_t block_cols) const {
  Blocks& blocks = block_cols == kUnitCols ? *small_blocks_ : *large_blocks_;
  if (blocks.made) return blocks;
  blocks.rows = rows_;
  blocks.units = cols_ / kUnitCols + (cols_ % kUnitCols != 0);
  const size_t units = rows_ * blocks.units;
  // Kernels that take 16 rows at a time may read past the last row.
  const size_t padded = units + kPanelRows;
  blocks.codes.Reserve(padded * kUnitCols);
  blocks.scales.Reserve(padded);
  blocks.minus_sums.Reserve(padded);
  blocks.minus_halves.Reserve(2 * padded);
  blocks.scaled_sums.Reserve(padded);
  blocks.scaled_halves.Reserve(2 * padded);
  // A few rows are done before other threads would have started.
  constexpr size_t kRowsPerPiece = 4;
  pool.ParallelFor(rows_, kRowsPerPiece, [&](size_t begin, size_t end, int) {
    HWY_DYNAMIC_DISPATCH(QuantizeRows)(*this, block_cols, begin, end, blocks);
  });
  blocks.made = true;
  return blocks;
}

const float* Activations::Rounded(ThreadPool& pool, size_t block_cols) const {
  Blocks& blocks = MakeBlocks(pool, block_cols);
  if (blocks.rounded_made) return blocks.rounded.data();
  float* out = blocks.rounded.Reserve(rows_ * cols_);
  for (size_t row = 0; row < rows_; ++row) {
    for (size_t column = 0; column < cols_; ++column) {
      const size_t unit = column / kUnitCols * rows_ + row;
      const int8_t code = blocks.codes.data()[unit * kUnitCols + column % kUnitCols];
      out[row * cols_ + column] = blocks.scales.data()[unit] * static_cast<float>(code);
    }
  }
  blocks.rounded_made = true;
  return out;
}

}  // namespace hearth
#endif  // HWY_ONCE
