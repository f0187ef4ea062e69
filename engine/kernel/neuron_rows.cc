#include "engine/kernel/neuron_rows.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/kernel/fixed_point.h"
#include "engine/kernel/simd_targets.h"
#include "engine/quant/blocks.h"
#include "engine/quant/types.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/neuron_rows.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// A type that is read directly: Load gives the 32 values of a row from value `at` (a multiple of 32) on.
struct HalfRow {
  static constexpr TensorType kType = TensorType::kF16;
  static HWY_INLINE void Load(const uint8_t* row, size_t at, VF32* out) {
    for (size_t v = 0; v < kPartialVectors; ++v) out[v] = LoadHalf(row + (at + v * kLanes) * 2);
  }
};
struct BFloat16Row {
  static constexpr TensorType kType = TensorType::kBF16;
  static HWY_INLINE void Load(const uint8_t* row, size_t at, VF32* out) {
    for (size_t v = 0; v < kPartialVectors; ++v) out[v] = LoadBFloat16(row + (at + v * kLanes) * 2);
  }
};
struct FloatRow {
  static constexpr TensorType kType = TensorType::kF32;
  static HWY_INLINE void Load(const uint8_t* row, size_t at, VF32* out) {
    for (size_t v = 0; v < kPartialVectors; ++v) out[v] = LoadFloat(row + (at + v * kLanes) * sizeof(float));
  }
};
struct Q8_0Row {
  static constexpr TensorType kType = TensorType::kQ8_0;
  static HWY_INLINE void Load(const uint8_t* row, size_t at, VF32* out) {
    const BlockQ8_0& block = reinterpret_cast<const BlockQ8_0*>(row)[at / 32];
    const VF32 scale = hn::Set(F32(), HalfToFloat(block.scale));
    for (size_t v = 0; v < kPartialVectors; ++v) out[v] = hn::Mul(LoadInt8(block.values + v * kLanes), scale);
  }
};
struct Q4_0Row {
  static constexpr TensorType kType = TensorType::kQ4_0;
  static HWY_INLINE void Load(const uint8_t* row, size_t at, VF32* out) {
    const hn::Rebind<uint8_t, F32> bytes;
    const BlockQ4_0& block = reinterpret_cast<const BlockQ4_0*>(row)[at / 32];
    const VF32 scale = hn::Set(F32(), HalfToFloat(block.scale));
    const VI32 eight = hn::Set(I32(), 8);
    for (size_t v = 0; v < kPartialVectors / 2; ++v) {
      const VI32 pair = hn::PromoteTo(I32(), LoadBytes(bytes, block.nibbles + v * kLanes));
      const VI32 low = hn::Sub(hn::And(pair, hn::Set(I32(), 15)), eight);
      const VI32 high = hn::Sub(hn::ShiftRight<4>(pair), eight);
      out[v] = hn::Mul(hn::ConvertTo(F32(), low), scale);
      out[v + kPartialVectors / 2] = hn::Mul(hn::ConvertTo(F32(), high), scale);
    }
  }
};

// Dequantises up to kChunk values of a row from value `at` on; for the types without a Load and for row ends.
constexpr size_t kChunk = 1024;
HWY_INLINE void DequantizePart(TensorType type, const uint8_t* row, size_t at, size_t count, float* out) {
  const TypeInfo& info = GetTypeInfo(type);
  const size_t bytes = count / info.block_values * info.block_bytes;
  Dequantize(type, absl::MakeConstSpan(row + at / info.block_values * info.block_bytes, bytes), count, out);
}

void DotPart(TensorType type, const uint8_t* row, size_t begin, size_t cols, const float* x, Partials& sums) {
  HWY_ALIGN float values[kChunk];
  for (size_t at = begin; at < cols; at += kChunk) {
    const size_t count = std::min(kChunk, cols - at);
    DequantizePart(type, row, at, count, values);
    AccumulateDot(values, x + at, count, sums);
  }
}

void AccumulatePart(TensorType type, const uint8_t* row, size_t begin, size_t cols, float factor, float* y) {
  HWY_ALIGN float values[kChunk];
  const VF32 f = hn::Set(F32(), factor);
  for (size_t at = begin; at < cols; at += kChunk) {
    const size_t count = std::min(kChunk, cols - at);
    DequantizePart(type, row, at, count, values);
    Transform(values, y + at, count, y + at,
              [f](VF32 w, VF32 sum) HWY_ATTR { return hn::MulAdd(w, f, sum); });
  }
}

