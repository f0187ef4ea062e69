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

// One unit of one row: codes, scale and sums.
HWY_INLINE void QuantizeUnit(const float* values, size_t row, size_t number, Activations::Blocks& blocks) {
  const size_t unit = number * blocks.rows + row;
  const F32 d;
  constexpr size_t kVectors = kUnitCols / kLanes, kHalfVectors = kVectors / 2;
  // As integers the magnitudes compare as they do as floats, and a NaN is larger than everything: it becomes
  // the scale and thus the result.
  VI32 largest = hn::Zero(I32());
  for (size_t v = 0; v < kVectors; ++v) {
    const VI32 bits = hn::BitCast(I32(), hn::LoadU(d, values + v * kLanes));
    largest = hn::Max(largest, hn::And(bits, hn::Set(I32(), 0x7fffffff)));
  }
  const float magnitude = std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(I32(), largest)));
  const VF32 inverse = hn::Set(d, magnitude > 0 ? 127.0f / magnitude : 0.0f);
  const float scale = magnitude / 127.0f;
  const hn::Rebind<int8_t, I32> bytes;
  int8_t* codes = blocks.codes.data() + unit * kUnitCols;
  int32_t halves[2];
  for (size_t half = 0; half < 2; ++half) {
    VI32 sum = hn::Zero(I32());
    for (size_t v = half * kHalfVectors; v < (half + 1) * kHalfVectors; ++v) {
      const VI32 code = hn::NearestInt(hn::Mul(hn::LoadU(d, values + v * kLanes), inverse));
      hn::StoreU(hn::DemoteTo(bytes, code), bytes, codes + v * kLanes);
      sum = hn::Add(sum, code);
    }
    halves[half] = hn::GetLane(hn::SumOfLanes(I32(), sum));
  }
  const int32_t sum = halves[0] + halves[1];
  blocks.scales.data()[unit] = scale;
  blocks.minus_sums.data()[unit] = -sum;
  blocks.scaled_sums.data()[unit] = scale * static_cast<float>(sum);
  for (size_t half = 0; half < 2; ++half) {
    const size_t at = (2 * number + half) * blocks.rows + row;
    blocks.minus_halves.data()[at] = -halves[half];
    blocks.scaled_halves.data()[at] = scale * static_cast<float>(halves[half]);
  }
}

// Rows [begin, end) of x.
void QuantizeRows(const Activations& x, size_t begin, size_t end, Activations::Blocks& blocks) {
  const size_t whole = x.cols() / kUnitCols;
  for (size_t row = begin; row < end; ++row) {
    for (size_t u = 0; u < whole; ++u) QuantizeUnit(x.row(row) + u * kUnitCols, row, u, blocks);
    if (whole == blocks.units) continue;
    float rest[kUnitCols] = {};
    std::copy(x.row(row) + whole * kUnitCols, x.row(row) + x.cols(), rest);
    QuantizeUnit(rest, row, whole, blocks);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(QuantizeRows);

Activations::Activations() : blocks_(std::make_unique<Blocks>()) {}
Activations::~Activations() = default;
Activations::Activations(Activations&&) noexcept = default;
Activations& Activations::operator=(Activations&&) noexcept = default;

void Activations::Set(const float* values, size_t rows, size_t cols, size_t stride) {
  values_ = values;
  rows_ = rows;
  cols_ = cols;
  stride_ = stride;
  quantized_ = false;
}

const Activations::Blocks& Activations::Quantized(ThreadPool& pool) const {
  if (quantized_) return *blocks_;
  Blocks& blocks = *blocks_;
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
    HWY_DYNAMIC_DISPATCH(QuantizeRows)(*this, begin, end, blocks);
  });
  quantized_ = true;
  return blocks;
}

}  // namespace hearth
#endif  // HWY_ONCE
