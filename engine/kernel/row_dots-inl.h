// Products of the codes of single rows with one token's, each row read from its start to its end: the
// integers that panels of rows would give. Compiled once per instruction set.
#if defined(HEARTH_ENGINE_KERNEL_ROW_DOTS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_ROW_DOTS_INL_H_
#undef HEARTH_ENGINE_KERNEL_ROW_DOTS_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_ROW_DOTS_INL_H_
#endif

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "engine/kernel/byte_products-inl.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/quant_formats-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

#if HWY_TARGET != HWY_SCALAR
// Formats whose rows can be multiplied so.
template <class Format>
concept HasRowCodes = requires {
  typename Format::RowParts;
};

// A *block* is four numbers of four bytes of a row, side by side in memory. A vector holds several; what it
// has summed of each of four rows is added within the blocks.
template <class Format>
struct RowDots {
  static constexpr size_t kParts = sizeof(typename Format::RowParts) / sizeof(VU8);
  static constexpr size_t kUnitBytes = Format::kCodeBytes / kPanelRows;
  static constexpr size_t kBlockBytes = 16;
  // Whose sums make a unit's.
  static constexpr size_t kUnitBlocks = kUnitBytes / kBlockBytes;
  static constexpr size_t kVectorBytes = kLanes * sizeof(int32_t);
  static constexpr size_t kVectorBlocks = kVectorBytes / kBlockBytes;

  // Rows of so many units consist of whole vectors, in the last strip as well.
  static constexpr bool Fits(size_t units) { return units * kUnitBytes % kVectorBytes == 0; }

  // The token's codes in the order in which the rows' appear: (kParts, units * kUnitBytes) bytes.
  static const int8_t* Arrange(const Activations::Blocks& x, size_t token, size_t units, int8_t* out) {
    for (size_t unit = 0; unit < units; ++unit) {
      const int8_t* codes = x.codes.data() + (unit * x.rows + token) * kUnitCols;
      for (size_t part = 0; part < kParts; ++part) {
        std::memcpy(out + (part * units + unit) * kUnitBytes, codes + part * kUnitBytes, kUnitBytes);
      }
    }
    return out;
  }

  // Multiplies `bytes` bytes of four rows. `x` is where Arrange put what belongs to the first of them, other
  // parts being part_stride further; sums of block b and the four rows go to out + b * kPanelRows.
  static HWY_INLINE void Multiply(const uint8_t* const* rows, size_t bytes, const int8_t* x,
                                  size_t part_stride, int32_t* out) {
    for (size_t at = 0; at < bytes; at += kVectorBytes) {
      VI32 factors[kParts], sums[4];
      Repeat<kParts>([&](auto part) HEARTH_INLINE_LAMBDA {
        factors[part] = LoadBytes(I32(), x + part * part_stride + at);
      });
      Repeat<4>([&](auto r) HEARTH_INLINE_LAMBDA {
        typename Format::RowParts codes;
        Format::RowCodes(LoadBytes(U8(), rows[r] + at), codes);
        sums[r] = hn::Zero(I32());
        Repeat<kParts>([&](auto part) HEARTH_INLINE_LAMBDA {
          if constexpr (kSignedCodes && Format::kOffsetBits > 0) {
            codes[part] = hn::Sub(codes[part], hn::Set(U8(), uint8_t{1} << Format::kOffsetBits));
          }
          AddQuads(hn::BitCast(I32(), codes[part]), factors[part], sums[r]);
        });
      });
      StoreBlocks(SumWithinBlocks(sums), out + at / kBlockBytes * kPanelRows);
    }
  }

 private:
  // Lane i of each block is what row i has there.
  static HWY_INLINE VI32 SumWithinBlocks(const VI32 (&rows)[4]) {
    const I32 d;
    const hn::Repartition<int64_t, I32> pairs;
    const auto first =
        hn::Add(hn::InterleaveLower(d, rows[0], rows[1]), hn::InterleaveUpper(d, rows[0], rows[1]));
    const auto second =
        hn::Add(hn::InterleaveLower(d, rows[2], rows[3]), hn::InterleaveUpper(d, rows[2], rows[3]));
    const auto a = hn::BitCast(pairs, first), b = hn::BitCast(pairs, second);
    return hn::Add(hn::BitCast(d, hn::InterleaveLower(pairs, a, b)),
                   hn::BitCast(d, hn::InterleaveUpper(pairs, a, b)));
  }

  static HWY_INLINE void StoreBlocks(VI32 blocks, int32_t* out) {
    HWY_ALIGN int32_t lanes[kLanes];
    hn::Store(blocks, I32(), lanes);
    for (size_t b = 0; b < kVectorBlocks; ++b) std::memcpy(out + b * kPanelRows, lanes + 4 * b, kBlockBytes);
  }
};

#endif

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
