// Products of quantised panels with activations in 8-bit units: integer sums of 32 columns, scaled and added
// in float32, always in the order of the columns.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "engine/base/check.h"
#include "engine/kernel/matrix_tiles.h"
#include "engine/kernel/panels.h"
#include "engine/kernel/prefetch.h"
#include "engine/kernel/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/kernel/quant_panels.cc"
// clang-format off: this include has to be the first of Highway's.
#include "hwy/foreach_target.h"
// clang-format on
#include "engine/kernel/byte_products-inl.h"
#include "engine/kernel/panel_results-inl.h"
#include "engine/kernel/quant_formats-inl.h"
#include "engine/kernel/quant_tiles-inl.h"
#include "engine/kernel/simd-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Tokens whose totals stay in the L1 cache. With few tokens, several panels share that memory.
constexpr size_t kTokenTile = 128;

// A unit of the activations. What it has of token t: codes + t * kUnitCols, scales[t] and so on; with halves,
// the second half's sums lie `rows` further.
struct UnitOfTokens {
  const int8_t* codes;
  const float* scales;
  const int32_t* minus_sums;
  const float* scaled_sums;
  size_t rows;
};

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

// What is computed together: panels of one group, whose strips are read in turn, and some tokens.
struct Part {
  const PanelTask& task;
  size_t first_panel;
  size_t panels;
  size_t first;  // token
  size_t tokens;
  float* totals;  // (panels, panel_totals)
  size_t panel_totals;
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

// The strip of a panel, counted from the part's first one.
HWY_INLINE Strip StripOf(const Part& part, const StripGroup& layout, size_t panel, size_t strip) {
  const uint8_t* packed = part.task.weights->storage().data + layout.At(part.first_panel + panel, strip);
  const size_t first_unit = strip * kStripUnits;
  return {.packed = packed,
          .next = packed + layout.panels * layout.strip_bytes,
          .units = std::min(kStripUnits, part.task.weights->cols() / kUnitCols - first_unit),
          .first_unit = first_unit};
}

// How the products of strips are made: with vectors that take the codes as they are packed ...
template <class Format>
class VectorMethod {
 public:
  // Totals per panel for so many tokens.
  static constexpr size_t Padded(size_t tokens) { return tokens; }

  HWY_INLINE void Prepare(const Strip& strip) { ExpandScales<Format>(strip.packed, strip.units, scales_); }

  // Adds the units [begin, end) to the totals of the strip's panel.
  HWY_INLINE void Multiply(const Part& part, const Strip& strip, size_t begin, size_t end,
                           float* totals) const {
    if (part.task.blocks->rows == 1) {
      MultiplyOneToken(UnitOf<Format>(*part.task.blocks, strip.first_unit, 0), strip, begin, end, totals);
    } else {
      MultiplyTokens(part, strip, begin, end, totals);
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
      for (size_t unit = begin; unit < end; ++unit) {
        if (wants_prefetch_) Prefetch<Format>(strip, unit);
        VI32 quads[kQuads];
        LoadQuads<Format>(strip.packed, strip.units, unit, lane, quads);
        const UnitOfTokens x = {first.codes + unit * kUnitCols, first.scales + unit,
                                first.minus_sums + kParts * unit, first.scaled_sums + kParts * unit, 1};
        total = AddUnit(quads, unit, lane, TokenUnit<Format>(x, 0), total);
      }
      hn::Store(total, F32(), totals + lane);
    }
  }

  // The codes of a unit stay in registers.
  HWY_INLINE void MultiplyTokens(const Part& part, const Strip& strip, size_t begin, size_t end,
                                 float* panel_totals) const {
    // With more work per unit no processor looks far enough ahead by itself.
    const bool wants_prefetch = wants_prefetch_ || part.tokens > 2;
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      for (size_t unit = begin; unit < end; ++unit) {
        if (wants_prefetch) Prefetch<Format>(strip, unit);
        const UnitOfTokens x = UnitOf<Format>(*part.task.blocks, strip.first_unit + unit, part.first);
        float* totals = panel_totals + lane;
        VI32 quads[kQuads];
        LoadQuads<Format>(strip.packed, strip.units, unit, lane, quads);
        const auto multiply = [&](size_t t) HEARTH_INLINE_LAMBDA {
          float* total = totals + t * kPanelRows;
          const VF32 sum = AddUnit(quads, unit, lane, TokenUnit<Format>(x, t), hn::Load(F32(), total));
          hn::Store(sum, F32(), total);
        };
        size_t t = 0;
        for (; t + 4 <= part.tokens; t += 4) {
          Repeat<4>([&](auto i) HEARTH_INLINE_LAMBDA { multiply(t + i); });
        }
        for (; t < part.tokens; ++t) multiply(t);
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
      const size_t at = kParts * unit + part;
      const VF32 scale = hn::Mul(hn::Load(F32(), scales_.scales[at] + lane), x.scale);
      total = hn::MulAdd(hn::ConvertTo(F32(), hn::Add(low, high)), scale, total);
      if constexpr (Format::kMinima) {
        total = hn::NegMulAdd(hn::Load(F32(), scales_.minima[at] + lane), x.scaled_sum[part], total);
      }
    });
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

  static constexpr size_t Padded(size_t tokens) {
    return (tokens + kTileTokens - 1) / kTileTokens * kTileTokens;
  }

