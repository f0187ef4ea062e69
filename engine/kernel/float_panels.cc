// Products with float weights: F32, F16 and BF16 panels as packed, every other type dequantised on the way.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/prefetch.h"
#include "engine/kernel/simd_targets.h"
#include "engine/quant/types.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/float_panels.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/float_tile-inl.h"
#include "engine/kernel/panel_results-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// How far ahead of its use each panel's memory is asked for.
constexpr size_t kPrefetchBytes = 2048;

// P panels from `panel` on, all tokens. source.At(column, cols) gives the weights of a piece.
template <class Weight, size_t P, size_t kTokens, class Source>
void MultiplyPanels(const PanelTask& task, size_t panel, Source& source) {
  HWY_ALIGN float totals[kTokens * P * kPanelRows];
  const Activations& x = *task.x;
  for (size_t first = 0; first < x.rows(); first += kTokens) {
    const size_t tokens = std::min(kTokens, x.rows() - first);
    PanelResults<kTokens * P> results(task, panel, P, first, tokens);
    size_t column = 0;
    for (const uint32_t group_end : task.group_ends) {
      std::fill_n(totals, tokens * P * kPanelRows, 0.0f);
      for (; column < group_end; column += std::min<size_t>(kPieceCols, group_end - column)) {
        const Piece piece = source.At(column, std::min<size_t>(kPieceCols, group_end - column));
        MultiplyFloatTiles<Weight, P>(piece, tokens,
                                      {task.values + first * task.values_stride + column, task.values_stride},
                                      {totals, P * kPanelRows});
      }
      for (size_t t = 0; t < tokens; ++t) {
        for (size_t p = 0; p < P; ++p) {
          results.Add(p, t, totals + (t * P + p) * kPanelRows);
        }
      }
    }
    results.Deliver();
  }
}

// Weights as packed.
struct PackedSource {
  const uint8_t* data;
  size_t stride;
  size_t column_bytes;
  size_t prefetch_bytes;
  Piece At(size_t column, size_t cols) const {
    return {data + column * column_bytes, stride, column_bytes, cols, prefetch_bytes};
  }
};

// One panel of rows in the file's layout, dequantised piece by piece.
struct RowSource {
  const Matrix& weights;
  size_t panel;
  HWY_ALIGN float rows[kPanelRows][kPieceCols];
  HWY_ALIGN float columns[kPieceCols][kPanelRows];

  RowSource(const Matrix& matrix, size_t index) : weights(matrix), panel(index), rows{} {}

  Piece At(size_t column, size_t cols) {
    const TypeInfo& info = GetTypeInfo(weights.type());
    const Matrix::Storage& storage = weights.storage();
    const size_t first = panel * kPanelRows;
    const size_t count = std::min(kPanelRows, weights.rows() - first);
    const size_t offset = column / info.block_values * info.block_bytes;
    const size_t bytes = cols / info.block_values * info.block_bytes;
    for (size_t r = 0; r < count; ++r) {
      const uint8_t* blocks = storage.data + (first + r) * storage.stride + offset;
      Dequantize(weights.type(), absl::MakeConstSpan(blocks, bytes), cols, rows[r]);
    }
    for (size_t c = 0; c < cols; ++c) {
      for (size_t r = 0; r < kPanelRows; ++r) columns[c][r] = rows[r][c];
    }
    return {reinterpret_cast<const uint8_t*>(columns), 0, sizeof(columns[0]), cols, 0};
  }
};

template <class Weight>
void MultiplyPackedOf(const PanelTask& task, size_t begin, size_t end) {
  // Four panels together: enough independent sums to hide the latency of multiply-add with one token. Vectors
  // that hold less than a panel have them already, and registers for fewer rows.
  constexpr size_t kTogether = 4;
  constexpr size_t kFew = kTileVectors == 1 ? kTogether : 1;
  constexpr size_t kTokens = 64;  // whose sums fit the L1 cache beside a piece
  const Matrix::Storage& storage = task.weights->storage();
  size_t panel = begin;
  const auto source = [&] {
    return PackedSource{storage.data + panel * storage.stride, storage.stride, kPanelRows * Weight::kBytes,
                        WantsPrefetch() ? kPrefetchBytes : 0};
  };
  for (; panel + kTogether <= end && task.x->rows() == 1; panel += kTogether) {
    auto packed = source();
    MultiplyPanels<Weight, kTogether, 1>(task, panel, packed);
  }
  for (; panel + kFew <= end; panel += kFew) {
    auto packed = source();
    MultiplyPanels<Weight, kFew, kTokens>(task, panel, packed);
  }
  for (; panel < end; ++panel) {
    auto packed = source();
    MultiplyPanels<Weight, 1, kTokens>(task, panel, packed);
  }
}

void MultiplyFloatPanels(const PanelTask& task, size_t begin, size_t end) {
  switch (task.weights->type()) {
    case TensorType::kF32:
      return MultiplyPackedOf<FloatWeight>(task, begin, end);
    case TensorType::kF16:
      return MultiplyPackedOf<HalfWeight>(task, begin, end);
    case TensorType::kBF16:
      return MultiplyPackedOf<BFloat16Weight>(task, begin, end);
    default:
      HEARTH_CHECK(!"only float types are packed as float panels");
  }
}

void MultiplyRows(const PanelTask& task, size_t begin, size_t end) {
  // Many tokens at once, since each piece is dequantised once for all of them.
  constexpr size_t kTokens = 256;
  for (size_t panel = begin; panel < end; ++panel) {
    RowSource source(*task.weights, panel);
    MultiplyPanels<FloatWeight, 1, kTokens>(task, panel, source);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(MultiplyFloatPanels);
HWY_EXPORT(MultiplyRows);

void MultiplyFloatPanels(const PanelTask& task, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyFloatPanels)(task, begin, end);
}
void MultiplyRows(const PanelTask& task, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyRows)(task, begin, end);
}

}  // namespace hearth
#endif  // HWY_ONCE
