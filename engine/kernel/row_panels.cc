// Products of single rows with activations, 16 rows at a time. For one token the codes of formats that allow
// it are multiplied as they lie, and only the integer sums are laid side by side (row_dots-inl.h); else the
// rows' lanes are interleaved in the L1 cache to what a panel of the matrix kernels looks like.
//
// Every tenth row of 2304 bytes, one core of a Zen 4 (20 to 26 GB/s in sequence): read row after row 8.2
// GB/s; sixteen rows side by side, 64 bytes each, 15; with the next sixteen asked for row after row into
// L1 8.5, side by side into L1 11.6, into L2 15.5. In a 7B model with 10 % of the neurons (expected: rows in
// half of their time) rows took 0.58 of the time of attention before and 0.26 since then. Codes multiplied as
// they lie (expected: half of the instructions, a quarter less time): Q4_0 16.6 instead of 14.5 GB/s,
// Q4_K 14.3 instead of 12.4, Q8_0 no change; four rows after four rows instead, which pays where nothing else
// is done, 10 to 12: their scales, taken of sixteen rows afterwards, ask for no memory meanwhile.

#include "engine/kernel/row_panels.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernel/matrix_tiles.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/quant_pack.h"
#include "engine/kernel/simd_targets.h"
#include "engine/quant/types.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/row_panels.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/float_tile-inl.h"
#include "engine/kernel/quant_methods-inl.h"
#include "engine/kernel/row_dots-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// The rows of one panel, and those of the next one, whose memory is asked for meanwhile. A panel that is not
// full repeats its last row.
struct PanelRows {
  const uint8_t* rows[kPanelRows];
  const uint8_t* next[kPanelRows];
  size_t count;
  TensorType type;
  size_t row_bytes;

  PanelRows(const RowTask& task, size_t panel)
      : count(std::min(kPanelRows, task.product.ids.size() - panel * kPanelRows)),
        type(task.weights->type()),
        row_bytes(task.weights->row_bytes()) {
    const absl::Span<const uint32_t> ids = task.product.ids;
    for (size_t r = 0; r < kPanelRows; ++r) {
      const size_t i = panel * kPanelRows + r;
      rows[r] = task.weights->row(ids[std::min(i, ids.size() - 1)]);
      next[r] = task.weights->row(ids[std::min(i + kPanelRows, ids.size() - 1)]);
    }
  }

  // Asks for the share `step` of `steps` of the next rows, for the L2 cache: a line of each in turn, since
  // prefetchers follow sixteen rows that are read side by side better than one after the other.
  HWY_INLINE void PrefetchNext(size_t step, size_t steps) const {
    const size_t lines = (row_bytes + kCacheLine - 1) / kCacheLine;
    for (size_t line = lines * step / steps; line < lines * (step + 1) / steps; ++line) {
      Repeat<kPanelRows>([&](auto r) HEARTH_INLINE_LAMBDA {
        __builtin_prefetch(next[r] + line * kCacheLine, /*rw=*/0, /*locality=*/2);
      });
    }
  }
};

// out[i][r] = numbers i of row r, from `offset` bytes on, for `count` numbers of Width bytes.
template <size_t kWidth>
HWY_INLINE void InterleaveScalar(const PanelRows& panel, size_t offset, size_t begin, size_t count,
                                 uint8_t* out) {
  for (size_t i = begin; i < count; ++i) {
    for (size_t r = 0; r < kPanelRows; ++r) {
      std::memcpy(out + (i * kPanelRows + r) * kWidth, panel.rows[r] + offset + i * kWidth, kWidth);
    }
  }
}

#if HWY_TARGET == HWY_SCALAR
HWY_INLINE size_t InterleaveWords(const PanelRows&, size_t, size_t, uint8_t*) { return 0; }
HWY_INLINE size_t InterleaveHalves(const PanelRows&, size_t, size_t, uint8_t*) { return 0; }
#else
// Numbers of four bytes, as many as go together; returns how many that were.
HWY_INLINE size_t InterleaveWords(const PanelRows& panel, size_t offset, size_t count, uint8_t* out) {
  const hn::FixedTag<uint32_t, 4> d;
  const hn::FixedTag<uint64_t, 2> pairs;
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t r = 0; r < kPanelRows; r += 4) {
      const auto load = [&](size_t row) HEARTH_INLINE_LAMBDA {
        return LoadBytes(d, panel.rows[r + row] + offset + i * 4);
      };
      const auto a = load(0), b = load(1), c = load(2), e = load(3);
      const auto ab_low = hn::BitCast(pairs, hn::InterleaveLower(d, a, b));
      const auto ab_high = hn::BitCast(pairs, hn::InterleaveUpper(d, a, b));
      const auto ce_low = hn::BitCast(pairs, hn::InterleaveLower(d, c, e));
      const auto ce_high = hn::BitCast(pairs, hn::InterleaveUpper(d, c, e));
      const auto store = [&](size_t number, auto v) HEARTH_INLINE_LAMBDA {
        hn::StoreU(hn::BitCast(d, v), d,
                   reinterpret_cast<uint32_t*>(out + (i + number) * 4 * kPanelRows) + r);
      };
      store(0, hn::InterleaveLower(pairs, ab_low, ce_low));
      store(1, hn::InterleaveUpper(pairs, ab_low, ce_low));
      store(2, hn::InterleaveLower(pairs, ab_high, ce_high));
      store(3, hn::InterleaveUpper(pairs, ab_high, ce_high));
    }
  }
  return i;
}

