// Products of a strip with many tokens in matrix tiles. Compiled for the one instruction set that may have
// them.
#if defined(HEARTH_ENGINE_KERNEL_QUANT_TILES_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_QUANT_TILES_INL_H_
#undef HEARTH_ENGINE_KERNEL_QUANT_TILES_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_QUANT_TILES_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/kernel/panels.h"
#include "engine/kernel/quant_formats-inl.h"
#include "engine/kernel/simd-inl.h"
#include "engine/kernel/tile_products-inl.h"
#include "hwy/highway.h"

#if HWY_TARGET == HWY_AVX3_DL

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// totals[t][16] += units [begin, end) of a strip times any number of tokens from `first` on, 16 at a time;
// those past the last row of x give numbers that nobody reads. first_unit is the number, in the row, of the
// strip's first unit.
//
// Products run ahead of what follows them, since each takes 50 cycles: in every step one is started, the one
// two steps back is stored, and the one four steps back is scaled and added to the totals. A step's slot is
// its number modulo four; every 16 tokens begin with slot 0, and steps that are left over do nothing.
template <bool kHalves, bool kMinima>
void MultiplyUnitsWithTiles(const ExpandedStrip& strip, size_t begin, size_t end,
                            const Activations::Blocks& x, size_t first, size_t tokens, size_t first_unit,
                            float* HWY_RESTRICT totals) {
  constexpr size_t kParts = kHalves ? 2 : 1;
  constexpr size_t kPartQuads = kQuads / kParts;
  constexpr size_t kSlots = 4, kStoreBehind = 2;
  HWY_ALIGN TileSums sums[kSlots];
  const F32 d;
  const size_t parts = (end - begin) * kParts;
  const size_t unit_stride = x.rows * kUnitCols;  // from one unit's codes to the next
  const int8_t* x_codes = x.codes.data() + (first_unit + begin) * unit_stride + first * kUnitCols;

  const auto start = [&](auto slot, size_t token, size_t part) HEARTH_INLINE_LAMBDA {
    if (part >= parts || token >= tokens) return;
    const size_t unit = part / kParts, quad = part % kParts * kPartQuads;
    MultiplyTile<slot>(x_codes + unit * unit_stride + token * kUnitCols + 4 * quad,
                       strip.codes[begin + unit][quad]);
  };
  const auto store = [&](auto slot, size_t token, size_t part) HEARTH_INLINE_LAMBDA {
    if (part < parts && token < tokens) StoreTile<slot>(sums[slot]);
  };
  Repeat<kSlots>([&](auto slot) HEARTH_INLINE_LAMBDA { start(slot, 0, slot); });
  store(std::integral_constant<size_t, 0>(), 0, 0);
  store(std::integral_constant<size_t, 1>(), 0, 1);
  for (size_t token = 0; token < tokens; token += kTileTokens) {
    float* tile_totals = totals + token * kPanelRows;
    VF32 total[kTileTokens];
    Repeat<kTileTokens>([&](auto t)
                            HEARTH_INLINE_LAMBDA { total[t] = hn::Load(d, tile_totals + t * kPanelRows); });
    for (size_t round = 0; round < parts; round += kSlots) {
      const bool last = round + kSlots >= parts;
      const size_t next_token = last ? token + kTileTokens : token, next_round = last ? 0 : round + kSlots;
      Repeat<kSlots>([&](auto slot) HEARTH_INLINE_LAMBDA {
        const size_t part = round + slot;
        if (part < parts) {
          const size_t strip_part = begin * kParts + part;
          const size_t unit = (first_unit + begin + part / kParts) * x.rows + first + token;
          const float* x_scales = x.scales.data() + unit;
          const VF32 w_scale = hn::Load(d, strip.scales[strip_part]);
          Repeat<kTileTokens>([&](auto t) HEARTH_INLINE_LAMBDA {
            const VF32 factor = hn::Mul(w_scale, hn::Set(d, x_scales[t]));
            total[t] = hn::MulAdd(hn::ConvertTo(d, hn::Load(I32(), sums[slot][t])), factor, total[t]);
          });
          if constexpr (kMinima) {
            const size_t half = (kParts * (first_unit + begin) + part) * x.rows + first + token;
            const float* scaled = kHalves ? x.scaled_halves.data() + half : x.scaled_sums.data() + unit;
            const VF32 minimum = hn::Load(d, strip.minima[strip_part]);
            Repeat<kTileTokens>([&](auto t) HEARTH_INLINE_LAMBDA {
              total[t] = hn::NegMulAdd(minimum, hn::Set(d, scaled[t]), total[t]);
            });
          }
        }
        constexpr size_t kStored = (slot + kStoreBehind) % kSlots;
        const bool wraps = slot + kStoreBehind >= kSlots;
        store(std::integral_constant<size_t, kStored>(), wraps ? next_token : token,
              (wraps ? next_round : round) + kStored);
        start(slot, next_token, next_round + slot);
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
