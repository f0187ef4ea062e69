// Products of quantised panels with activations in 8-bit units: integer sums of 32 columns, scaled and added
// in float32, always in the order of the columns.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

#include "engine/base/check.h"
#include "engine/kernel/matrix_tiles.h"
#include "engine/kernel/panels.h"
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
// One stream of reads does not reach the memory's bandwidth; four in turn, a unit from each, do.
constexpr size_t kPanelsTogether = 4;
// How far ahead of its use a panel's memory is asked for.
constexpr size_t kPrefetchBytes = 4096;

// A unit of the activations. What it has of token t: codes + t * kUnitCols, scales[t] and so on; with halves, the
// second half's sums lie `rows` further.
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

// total + kLanes rows of a unit of weights times a token's unit.
template <class Format>
HWY_INLINE VF32 AddUnit(const VI32 (&quads)[kQuads], const float* scales, const float* minima,
                        const TokenUnit<Format>& x, VF32 total) {
  constexpr size_t kPartQuads = kQuads / TokenUnit<Format>::kParts;
  const F32 d;
  Repeat<TokenUnit<Format>::kParts>([&](auto part) HEARTH_INLINE_LAMBDA {
    // Two sums side by side, since each step waits for the one before it.
    VI32 even = hn::Zero(I32()), odd = hn::Zero(I32());
    if constexpr (TokenUnit<Format>::kOffsetBits > 0) even = x.offset[part];
    Repeat<kPartQuads>([&](auto i) HEARTH_INLINE_LAMBDA {
      constexpr size_t kQuad = part * kPartQuads + i;
      AddQuad(quads[kQuad], x.codes + 4 * kQuad, i % 2 == 0 ? even : odd);
    });
    const VF32 factor = hn::Mul(hn::Load(d, scales + part * kPanelRows), x.scale);
    total = hn::MulAdd(hn::ConvertTo(d, hn::Add(even, odd)), factor, total);
    if constexpr (Format::kMinima) {
      total = hn::NegMulAdd(hn::Load(d, minima + part * kPanelRows), x.scaled_sum[part], total);
    }
  });
  return total;
}

// kLanes rows of a unit's codes from `lane` on, as one number per row and quad.
template <class Format>
HWY_INLINE void LoadQuads(const uint8_t* packed, size_t units, size_t unit, size_t lane,
                          VI32 (&quads)[kQuads]) {
  UnitCodes codes;
  if constexpr (kLanes > 1) {
    LoadCodes<Format, kSignedCodes>(packed, units, unit, 4 * lane, codes);
    Repeat<kQuads>([&](auto quad)
                       HEARTH_INLINE_LAMBDA { quads[quad] = hn::BitCast(I32(), codes[quad]); });
  } else {
    HWY_ALIGN uint8_t bytes[kQuads][4];
    for (size_t byte = 0; byte < 4; ++byte) {
      LoadCodes<Format, kSignedCodes>(packed, units, unit, 4 * lane + byte, codes);
      Repeat<kQuads>([&](auto quad)
                         HEARTH_INLINE_LAMBDA { hn::Store(codes[quad], U8(), bytes[quad] + byte); });
    }
    Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA { quads[quad] = LoadBytes(I32(), bytes[quad]); });
  }
}

// What is computed together: a few panels, whose strips are read in turn, and some tokens.
struct Part {
  const PanelTask& task;
  size_t first_panel;
  size_t panels;  // at most kPanelsTogether
  size_t first;   // token
  size_t tokens;
  float* totals;  // (panels, panel_totals)
  size_t panel_totals;
};

// The strips of a part that lie beside one another.
struct Strips {
  const uint8_t* packed;  // of panel p: + p * stride
  size_t stride;
  size_t units;
  size_t first_unit;  // its number in the row
  size_t unit_bytes;  // of a strip per unit
};

// How the products of strips are made: with vectors that take the codes as they are packed ...
template <class Format>
class VectorMethod {
 public:
  // Totals per panel for so many tokens.
  static constexpr size_t Padded(size_t tokens) { return tokens; }

  HWY_INLINE void Prepare(const Part& part, const Strips& strips) {
    for (size_t p = 0; p < part.panels; ++p) {
      Format::Scales(strips.packed + p * strips.stride, strips.units, scales_[p]);
    }
  }