// Numbers of two bytes: eight at a time, of eight rows.
HWY_INLINE size_t InterleaveHalves(const PanelRows& panel, size_t offset, size_t count, uint8_t* out) {
  const hn::FixedTag<uint16_t, 8> d;
  const hn::FixedTag<uint32_t, 4> words;
  const hn::FixedTag<uint64_t, 2> pairs;
  size_t i = 0;
  for (; i + 8 <= count; i += 8) {
    for (size_t r = 0; r < kPanelRows; r += 8) {
      const auto load = [&](size_t row) HEARTH_INLINE_LAMBDA {
        return LoadBytes(d, panel.rows[r + row] + offset + i * 2);
      };
      using V = hn::Vec<decltype(d)>;
      V v[8];
      Repeat<8>([&](auto row) HEARTH_INLINE_LAMBDA { v[row] = load(row); });
      // Rows two by two, then four by four, then all eight.
      V two[8], four[8];
      Repeat<4>([&](auto n) HEARTH_INLINE_LAMBDA {
        two[2 * n] = hn::InterleaveLower(d, v[2 * n], v[2 * n + 1]);
        two[2 * n + 1] = hn::InterleaveUpper(d, v[2 * n], v[2 * n + 1]);
      });
      Repeat<2>([&](auto n) HEARTH_INLINE_LAMBDA {
        Repeat<2>([&](auto half) HEARTH_INLINE_LAMBDA {
          const auto a = hn::BitCast(words, two[4 * n + half]), b = hn::BitCast(words, two[4 * n + 2 + half]);
          four[4 * n + 2 * half] = hn::BitCast(d, hn::InterleaveLower(words, a, b));
          four[4 * n + 2 * half + 1] = hn::BitCast(d, hn::InterleaveUpper(words, a, b));
        });
      });
      Repeat<4>([&](auto n) HEARTH_INLINE_LAMBDA {
        const auto a = hn::BitCast(pairs, four[n]), b = hn::BitCast(pairs, four[4 + n]);
        auto* to = reinterpret_cast<uint16_t*>(out + (i + 2 * n) * 2 * kPanelRows) + r;
        hn::StoreU(hn::BitCast(d, hn::InterleaveLower(pairs, a, b)), d, to);
        hn::StoreU(hn::BitCast(d, hn::InterleaveUpper(pairs, a, b)), d, to + kPanelRows);
      });
    }
  }
  return i;
}
#endif

HWY_INLINE void Interleave(const PanelRows& panel, size_t offset, StripField field, uint8_t* out) {
  switch (field.width) {
    case 4:
      return InterleaveScalar<4>(panel, offset, InterleaveWords(panel, offset, field.count, out), field.count,
                                 out);
    case 2:
      return InterleaveScalar<2>(panel, offset, InterleaveHalves(panel, offset, field.count, out),
                                 field.count, out);
    default:
      return InterleaveScalar<1>(panel, offset, 0, field.count, out);
  }
}

void StoreResults(const RowProduct& product, size_t panel, size_t count, size_t first, size_t tokens,
                  const float* totals) {
  for (size_t t = 0; t < tokens; ++t) {
    std::copy_n(totals + t * kPanelRows, count,
                product.out + (first + t) * product.out_stride + panel * kPanelRows);
  }
}