  HWY_INLINE void Prepare(const Strip& strip) {
    ExpandStrip<Format, true>(strip.packed, strip.units, expanded_);
  }

  HWY_INLINE void Multiply(const Part& part, const Strip& strip, size_t begin, size_t end,
                           float* totals) const {
    for (size_t unit = begin; unit < end; ++unit) Prefetch<Format>(strip, unit);
    MultiplyUnitsWithTiles<Format::kHalves, Format::kMinima>(
        expanded_, begin, end, *part.task.blocks, part.first, part.tokens, strip.first_unit, totals);
  }

 private:
  ExpandedStrip expanded_;
};
// Below this the tiles, which always hold 16 tokens, are slower than vectors.
constexpr size_t kFewestTileTokens = 10;
#endif

// Walks through the columns strip by strip and delivers the totals wherever a group ends.
template <class Method>
void MultiplyPart(const Part& part, Method& method) {
  const PanelTask& task = part.task;
  const StripGroup layout(task.weights->storage(), task.weights->rows(), task.weights->cols(),
                          part.first_panel);
  PanelResults<kTokenTile> results(task, part.first_panel, part.panels, part.first, part.tokens);
  std::fill_n(part.totals, part.panels * part.panel_totals, 0.0f);
  const uint32_t* group = task.group_ends.begin();  // the first whose sums are not complete
  while (*group == 0) ++group;
  for (size_t i = 0; i <= layout.last_strip; ++i) {
    const uint32_t* next = group;
    for (size_t p = 0; p < part.panels; ++p) {
      const Strip strip = StripOf(part, layout, p, i);
      float* totals = part.totals + p * part.panel_totals;
      method.Prepare(strip);
      next = group;
      for (size_t unit = 0; unit < strip.units;) {
        const size_t group_end = *next / kUnitCols - strip.first_unit;
        const size_t end = std::min(strip.units, group_end);
        method.Multiply(part, strip, unit, end, totals);
        unit = end;
        if (end < group_end) break;
        for (size_t t = 0; t < part.tokens; ++t) results.Add(p, t, totals + t * kPanelRows);
        std::fill_n(totals, part.tokens * kPanelRows, 0.0f);
        // Groups without columns have nothing to add.
        for (const uint32_t done = *next; next != task.group_ends.end() && *next == done;) ++next;
      }
    }
    group = next;
  }
  results.Deliver();
}

template <class Method>
void MultiplyTokens(const PanelTask& task, size_t begin, size_t end, size_t first, size_t tokens) {
  HWY_ALIGN float totals[kTokenTile * kPanelRows];
  Method method;
  const size_t padded = Method::Padded(tokens);
  const size_t together = std::clamp<size_t>(kTokenTile / padded, 1, kGroupPanels);
  for (size_t panel = begin, panels; panel < end; panel += panels) {
    panels = std::min({together, end - panel, kGroupPanels - panel % kGroupPanels});
    MultiplyPart({task, panel, panels, first, tokens, totals, padded * kPanelRows}, method);
  }
}

template <class Format>
void MultiplyPanels(const PanelTask& task, size_t begin, size_t end) {
  for (size_t first = 0; first < task.x->rows(); first += kTokenTile) {
    const size_t tokens = std::min(kTokenTile, task.x->rows() - first);
#if HWY_TARGET == HWY_AVX3_DL
    if (tokens >= kFewestTileTokens && HasMatrixTiles()) {
      MultiplyTokens<TileMethod<Format>>(task, begin, end, first, tokens);
      continue;
    }
#endif
    MultiplyTokens<VectorMethod<Format>>(task, begin, end, first, tokens);
  }
}

void MultiplyQuantPanels(const PanelTask& task, size_t begin, size_t end) {
  switch (task.weights->type()) {
    case TensorType::kQ4_0:
      return MultiplyPanels<Q4_0Format>(task, begin, end);
    case TensorType::kQ4_1:
      return MultiplyPanels<Q4_1Format>(task, begin, end);
    case TensorType::kQ5_0:
      return MultiplyPanels<Q5_0Format>(task, begin, end);
    case TensorType::kQ5_1:
      return MultiplyPanels<Q5_1Format>(task, begin, end);
    case TensorType::kQ8_0:
      return MultiplyPanels<Q8_0Format>(task, begin, end);
    case TensorType::kQ2_K:
      return MultiplyPanels<Q2_KFormat>(task, begin, end);
    case TensorType::kQ3_K:
      return MultiplyPanels<Q3_KFormat>(task, begin, end);
    case TensorType::kQ4_K:
      return MultiplyPanels<Q4_KFormat>(task, begin, end);
    case TensorType::kQ5_K:
      return MultiplyPanels<Q5_KFormat>(task, begin, end);
    case TensorType::kQ6_K:
      return MultiplyPanels<Q6_KFormat>(task, begin, end);
    case TensorType::kIQ4_NL:
      return MultiplyPanels<IQ4_NLFormat>(task, begin, end);
    case TensorType::kIQ4_XS:
      return MultiplyPanels<IQ4_XSFormat>(task, begin, end);
    case TensorType::kMXFP4:
      return MultiplyPanels<MXFP4Format>(task, begin, end);
    default:
      HEARTH_CHECK(!"the type has no quantised panels");
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(MultiplyQuantPanels);

void MultiplyQuantPanels(const PanelTask& task, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyQuantPanels)(task, begin, end);
}

}  // namespace hearth
#endif  // HWY_ONCE