template <class Row>
void DotRowsOf(const uint8_t* rows, size_t row_bytes, size_t cols, absl::Span<const uint32_t> ids,
               const float* x, float* out) {
  const size_t whole = cols / kPartials * kPartials;
  for (size_t i = 0; i < ids.size(); ++i) {
    const uint8_t* row = rows + ids[i] * row_bytes;
    Partials sums;
    for (size_t at = 0; at < whole; at += kPartials) {
      VF32 w[kPartialVectors];
      Row::Load(row, at, w);
      for (size_t v = 0; v < kPartialVectors; ++v) {
        sums.v[v] = hn::MulAdd(w[v], hn::LoadU(F32(), x + at + v * kLanes), sums.v[v]);
      }
    }
    DotPart(Row::kType, row, whole, cols, x, sums);
    out[i] = sums.Sum();
  }
}

template <class Row>
void AccumulateRowsOf(const uint8_t* rows, size_t row_bytes, size_t cols, absl::Span<const uint32_t> ids,
                      const float* factors, float* y) {
  const size_t whole = cols / kPartials * kPartials;
  for (size_t i = 0; i < ids.size(); ++i) {
    const uint8_t* row = rows + ids[i] * row_bytes;
    const VF32 factor = hn::Set(F32(), factors[i]);
    for (size_t at = 0; at < whole; at += kPartials) {
      VF32 w[kPartialVectors];
      Row::Load(row, at, w);
      for (size_t v = 0; v < kPartialVectors; ++v) {
        float* sums = y + at + v * kLanes;
        hn::StoreU(hn::MulAdd(w[v], factor, hn::LoadU(F32(), sums)), F32(), sums);
      }
    }
    AccumulatePart(Row::kType, row, whole, cols, factors[i], y);
  }
}

void DotRows(TensorType type, const uint8_t* rows, size_t row_bytes, size_t cols,
             absl::Span<const uint32_t> ids, const float* x, float* out) {
  switch (type) {
    case TensorType::kF32:
      return DotRowsOf<FloatRow>(rows, row_bytes, cols, ids, x, out);
    case TensorType::kF16:
      return DotRowsOf<HalfRow>(rows, row_bytes, cols, ids, x, out);
    case TensorType::kBF16:
      return DotRowsOf<BFloat16Row>(rows, row_bytes, cols, ids, x, out);
    case TensorType::kQ8_0:
      return DotRowsOf<Q8_0Row>(rows, row_bytes, cols, ids, x, out);
    case TensorType::kQ4_0:
      return DotRowsOf<Q4_0Row>(rows, row_bytes, cols, ids, x, out);
    default:
      for (size_t i = 0; i < ids.size(); ++i) {
        Partials sums;
        DotPart(type, rows + ids[i] * row_bytes, 0, cols, x, sums);
        out[i] = sums.Sum();
      }
  }
}

void AccumulateRows(TensorType type, const uint8_t* rows, size_t row_bytes, size_t cols,
                    absl::Span<const uint32_t> ids, const float* factors, float* y) {
  switch (type) {
    case TensorType::kF32:
      return AccumulateRowsOf<FloatRow>(rows, row_bytes, cols, ids, factors, y);
    case TensorType::kF16:
      return AccumulateRowsOf<HalfRow>(rows, row_bytes, cols, ids, factors, y);
    case TensorType::kBF16:
      return AccumulateRowsOf<BFloat16Row>(rows, row_bytes, cols, ids, factors, y);
    case TensorType::kQ8_0:
      return AccumulateRowsOf<Q8_0Row>(rows, row_bytes, cols, ids, factors, y);
    case TensorType::kQ4_0:
      return AccumulateRowsOf<Q4_0Row>(rows, row_bytes, cols, ids, factors, y);
    default:
      for (size_t i = 0; i < ids.size(); ++i) {
        AccumulatePart(type, rows + ids[i] * row_bytes, 0, cols, factors[i], y);
      }
  }
}

void AddToFixedPoint(const float* y, size_t count, int64_t* sums) { AddFixedPoints(y, count, sums); }

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(DotRows);
HWY_EXPORT(AccumulateRows);
HWY_EXPORT(AddToFixedPoint);

void DotRows(TensorType type, const uint8_t* rows, size_t row_bytes, size_t cols,
             absl::Span<const uint32_t> ids, const float* x, float* out) {
  HWY_DYNAMIC_DISPATCH(DotRows)(type, rows, row_bytes, cols, ids, x, out);
}
void AccumulateRows(TensorType type, const uint8_t* rows, size_t row_bytes, size_t cols,
                    absl::Span<const uint32_t> ids, const float* factors, float* y) {
  HWY_DYNAMIC_DISPATCH(AccumulateRows)(type, rows, row_bytes, cols, ids, factors, y);
}

void AddToFixedPoint(const float* y, size_t count, int64_t* sums) {
  HWY_DYNAMIC_DISPATCH(AddToFixedPoint)(y, count, sums);
}
void FixedPointToFloat(const int64_t* sums, size_t count, float* y) {
  for (size_t c = 0; c < count; ++c) y[c] = FromFixedPoint(sums[c]);
}

}  // namespace hearth
#endif  // HWY_ONCE