  // Adds the units [begin, end) to the totals.
  HWY_INLINE void Multiply(const Part& part, const Strips& strips, size_t begin, size_t end) const {
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      if (part.tokens == 1 && part.panels == kPanelsTogether) {
        MultiplyOneToken(part, strips, begin, end, lane);
      } else {
        MultiplyTokens(part, strips, begin, end, lane);
      }
    }
  }

 private:
  // Totals stay in registers.
  HWY_INLINE void MultiplyOneToken(const Part& part, const Strips& strips, size_t begin, size_t end,
                                   size_t lane) const {
    VF32 totals[kPanelsTogether];
    Repeat<kPanelsTogether>([&](auto p) HEARTH_INLINE_LAMBDA {
      totals[p] = hn::Load(F32(), part.totals + p * part.panel_totals + lane);
    });
    for (size_t unit = begin; unit < end; ++unit) {
      const TokenUnit<Format> x(UnitOf<Format>(*part.task.blocks, strips.first_unit + unit, part.first), 0);
      Repeat<kPanelsTogether>([&](auto p) HEARTH_INLINE_LAMBDA {
        VI32 quads[kQuads];
        Load(strips, p, unit, lane, quads);
        totals[p] = AddUnit(quads, Scales(p, unit, lane), Minima(p, unit, lane), x, totals[p]);
      });
    }
    Repeat<kPanelsTogether>([&](auto p) HEARTH_INLINE_LAMBDA {
      hn::Store(totals[p], F32(), part.totals + p * part.panel_totals + lane);
    });
  }

  // Codes stay in registers.
  HWY_INLINE void MultiplyTokens(const Part& part, const Strips& strips, size_t begin, size_t end,
                                 size_t lane) const {
    for (size_t unit = begin; unit < end; ++unit) {
      const UnitOfTokens x = UnitOf<Format>(*part.task.blocks, strips.first_unit + unit, part.first);
      for (size_t p = 0; p < part.panels; ++p) {
        const float* scales = Scales(p, unit, lane);
        const float* minima = Minima(p, unit, lane);
        float* totals = part.totals + p * part.panel_totals + lane;
        VI32 quads[kQuads];
        Load(strips, p, unit, lane, quads);
        const auto multiply = [&](size_t t) HEARTH_INLINE_LAMBDA {
          float* total = totals + t * kPanelRows;
          const TokenUnit<Format> token(x, t);
          hn::Store(AddUnit(quads, scales, minima, token, hn::Load(F32(), total)), F32(), total);
        };
        size_t t = 0;
        for (; t + 4 <= part.tokens; t += 4) {
          Repeat<4>([&](auto i) HEARTH_INLINE_LAMBDA { multiply(t + i); });
        }
        for (; t < part.tokens; ++t) multiply(t);
      }
    }
  }

  static HWY_INLINE void Load(const Strips& strips, size_t panel, size_t unit, size_t lane,
                              VI32 (&quads)[kQuads]) {
    const uint8_t* packed = strips.packed + panel * strips.stride;
    // Spread among the products these requests cost next to nothing; a burst of them would fill the queue of
    // outstanding loads and hold everything up. Beyond a panel's end they are of little use, and rare.
    const uint8_t* ahead = packed + unit * strips.unit_bytes + kPrefetchBytes;
    for (size_t byte = 0; byte < strips.unit_bytes; byte += kCacheLine) hwy::Prefetch(ahead + byte);
    LoadQuads<Format>(packed, strips.units, unit, lane, quads);
  }
  HWY_INLINE const float* Scales(size_t panel, size_t unit, size_t lane) const {
    return scales_[panel].scales[TokenUnit<Format>::kParts * unit] + lane;
  }
  HWY_INLINE const float* Minima(size_t panel, size_t unit, size_t lane) const {
    return scales_[panel].minima[TokenUnit<Format>::kParts * unit] + lane;
  }

  StripScales scales_[kPanelsTogether];
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

  HWY_INLINE void Prepare(const Part& part, const Strips& strips) {
    for (size_t p = 0; p < part.panels; ++p) {
      ExpandStrip<Format, true>(strips.packed + p * strips.stride, strips.units, strips_[p]);
    }
  }

  HWY_INLINE void Multiply(const Part& part, const Strips& strips, size_t begin, size_t end) const {
    for (size_t p = 0; p < part.panels; ++p) {
      MultiplyUnitsWithTiles<Format::kHalves, Format::kMinima>(
          strips_[p], begin, end, *part.task.blocks, part.first, part.tokens, strips.first_unit,
          part.totals + p * part.panel_totals);
    }
  }

 private:
  Strip strips_[kPanelsTogether];
};
// Below this the tiles, which always hold 16 tokens, are slower than vectors.
constexpr size_t kFewestTileTokens = 10;
#endif

// Walks through the columns strip by strip and delivers the totals wherever a group ends.
template <class Method>
void MultiplyPart(const Part& part, Method& method) {
  const PanelTask& task = part.task;
  const Matrix::Storage& storage = task.weights->storage();
  const size_t units = task.weights->cols() / kUnitCols;
  const uint8_t* data = storage.data + part.first_panel * storage.stride;
  const uint32_t* group = task.group_ends.begin();  // the first whose sums are not complete
  PanelResults<kTokenTile> results(task, part.first_panel, part.panels, part.first, part.tokens);
  std::fill_n(part.totals, part.panels * part.panel_totals, 0.0f);
  const auto end_groups = [&](size_t unit) {
    for (; group != task.group_ends.end() && *group == unit * kUnitCols; ++group) {
      for (size_t p = 0; p < part.panels; ++p) {
        float* totals = part.totals + p * part.panel_totals;
        for (size_t t = 0; t < part.tokens; ++t) {
          float* sums = totals + t * kPanelRows;
          results.Add(p, t, sums);
          for (size_t lane = 0; lane < kPanelRows; lane += kLanes) hn::Store(hn::Zero(F32()), F32(), sums + lane);
        }
      }
    }
  };
  end_groups(0);
  for (size_t base = 0; base < units; base += kStripUnits) {
    const size_t end = std::min(base + kStripUnits, units);
    const Strips strips = {.packed = data + base / kStripUnits * storage.strip_bytes,
                           .stride = storage.stride,
                           .units = end - base,
                           .first_unit = base,
                           .unit_bytes = storage.strip_bytes / kStripUnits};
    method.Prepare(part, strips);
    for (size_t unit = base; unit < end;) {
      const size_t stop = std::min<size_t>(end, *group / kUnitCols);
      method.Multiply(part, strips, unit - base, stop - base);
      unit = stop;
      end_groups(unit);
    }
  }
  results.Deliver();
}

template <class Method>
void MultiplyTokens(const PanelTask& task, size_t begin, size_t end, size_t first, size_t tokens) {
  HWY_ALIGN float totals[kTokenTile * kPanelRows];
  Method method;
  const size_t padded = Method::Padded(tokens);
  const size_t together = std::clamp<size_t>(kTokenTile / padded, 1, kPanelsTogether);
  for (size_t panel = begin; panel < end; panel += together) {
    const size_t panels = std::min(together, end - panel);
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