// One panel of quantised rows for tokens [first, first + tokens) of the product.
template <class Format, class Method>
void MultiplyQuantRows(const RowTask& task, size_t panel, size_t first, size_t tokens, Method& method) {
  constexpr size_t kStripBytes = kStripUnits * (Format::kScaleBytes + Format::kCodeBytes);
  HWY_ALIGN uint8_t strip[kStripBytes];
  HWY_ALIGN float totals[kTokenTile * kPanelRows];
  const PanelRows rows(task, panel);
  const size_t units = task.weights->cols() / kUnitCols;
  const size_t strips = (units + kStripUnits - 1) / kStripUnits;
  std::fill_n(totals, Method::Padded(tokens) * kPanelRows, 0.0f);
  size_t offset = 0;
  for (size_t s = 0; s < strips; ++s) {
    const size_t first_unit = s * kStripUnits, count = std::min(kStripUnits, units - first_unit);
    rows.PrefetchNext(s, strips);
    uint8_t* out = strip;
    for (const StripField& field : StripFieldsOf(task.weights->type(), count)) {
      Interleave(rows, offset, field, out);
      offset += field.width * field.count;
      out += field.width * field.count * kPanelRows;
    }
    const Strip packed = {.packed = strip, .next = strip, .units = count, .first_unit = first_unit};
    method.Prepare(packed);
    method.Multiply({*task.blocks, task.product.first_token + first, tokens}, packed, 0, count, totals);
  }
  StoreResults(task.product, panel, rows.count, first, tokens, totals);
}

#if HWY_TARGET != HWY_SCALAR
// Of a strip of `units` units everything but its codes.
template <class Format>
HWY_INLINE void InterleaveScales(const PanelRows& panel, size_t offset, size_t units, uint8_t* out) {
  const size_t end = offset + units * Format::kScaleBytes / kPanelRows;
  for (const StripField& field : StripFieldsOf(panel.type, units)) {
    if (offset == end) break;
    Interleave(panel, offset, field, out);
    offset += field.width * field.count;
    out += field.width * field.count * kPanelRows;
  }
}

// The panels [begin, end) for the product's only token.
template <class Format>
void DotQuantRows(const RowTask& task, size_t begin, size_t end) {
  using Dots = RowDots<Format>;
  constexpr size_t kUnitScaleBytes = Format::kScaleBytes / kPanelRows;
  const size_t units = task.weights->cols() / kUnitCols, token = task.product.first_token;
  const size_t strips = (units + kStripUnits - 1) / kStripUnits;
  static thread_local Scratch<int8_t> arranged;
  const int8_t* const x = Dots::Arrange(*task.blocks, token, units, arranged.Reserve(units * kUnitCols));
  VectorMethod<Format> method;
  HWY_ALIGN uint8_t scales[kStripUnits * Format::kScaleBytes];
  HWY_ALIGN int32_t sums[kStripUnits * Dots::kUnitBlocks * kPanelRows];
  HWY_ALIGN float totals[kPanelRows];
  for (size_t panel = begin; panel < end; ++panel) {
    const PanelRows rows(task, panel);
    std::fill_n(totals, kPanelRows, 0.0f);
    size_t offset = 0;
    for (size_t s = 0; s < strips; ++s) {
      const size_t first_unit = s * kStripUnits, count = std::min(kStripUnits, units - first_unit);
      rows.PrefetchNext(s, strips);
      const size_t codes = offset + count * kUnitScaleBytes, code_bytes = count * Dots::kUnitBytes;
      for (size_t row = 0; row < kPanelRows; row += 4) {
        const uint8_t* const four[] = {rows.rows[row] + codes, rows.rows[row + 1] + codes,
                                       rows.rows[row + 2] + codes, rows.rows[row + 3] + codes};
        Dots::Multiply(four, code_bytes, x + first_unit * Dots::kUnitBytes, units * Dots::kUnitBytes,
                       sums + row);
      }
      InterleaveScales<Format>(rows, offset, count, scales);
      method.Prepare({.packed = scales, .next = scales, .units = count, .first_unit = first_unit});
      method.template AddSums<Dots::kUnitBlocks>(*task.blocks, token, first_unit, count, sums, totals);
      offset = codes + code_bytes;
    }
    StoreResults(task.product, panel, rows.count, 0, 1, totals);
  }
}
#endif

template <class Format>
void MultiplyQuantPanelsOfRows(const RowTask& task, size_t begin, size_t end) {
  const size_t all = task.product.tokens;
#if HWY_TARGET != HWY_SCALAR
  if constexpr (HasRowCodes<Format>) {
    if (all == 1 && RowDots<Format>::Fits(task.weights->cols() / kUnitCols))
      return DotQuantRows<Format>(task, begin, end);
  }
#endif
  for (size_t panel = begin; panel < end; ++panel) {
    for (size_t first = 0; first < all; first += kTokenTile) {
      const size_t tokens = std::min(kTokenTile, all - first);
#if HWY_TARGET == HWY_AVX3_DL
      if (tokens >= kFewestTileTokens && HasMatrixTiles()) {
        TileMethod<Format> method;
        MultiplyQuantRows<Format>(task, panel, first, tokens, method);
        continue;
      }
#endif
      VectorMethod<Format> method;
      MultiplyQuantRows<Format>(task, panel, first, tokens, method);
    }
  }
}

