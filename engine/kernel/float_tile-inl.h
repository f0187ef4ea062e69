// The product of a few columns of float panels with float activations, in registers. Compiled once per
// instruction set.
#if defined(HEARTH_ENGINE_KERNEL_FLOAT_TILE_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_FLOAT_TILE_INL_H_
#undef HEARTH_ENGINE_KERNEL_FLOAT_TILE_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_FLOAT_TILE_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "engine/kernel/simd-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Panels of 16 lanes: rows of weights, positions of keys or dimensions of values.
inline constexpr size_t kTileLanes = 16;
inline constexpr size_t kTileVectors = kTileLanes / kLanes;
// Sums that fit the registers beside the operands: 32 registers with AVX-512 and NEON, else 16.
inline constexpr size_t kSumVectors = HWY_TARGET <= HWY_AVX3 || HWY_TARGET == HWY_NEON ? 24 : 12;

struct FloatWeight {
  static constexpr size_t kBytes = 4;
  // A column of a panel.
  static HWY_INLINE VF32 Load(const uint8_t* p) { return LoadFloat(p); }
};
struct HalfWeight {
  static constexpr size_t kBytes = 2;
  // A column of a panel.
  static HWY_INLINE VF32 Load(const uint8_t* p) { return LoadHalf(p); }
};
struct BFloat16Weight {
  static constexpr size_t kBytes = 2;
  // A column of a panel.
  static HWY_INLINE VF32 Load(const uint8_t* p) { return LoadBFloat16(p); }
};

// Columns of panels: the 16 values of column c of panel p lie at data + p * panel_stride + c * column_stride.
// Memory prefetch_bytes behind each of them is asked for ahead of its use; hardware prefetchers stop at pages
// and do not follow large strides.
struct Piece {
  const uint8_t* data;
  size_t panel_stride;
  size_t column_stride;
  size_t cols;
  size_t prefetch_bytes;
};

// Float activations (x) or results: row t at data + t * stride.
struct FloatRows {
  const float* data;
  size_t stride;
};
struct FloatSums {
  float* data;
  size_t stride;
};

// sums[t][p * 16 + lane] += the sum over columns c, in order, of piece[p][c][lane] * x[t][c], for P panels
// and T tokens. Rows of sums are aligned to vectors.
template <class Weight, size_t P, size_t T>
HWY_NOINLINE void MultiplyFloatTile(const Piece& piece, FloatRows x, FloatSums sums) {
  constexpr size_t kVectors = P * kTileVectors;
  const F32 d;
  VF32 sum[T * kVectors];
  Repeat<T * kVectors>([&](auto i) HEARTH_INLINE_LAMBDA { sum[i] = hn::Zero(d); });
  const uint8_t* column = piece.data;
  for (size_t c = 0; c < piece.cols; ++c, column += piece.column_stride) {
    VF32 w[kVectors];
    Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
      const uint8_t* panel = column + v / kTileVectors * piece.panel_stride;
      if constexpr (v % kTileVectors == 0) hwy::Prefetch(panel + piece.prefetch_bytes);
      w[v] = Weight::Load(panel + v % kTileVectors * kLanes * Weight::kBytes);
    });
    Repeat<T>([&](auto t) HEARTH_INLINE_LAMBDA {
      const VF32 value = hn::Set(d, x.data[t * x.stride + c]);
      Repeat<kVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
        sum[t * kVectors + v] = hn::MulAdd(w[v], value, sum[t * kVectors + v]);
      });
    });
  }
  Repeat<T * kVectors>([&](auto i) HEARTH_INLINE_LAMBDA {
    float* out = sums.data + i / kVectors * sums.stride + i % kVectors * kLanes;
    hn::StoreU(hn::Add(hn::LoadU(d, out), sum[i]), d, out);
  });
}

// As MultiplyFloatTile for any number of tokens.
template <class Weight, size_t P>
HWY_INLINE void MultiplyFloatTiles(const Piece& piece, size_t tokens, FloatRows x, FloatSums sums) {
  constexpr size_t kMost = std::max<size_t>(1, kSumVectors / (P * kTileVectors));
  size_t t = 0;
  const auto multiply = [&](auto together) HWY_ATTR {
    for (; t + together <= tokens; t += together) {
      MultiplyFloatTile<Weight, P, together>(piece, {x.data + t * x.stride, x.stride},
                                             {sums.data + t * sums.stride, sums.stride});
    }
  };
  multiply(std::integral_constant<size_t, kMost>());
  // Two thirds of the most: four of six, which is how many query heads often share a KV head.
  multiply(std::integral_constant<size_t, (2 * kMost + 2) / 3>());
  multiply(std::integral_constant<size_t, (kMost + 2) / 3>());
  multiply(std::integral_constant<size_t, 1>());
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
