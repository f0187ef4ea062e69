// Products of a strip with many tokens in matrix tiles (AMX). Compiled for the one instruction set that may
// have them; matrix_tiles.h tells whether the machine does.
#if defined(HEARTH_ENGINE_KERNEL_QUANT_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_QUANT_TILES_INL_H_
#undef HEARTH_ENGINE_KERNEL_QUANT_TILES_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_QUANT_TILES_INL_H_
#endif

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/kernel/panels.h"
#include "engine/kernel/quant_formats-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_AVX3_DL

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Tile registers: 0-3 hold sums (16 tokens x 16 rows), 4-5 activations (16 tokens x columns), 6-7 weights
// (quads x 16 rows). The compiler's intrinsics need targets that Highway does not set, so these are the
// instructions.
constexpr size_t kTileTokens = 16;

struct TileShape {
  uint8_t palette = 1;
  uint8_t start_row = 0;
  uint8_t reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// Sets the shapes for products over `quads` quads of columns.
void ConfigureTiles(size_t quads) {
  TileShape shape;
  for (size_t tile = 0; tile < 8; ++tile) {
    shape.rows[tile] = tile < 6 ? kTileTokens : static_cast<uint8_t>(quads);
    shape.row_bytes[tile] = tile == 4 || tile == 5 ? static_cast<uint16_t>(4 * quads) : kQuadBytes;
  }
  asm volatile("ldtilecfg %0" : : "m"(shape));
}

// Tiles in use make every switch of threads save 8 KiB.
void ReleaseTiles() { asm volatile("tilerelease" : : :); }

// Sum register kSlot (0 to 3) = activations (16 tokens) times weights.
template <int kSlot>
HWY_INLINE void MultiplyTile(const int8_t* activations, const uint8_t* weights) {
  const size_t x_stride = kUnitCols, w_stride = kQuadBytes;
  asm volatile(
      "tilezero %%tmm%c0\n\t"
      "tileloadd (%1,%2,1), %%tmm%c5\n\t"
      "tileloadd (%3,%4,1), %%tmm%c6\n\t"
      "tdpbssd %%tmm%c6, %%tmm%c5, %%tmm%c0"
      :
      : "i"(kSlot), "r"(activations), "r"(x_stride), "r"(weights), "r"(w_stride), "i"(4 + kSlot % 2),
        "i"(6 + kSlot % 2)
      : "memory");
}

template <int kSlot>
HWY_INLINE void StoreTile(int32_t* out) {
  const size_t stride = kPanelRows * sizeof(int32_t);
  asm volatile("tilestored %%tmm%c0, (%1,%2,1)" : : "i"(kSlot), "r"(out), "r"(stride) : "memory");
}

// f(number % 4) with the remainder as a constant.
template <class F>
HWY_INLINE void WithSlot(size_t number, const F& f) {
  switch (number % 4) {
    case 0:
      return f(std::integral_constant<int, 0>());
    case 1:
      return f(std::integral_constant<int, 1>());
    case 2:
      return f(std::integral_constant<int, 2>());
    default:
      return f(std::integral_constant<int, 3>());
  }
}

// As MultiplyUnits for any number of tokens, 16 at a time; those past the last row of x give numbers that
// nobody reads. The products run ahead of what follows them, since each takes 50 cycles: product `step` is
// started, the one kStoreBehind before it is stored, and the one kScaleBehind before it is scaled and added
// to the totals.
template <bool kHalves, bool kMinima>
void MultiplyUnitsWithTiles(const Strip& strip, size_t begin, size_t end, const Activations::Blocks& x,
                            size_t first, size_t tokens, size_t first_unit, float* HWY_RESTRICT totals) {
  constexpr size_t kParts = kHalves ? 2 : 1;
  constexpr size_t kPartQuads = kQuads / kParts;
  constexpr size_t kStoreBehind = 2, kScaleBehind = 6, kStored = 8;
  HWY_ALIGN int32_t sums[kStored][kTileTokens][kPanelRows];
  const F32 d;
  const size_t parts = (end - begin) * kParts;
  const size_t steps = (tokens + kTileTokens - 1) / kTileTokens * parts;
  const auto multiply = [&](size_t step) HEARTH_INLINE_LAMBDA {
    const size_t part = begin * kParts + step % parts, token = first + step / parts * kTileTokens;
    const size_t unit = (first_unit + part / kParts) * x.rows + token, quad = part % kParts * kPartQuads;
    WithSlot(step, [&](auto slot) HEARTH_INLINE_LAMBDA {
      MultiplyTile<slot>(x.codes.data() + unit * kUnitCols + 4 * quad, strip.codes[part / kParts][quad]);
    });
  };
  const auto store = [&](size_t step) HEARTH_INLINE_LAMBDA {
    WithSlot(step, [&](auto slot) HEARTH_INLINE_LAMBDA { StoreTile<slot>(sums[step % kStored][0]); });
  };
  size_t step = 0;
  for (; step < kScaleBehind; ++step) {
    if (step < steps) multiply(step);
    if (step >= kStoreBehind && step - kStoreBehind < steps) store(step - kStoreBehind);
  }
  VF32 total[kTileTokens];
  for (size_t token = 0; token < tokens; token += kTileTokens) {
    float* tile_totals = totals + token * kPanelRows;
    Repeat<kTileTokens>([&](auto t)
                            HEARTH_INLINE_LAMBDA { total[t] = hn::Load(d, tile_totals + t * kPanelRows); });
    for (size_t part = begin * kParts; part < end * kParts; ++part, ++step) {
      if (step < steps) multiply(step);
      if (step - kStoreBehind < steps) store(step - kStoreBehind);
      const int32_t(*tile)[kPanelRows] = sums[(step - kScaleBehind) % kStored];
      const size_t unit = (first_unit + part / kParts) * x.rows + first + token;
      const float* x_scales = x.scales.data() + unit;
      const VF32 scale = hn::Load(d, strip.scales[part]);
      Repeat<kTileTokens>([&](auto t) HEARTH_INLINE_LAMBDA {
        const VF32 factor = hn::Mul(scale, hn::Set(d, x_scales[t]));
        total[t] = hn::MulAdd(hn::ConvertTo(d, hn::Load(I32(), tile[t])), factor, total[t]);
      });
      if constexpr (!kMinima) continue;
      const float* scaled_sums =
          kHalves ? x.scaled_halves.data() + (kParts * first_unit + part) * x.rows + first + token
                  : x.scaled_sums.data() + unit;
      const VF32 minimum = hn::Load(d, strip.minima[part]);
      Repeat<kTileTokens>([&](auto t) HEARTH_INLINE_LAMBDA {
        total[t] = hn::NegMulAdd(minimum, hn::Set(d, scaled_sums[t]), total[t]);
      });
    }
    Repeat<kTileTokens>([&](auto t)
                            HEARTH_INLINE_LAMBDA { hn::Store(total[t], d, tile_totals + t * kPanelRows); });
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // HWY_TARGET == HWY_AVX3_DL

#endif  // per-target include guard