// A piece of a panel's columns as float panels have it: of rows of floats as they are ...
template <class Weight>
class FloatPiece {
 public:
  using WeightType = Weight;
  FloatPiece(const RowMatrix&, const PanelRows& rows) : rows_(rows) {}
  HWY_INLINE Piece At(size_t column, size_t cols) {
    Interleave(rows_, column * Weight::kBytes, {Weight::kBytes, cols}, columns_);
    return {columns_, 0, kPanelRows * Weight::kBytes, cols, 0};
  }

 private:
  const PanelRows& rows_;
  HWY_ALIGN uint8_t columns_[kPieceCols * kPanelRows * Weight::kBytes];
};

// ... and of any other type dequantised.
class DequantizedPiece {
 public:
  using WeightType = FloatWeight;
  DequantizedPiece(const RowMatrix& weights, const PanelRows& rows) : type_(weights.type()), rows_(rows) {}
  Piece At(size_t column, size_t cols) {
    const TypeInfo& info = GetTypeInfo(type_);
    const size_t offset = column / info.block_values * info.block_bytes;
    const size_t bytes = cols / info.block_values * info.block_bytes;
    for (size_t r = 0; r < kPanelRows; ++r) {
      HWY_ALIGN float row[kPieceCols];
      Dequantize(type_, absl::MakeConstSpan(rows_.rows[r] + offset, bytes), cols, row);
      for (size_t c = 0; c < cols; ++c) columns_[c][r] = row[c];
    }
    return {reinterpret_cast<const uint8_t*>(columns_), 0, sizeof(columns_[0]), cols, 0};
  }

 private:
  const TensorType type_;
  const PanelRows& rows_;
  HWY_ALIGN float columns_[kPieceCols][kPanelRows];
};

template <class Source>
void MultiplyFloatPanelsOfRows(const RowTask& task, size_t begin, size_t end) {
  constexpr size_t kTokens = 64;
  HWY_ALIGN float totals[kTokens * kPanelRows];
  const size_t all = task.product.tokens, cols = task.weights->cols();
  for (size_t panel = begin; panel < end; ++panel) {
    const PanelRows rows(task, panel);
    Source source(*task.weights, rows);
    for (size_t first = 0; first < all; first += kTokens) {
      const size_t tokens = std::min(kTokens, all - first);
      std::fill_n(totals, tokens * kPanelRows, 0.0f);
      const float* x = task.values + (task.product.first_token + first) * task.values_stride;
      for (size_t column = 0; column < cols; column += kPieceCols) {
        const Piece piece = source.At(column, std::min(kPieceCols, cols - column));
        rows.PrefetchNext(column / kPieceCols, (cols + kPieceCols - 1) / kPieceCols);
        MultiplyFloatTiles<typename Source::WeightType, 1>(piece, tokens, {x + column, task.values_stride},
                                                           {totals, kPanelRows});
      }
      StoreResults(task.product, panel, rows.count, first, tokens, totals);
    }
  }
}

void MultiplyRowPanels(const RowTask& task, size_t begin, size_t end) {
  const TensorType type = task.weights->type();
  switch (RowLayout(*task.weights)) {
    case Layout::kQuantPanels:
      return VisitFormat(
          type, [&]<class Format>() HWY_ATTR { MultiplyQuantPanelsOfRows<Format>(task, begin, end); });
    case Layout::kFloatPanels:
      if (type == TensorType::kF32)
        return MultiplyFloatPanelsOfRows<FloatPiece<FloatWeight>>(task, begin, end);
      if (type == TensorType::kF16)
        return MultiplyFloatPanelsOfRows<FloatPiece<HalfWeight>>(task, begin, end);
      return MultiplyFloatPanelsOfRows<FloatPiece<BFloat16Weight>>(task, begin, end);
    case Layout::kRows:
      return MultiplyFloatPanelsOfRows<DequantizedPiece>(task, begin, end);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(MultiplyRowPanels);

void MultiplyRowPanels(const RowTask& task, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyRowPanels)(task, begin, end);
}

}  // namespace hearth
#endif  // HWY_ONCE
