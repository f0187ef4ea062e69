// How strips of quantised panels are multiplied with activations, wherever the strips lie. Compiled once per
// instruction set.
#if defined(HEARTH_ENGINE_KERNEL_QUANT_METHODS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_QUANT_METHODS_INL_H_
#undef HEARTH_ENGINE_KERNEL_QUANT_METHODS_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_QUANT_METHODS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "engine/base/check.h"
#include "engine/kernel/byte_products-inl.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/prefetch.h"
#include "engine/kernel/quant_formats-inl.h"
#include "engine/kernel/quant_tiles-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Tokens whose totals stay in the L1 cache. With few tokens, several panels share that memory.
inline constexpr size_t kTokenTile = 128;

// A unit of the activations. What it has of token t: codes + t * kUnitCols, scales[t] and so on; with halves,
// the second half's sums lie `rows` further.
struct UnitOfTokens {
  const int8_t* codes;
  const float* scales;
  const int32_t* minus_sums;
  const float* scaled_sums;
  size_t rows;
};

// One unit of a token's codes.
template <class Format>
HWY_INLINE UnitOfTokens UnitOf(const Activations::Blocks& x, size_t unit, size_t token) {
  const size_t at = unit * x.rows + token;
  const size_t sums_at = Format::kHalves ? 2 * unit * x.rows + token : at;
  return {x.codes.data() + at * kUnitCols, x.scales.data() + at,
          (Format::kHalves ? x.minus_halves : x.minus_sums).data() + sums_at,
          (Format::kHalves ? x.scaled_halves : x.scaled_sums).data() + sums_at, x.rows};
}

// A unit of one token's activations, ready to be multiplied.
template <class Format>
struct TokenUnit {
  static constexpr size_t kParts = Format::kHalves ? 2 : 1;  // of a unit of weights, with a scale each
  static constexpr int kOffsetBits = kSignedCodes ? 0 : Format::kOffsetBits;

  HWY_INLINE TokenUnit(const UnitOfTokens& x, size_t t)
      : codes(x.codes + t * kUnitCols), scale(hn::Set(F32(), x.scales[t])) {
    Repeat<kParts>([&](auto part) HEARTH_INLINE_LAMBDA {
      const size_t i = part * x.rows + t;
      if constexpr (kOffsetBits > 0) {
        offset[part] = hn::ShiftLeft<kOffsetBits>(hn::Set(I32(), x.minus_sums[i]));
      }
      if constexpr (Format::kMinima) scaled_sum[part] = hn::Set(F32(), x.scaled_sums[i]);
    });
  }

  const int8_t* codes;
  VF32 scale;
  VI32 offset[kParts];  // unsigned codes are 2^kOffsetBits too large: minus that times the sum of x's codes
  VF32 scaled_sum[kParts];
};

// kLanes rows of a unit's codes from `lane` on, as one number per row and quad.
template <class Format>
HWY_INLINE void LoadQuads(const uint8_t* packed, size_t units, size_t unit, size_t lane,
                          VI32 (&quads)[kQuads]) {
  UnitCodes codes;
  if constexpr (kLanes > 1) {
    LoadCodes<Format, kSignedCodes>(CodesAt<Format>(packed, units, unit, 4 * lane), codes);
    Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA { quads[quad] = hn::BitCast(I32(), codes[quad]); });
  } else {
    HWY_ALIGN uint8_t bytes[kQuads][4];
    for (size_t byte = 0; byte < 4; ++byte) {
      LoadCodes<Format, kSignedCodes>(CodesAt<Format>(packed, units, unit, 4 * lane + byte), codes);
      Repeat<kQuads>([&](auto quad)
                         HEARTH_INLINE_LAMBDA { hn::Store(codes[quad], U8(), bytes[quad] + byte); });
    }
    Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA { quads[quad] = LoadBytes(I32(), bytes[quad]); });
  }
}
// Tokens [first, first + tokens) of the activations.
struct TokenRange {
  const Activations::Blocks& blocks;
  size_t first;
  size_t tokens;
};

