// Products of 8-bit matrices in tile registers (AMX). Compiled for the one instruction set that may have
// them; matrix_tiles.h tells whether the machine does.
#if defined(HEARTH_ENGINE_KERNEL_TILE_PRODUCTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_TILE_PRODUCTS_INL_H_
#undef HEARTH_ENGINE_KERNEL_TILE_PRODUCTS_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_TILE_PRODUCTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "engine/kernel/panels.h"
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
HWY_INLINE void ConfigureTiles(size_t quads) {
  TileShape shape;
  for (size_t tile = 0; tile < 8; ++tile) {
    shape.rows[tile] = tile < 6 ? kTileTokens : static_cast<uint8_t>(quads);
    shape.row_bytes[tile] = tile == 4 || tile == 5 ? static_cast<uint16_t>(4 * quads) : kQuadBytes;
  }
  asm volatile("ldtilecfg %0" : : "m"(shape));
}

// Tiles in use make every switch of threads save 8 KiB.
HWY_INLINE void ReleaseTiles() { asm volatile("tilerelease" : : :); }

// Sum register kSlot (0 to 3) = activations (16 tokens, kUnitCols bytes apart) times weights. The registers
// are not known to the compiler: these functions keep their order because they are volatile.
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
        "i"(6 + kSlot % 2), "m"(*reinterpret_cast<const int8_t(*)[kTileTokens * kUnitCols]>(activations)),
        "m"(*reinterpret_cast<const uint8_t(*)[kQuads * kQuadBytes]>(weights)));
}

using TileSums = int32_t[kTileTokens][kPanelRows];

// Writes the sums of the tile register.
template <int kSlot>
HWY_INLINE void StoreTile(TileSums& out) {
  const size_t stride = kPanelRows * sizeof(int32_t);
  asm volatile("tilestored %%tmm%c1, (%2,%3,1)" : "=m"(out) : "i"(kSlot), "r"(&out), "r"(stride));
}

// What a product of full tiles takes alone: for the probe.
template <int kSlot>
HWY_INLINE void MultiplyLoadedTiles() {
  asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(kSlot), "i"(4 + kSlot % 2), "i"(6 + kSlot % 2));
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // HWY_TARGET == HWY_AVX3_DL

#endif  // per-target include guard
