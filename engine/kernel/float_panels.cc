// Products with float weights: F32, F16 and BF16 panels as packed, every other type dequantised on the way.

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/simd_targets.h"
#include "engine/quant/types.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/float_panels.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/panel_results-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Every sum runs over pieces of 256 columns from its group's start, which are then added up: a shorter chain
// of roundings than one long sum, and a piece of a few panels stays in the L1 cache for all tokens.
constexpr size_t kPieceCols = 256;
constexpr size_t kPanelVectors = kPanelRows / kLanes;
// Sums that fit the registers beside the operands: 32 registers with AVX-512 and NEON, else 16.
constexpr size_t kSumVectors = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 24 : 12;

struct FloatWeight {
  static constexpr size_t kBytes = 4;
  static HWY_INLINE VF32 Load(const uint8_t* p) { return LoadFloat(p); }
};
struct HalfWeight {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE VF32 Load(const uint8_t* p) { return LoadHalf(p); }
};
struct BFloat16Weight {
  static constexpr size_t kBytes = 2;
  static HWY_INLINE VF32 Load(const uint8_t* p) { return LoadBFloat16(p); }
};

// The weights of one piece of columns: panel p's from data + p * stride on.
struct Piece {
  const uint8_t* data;
  size_t stride;
  size_t cols;
};

// totals[t][p][16] += piece (P panels) times X (T tokens).
template <class Weight, size_t P, size_t T>
HWY_INLINE void MultiplyTile(const Piece& piece, const float* x, size_t x_stride, float* totals) {
  constexpr size_t kVectors = P * kPanelVectors;
  const F32 d;
  VF32 sums[T][kVectors];
  for (size_t t = 0; t < T; ++t) {
    for (size_t v = 0; v < kVectors; ++v) sums[t][v] = hn::Zero(d);
  }
  for (size_t c = 0; c < piece.cols; ++c) {
    VF32 w[kVectors];
    for (size_t v = 0; v < kVectors; ++v) {
      const size_t lane = c * kPanelRows + v % kPanelVectors * kLanes;
      w[v] = Weight::Load(piece.data + v / kPanelVectors * piece.stride + lane * Weight::kBytes);
    }
    for (size_t t = 0; t < T; ++t) {
      const VF32 value = hn::Set(d, x[t * x_stride + c]);
      for (size_t v = 0; v < kVectors; ++v) sums[t][v] = hn::MulAdd(w[v], value, sums[t][v]);
    }
  }
  for (size_t t = 0; t < T; ++t) {
    for (size_t v = 0; v < kVectors; ++v) {
      float* total = totals + t * P * kPanelRows + v * kLanes;
      hn::Store(hn::Add(hn::Load(d, total), sums[t][v]), d, total);
    }
  }
}

// As MultiplyTile for any number of tokens up to T.
template <class Weight, size_t P, size_t T>
HWY_INLINE void MultiplyTileOf(size_t tokens, const Piece& piece, const float* x, size_t x_stride,
                               float* totals) {
  if (tokens == T) return MultiplyTile<Weight, P, T>(piece, x, x_stride, totals);
  if constexpr (T > 1) MultiplyTileOf<Weight, P, T - 1>(tokens, piece, x, x_stride, totals);
}

// P panels from `panel` on, all tokens. source.At(column, cols) gives the weights of a piece.
template <class Weight, size_t P, size_t kTokens, class Source>
void MultiplyPanels(const PanelTask& task, size_t panel, Source& source) {
  constexpr size_t kTile = std::max<size_t>(1, kSumVectors / (P * kPanelVectors));
  HWY_ALIGN float totals[kTokens * P * kPanelRows];
  const Activations& x = *task.x;
  for (size_t first = 0; first < x.rows(); first += kTokens) {
    const size_t tokens = std::min(kTokens, x.rows() - first);
    size_t column = 0;
    for (const uint32_t group_end : task.group_ends) {
      std::fill_n(totals, tokens * P * kPanelRows, 0.0f);
      for (; column < group_end; column += std::min<size_t>(kPieceCols, group_end - column)) {
        const Piece piece = source.At(column, std::min<size_t>(kPieceCols, group_end - column));
        for (size_t t = 0; t < tokens; t += kTile) {
          MultiplyTileOf<Weight, P, kTile>(std::min(kTile, tokens - t), piece, x.row(first + t) + column,
                                           x.stride(), totals + t * P * kPanelRows);
        }
      }
      for (size_t t = 0; t < tokens; ++t) {
        for (size_t p = 0; p < P; ++p) {
          DeliverSums(task, panel + p, first + t, totals + (t * P + p) * kPanelRows);
        }
      }
    }
  }
}

// Weights as packed.
struct PackedSource {
  const uint8_t* data;
  size_t stride;
  size_t column_bytes;
  Piece At(size_t column, size_t cols) const { return {data + column * column_bytes, stride, cols}; }
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
    return {reinterpret_cast<const uint8_t*>(columns), 0, cols};
  }
};

template <class Weight>
void MultiplyPackedOf(const PanelTask& task, size_t begin, size_t end) {
  // Four panels together: enough independent sums to hide the latency of multiply-add with one token. Vectors
  // that hold less than a panel have them already, and registers for fewer rows.
  constexpr size_t kTogether = 4;
  constexpr size_t kFew = kPanelVectors == 1 ? kTogether : 1;
  constexpr size_t kTokens = 64;
  const Matrix::Storage& storage = task.weights->storage();
  size_t panel = begin;
  const auto source = [&] {
    return PackedSource{storage.data + panel * storage.stride, storage.stride, kPanelRows * Weight::kBytes};
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