// A strip of one panel.
struct Strip {
  const uint8_t* packed;
  const uint8_t* next;  // of the same panel, or near its memory
  size_t units;
  size_t first_unit;  // its number in the row
};

// Asks for a unit's share of the panel's next strip. Spread among the products these requests cost next to
// nothing; a burst of them would fill the queue of outstanding loads and hold everything up.
template <class Format>
HWY_INLINE void Prefetch(const Strip& strip, size_t unit) {
  constexpr size_t kUnitBytes = Format::kScaleBytes + Format::kCodeBytes;
  const uint8_t* ahead = strip.next + unit * kUnitBytes;
  for (size_t byte = 0; byte < kUnitBytes; byte += kCacheLine) hwy::Prefetch(ahead + byte);
}

// How the products of strips are made: with vectors that take the codes as they are packed ...
template <class Format>
class VectorMethod {
 public:
  // Totals per panel for so many tokens.
  static constexpr size_t Padded(size_t tokens) { return tokens; }

  // Before the strip is multiplied: what all tokens share.
  HWY_INLINE void Prepare(const Strip& strip) { ExpandScales<Format>(strip.packed, strip.units, scales_); }

  // Adds the units [begin, end) to the totals of the strip's panel.
  HWY_INLINE void Multiply(const TokenRange& x, const Strip& strip, size_t begin, size_t end,
                           float* totals) const {
    if (x.blocks.rows == 1) {
      MultiplyOneToken(UnitOf<Format>(x.blocks, strip.first_unit, 0), strip, begin, end, totals);
    } else {
      MultiplyTokens(x, strip, begin, end, totals);
    }
  }

  // Whether MultiplyGroups takes these tokens.
  HWY_INLINE static bool TakesGroups(const TokenRange& x) { return x.blocks.rows == 1; }

  // Multiplies the whole strip where several groups end in it: behind every unit whose bit of `complete` is
  // set the totals are added to fixed_sums, for 16 rows, and begin anew.
  HWY_NOINLINE void MultiplyGroups(const TokenRange& x, const Strip& strip, uint32_t complete, float* totals,
                                   int64_t* fixed_sums) const {
    const UnitOfTokens first = UnitOf<Format>(x.blocks, strip.first_unit, 0);
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      VF32 total = hn::Load(F32(), totals + lane);
      HEARTH_KEEP_LOOP
      for (size_t unit = 0; unit < strip.units; ++unit) {
        total = AddUnitOfToken(first, strip, unit, lane, total);
        if ((complete >> unit & 1) == 0) continue;
        AddFixedPoints(total, fixed_sums + lane);
        total = hn::Zero(F32());
      }
      hn::Store(total, F32(), totals + lane);
    }
  }

  // Multiply for one token, of whose first `units` units of the strip the products of codes are known:
  // kBlocks numbers for each unit, (units, kBlocks, kPanelRows), whose sum that is.
  template <size_t kBlocks>
  HWY_INLINE void AddSums(const Activations::Blocks& x, size_t token, size_t first_unit, size_t units,
                          const int32_t* sums, float* totals) const {
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      VF32 total = hn::Load(F32(), totals + lane);
      for (size_t unit = 0; unit < units; ++unit) {
        const TokenUnit<Format> x_unit(UnitOf<Format>(x, first_unit + unit, token), 0);
        VI32 sum = hn::Load(I32(), sums + unit * kBlocks * kPanelRows + lane);
        Repeat<kBlocks - 1>([&](auto i) HEARTH_INLINE_LAMBDA {
          sum = hn::Add(sum, hn::Load(I32(), sums + (unit * kBlocks + i + 1) * kPanelRows + lane));
        });
        if constexpr (TokenUnit<Format>::kOffsetBits > 0) sum = hn::Add(sum, x_unit.offset[0]);
        total = AddPart<0>(sum, unit, lane, x_unit, total);
      }
      hn::Store(total, F32(), totals + lane);
    }
  }

 private:
  static constexpr size_t kParts = TokenUnit<Format>::kParts;

  // The totals stay in registers. Two things make compilers' output fit for reading memory fast, which is all
  // that counts here: the loop is not unrolled (prefetchers know a stream by the instruction that loads it),
  // and it is a function by itself (what the activations' addresses have in common is not kept in more
  // registers than there are).
  HWY_NOINLINE void MultiplyOneToken(const UnitOfTokens& first, const Strip& strip, size_t begin, size_t end,
                                     float* totals) const {
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      VF32 total = hn::Load(F32(), totals + lane);
      HEARTH_KEEP_LOOP
      for (size_t unit = begin; unit < end; ++unit) total = AddUnitOfToken(first, strip, unit, lane, total);
      hn::Store(total, F32(), totals + lane);
    }
  }

  // AddUnit for a unit of the strip and a single token, whose units follow `first`.
  HWY_INLINE VF32 AddUnitOfToken(const UnitOfTokens& first, const Strip& strip, size_t unit, size_t lane,
                                 VF32 total) const {
    if (wants_prefetch_) Prefetch<Format>(strip, unit);
    VI32 quads[kQuads];
    LoadQuads<Format>(strip.packed, strip.units, unit, lane, quads);
    const UnitOfTokens x = {first.codes + unit * kUnitCols, first.scales + unit,
                            first.minus_sums + kParts * unit, first.scaled_sums + kParts * unit, 1};
    return AddUnit(quads, unit, lane, TokenUnit<Format>(x, 0), total);
  }

  // The codes of a unit stay in registers.
  HWY_INLINE void MultiplyTokens(const TokenRange& range, const Strip& strip, size_t begin, size_t end,
                                 float* panel_totals) const {
    // With more work per unit no processor looks far enough ahead by itself.
    const bool wants_prefetch = wants_prefetch_ || range.tokens > 2;
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      for (size_t unit = begin; unit < end; ++unit) {
        if (wants_prefetch) Prefetch<Format>(strip, unit);
        const UnitOfTokens x = UnitOf<Format>(range.blocks, strip.first_unit + unit, range.first);
        float* totals = panel_totals + lane;
        VI32 quads[kQuads];
        LoadQuads<Format>(strip.packed, strip.units, unit, lane, quads);
        const auto multiply = [&](size_t t) HEARTH_INLINE_LAMBDA {
          float* total = totals + t * kPanelRows;
          const VF32 sum = AddUnit(quads, unit, lane, TokenUnit<Format>(x, t), hn::Load(F32(), total));
          hn::Store(sum, F32(), total);
        };
        size_t t = 0;
        for (; t + 4 <= range.tokens; t += 4) {
          Repeat<4>([&](auto i) HEARTH_INLINE_LAMBDA { multiply(t + i); });
        }
        for (; t < range.tokens; ++t) multiply(t);
      }
    }
  }

  // total + kLanes rows, from `lane` on, of a unit of weights times a token's unit.
  HWY_INLINE VF32 AddUnit(const VI32 (&quads)[kQuads], size_t unit, size_t lane, const TokenUnit<Format>& x,
                          VF32 total) const {
    constexpr size_t kPartQuads = kQuads / kParts;
    Repeat<kParts>([&](auto part) HEARTH_INLINE_LAMBDA {
      // Two sums side by side, since each step waits for the one before it.
      VI32 low = hn::Zero(I32()), high = hn::Zero(I32());
      if constexpr (TokenUnit<Format>::kOffsetBits > 0) low = x.offset[part];
      Repeat<kPartQuads>([&](auto i) HEARTH_INLINE_LAMBDA {
        constexpr size_t kQuad = part * kPartQuads + i;
        AddQuad(quads[kQuad], x.codes + 4 * kQuad, i < kPartQuads / 2 ? low : high);
      });
      total = AddPart<part>(hn::Add(low, high), unit, lane, x, total);
    });
    return total;
  }

  // total + the products of a unit's part, which are `sum` before they are scaled.
  template <size_t kPart>
  HWY_INLINE VF32 AddPart(VI32 sum, size_t unit, size_t lane, const TokenUnit<Format>& x, VF32 total) const {
    const size_t at = kParts * unit + kPart;
    const VF32 scale = hn::Mul(hn::Load(F32(), scales_.scales[at] + lane), x.scale);
    total = hn::MulAdd(hn::ConvertTo(F32(), sum), scale, total);
    if constexpr (Format::kMinima) {
      total = hn::NegMulAdd(hn::Load(F32(), scales_.minima[at] + lane), x.scaled_sum[kPart], total);
    }
    return total;
  }

  const bool wants_prefetch_ = WantsPrefetch();
  StripScales scales_;  // of the strip that was prepared
};

#if HWY_TARGET == HWY_AVX3_DL
// ... or, for many tokens, with matrix tiles, which want the codes expanded in memory.
template <class Format>
class TileMethod {
 public:
  TileMethod() { ConfigureTiles(Format::kHalves ? kQuads / 2 : kQuads); }
  ~TileMethod() { ReleaseTiles(); }

  // Tokens as whole tiles.
  static constexpr size_t Padded(size_t tokens) {
    return (tokens + kTileTokens - 1) / kTileTokens * kTileTokens;
  }

  // Before the strip is multiplied: what all tokens share.
  HWY_INLINE void Prepare(const Strip& strip) {
    ExpandStrip<Format, true>(strip.packed, strip.units, expanded_);
  }

  HWY_INLINE static bool TakesGroups(const TokenRange&) { return false; }
  HWY_INLINE void MultiplyGroups(const TokenRange&, const Strip&, uint32_t, float*, int64_t*) const {}

  // Adds the strip's products for tokens [begin, end) of x to their sums.
  HWY_INLINE void Multiply(const TokenRange& x, const Strip& strip, size_t begin, size_t end,
                           float* totals) const {
    for (size_t unit = begin; unit < end; ++unit) Prefetch<Format>(strip, unit);
    MultiplyUnitsWithTiles<Format::kHalves, Format::kMinima>(expanded_, begin, end, x.blocks, x.first,
                                                             x.tokens, strip.first_unit, totals);
  }

 private:
  ExpandedStrip expanded_;
};
// Below this the tiles, which always hold 16 tokens, are slower than vectors.
constexpr size_t kFewestTileTokens = 10;
#endif

// Calls visit.operator()<Format>() for the format of a type with quantised panels (CHECK).
template <class Visit>
HWY_INLINE void VisitFormat(TensorType type, const Visit& visit) {
  switch (type) {
    case TensorType::kQ4_0:
      return visit.template operator()<Q4_0Format>();
    case TensorType::kQ4_1:
      return visit.template operator()<Q4_1Format>();
    case TensorType::kQ5_0:
      return visit.template operator()<Q5_0Format>();
    case TensorType::kQ5_1:
      return visit.template operator()<Q5_1Format>();
    case TensorType::kQ8_0:
      return visit.template operator()<Q8_0Format>();
    case TensorType::kQ2_K:
      return visit.template operator()<Q2_KFormat>();
    case TensorType::kQ3_K:
      return visit.template operator()<Q3_KFormat>();
    case TensorType::kQ4_K:
      return visit.template operator()<Q4_KFormat>();
    case TensorType::kQ5_K:
      return visit.template operator()<Q5_KFormat>();
    case TensorType::kQ6_K:
      return visit.template operator()<Q6_KFormat>();
    case TensorType::kIQ4_NL:
      return visit.template operator()<IQ4_NLFormat>();
    case TensorType::kIQ4_XS:
      return visit.template operator()<IQ4_XSFormat>();
    case TensorType::kMXFP4:
      return visit.template operator()<MXFP4Format>();
    default:
      HEARTH_CHECK(!"the type has no quantised panels");
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
