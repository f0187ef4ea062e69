// Products of quantised panels with activations in 8-bit units: integer sums of 32 columns, scaled and added
// in float32, always in the order of the columns.

#include <algorithm>
#include <bit>
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
#include "engine/kernel/simd-inl.h"
#include "hwy/cache_control.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

// Tokens whose sums (integer and float) fit the registers together.
constexpr size_t kTogether = HWY_TARGET <= HWY_AVX3 ? 8 : HWY_TARGET == HWY_AVX2 ? 4 : 1;
// Tokens for which a strip is expanded once.
constexpr size_t kTokenTile = 128;
// How far ahead of their use weights are asked for: about what a memory with 100 ns latency delivers
// meanwhile.
constexpr size_t kPrefetchBytes = 4096;

// totals[t][16] += units [begin, end) of the strip times T tokens from `token` on. first_unit is the number,
// in the row, of the strip's first unit. Unsigned codes are 2^kOffsetBits too large, unless that is 0.
template <bool kHalves, bool kMinima, int kOffsetBits, size_t T>
void MultiplyUnits(const Strip& strip, size_t begin, size_t end, const Activations::Blocks& x, size_t token,
                   size_t first_unit, float* HWY_RESTRICT totals) {
  constexpr size_t kParts = kHalves ? 2 : 1;  // of a unit, with a scale each
  constexpr size_t kPartQuads = kQuads / kParts;
  const F32 d;
  VF32 total[T * kPanelVectors];  // of token i / kPanelVectors, rows from i % kPanelVectors * kLanes on
  Repeat<T * kPanelVectors>([&](auto i)
                                HEARTH_INLINE_LAMBDA { total[i] = hn::Load(d, totals + i * kLanes); });
  for (size_t u = begin; u < end; ++u) {
    const size_t unit = (first_unit + u) * x.rows + token;
    const int8_t* x_codes = x.codes.data() + unit * kUnitCols;
    const float* x_scales = x.scales.data() + unit;
    for (size_t part = 0; part < kParts; ++part) {
      const size_t x_part = kHalves ? (kParts * (first_unit + u) + part) * x.rows + token : unit;
      const int32_t* minus_sums = (kHalves ? x.minus_halves : x.minus_sums).data() + x_part;
      const float* scaled_sums = (kHalves ? x.scaled_halves : x.scaled_sums).data() + x_part;
      VI32 sums[T * kPanelVectors];
      Repeat<T * kPanelVectors>([&](auto i) HEARTH_INLINE_LAMBDA {
        sums[i] = hn::Zero(I32());
        if constexpr (kOffsetBits > 0) {
          sums[i] = hn::ShiftLeft<kOffsetBits>(hn::Set(I32(), minus_sums[i / kPanelVectors]));
        }
      });
      for (size_t quad = part * kPartQuads; quad < (part + 1) * kPartQuads; ++quad) {
        VI32 w[kPanelVectors];
        Repeat<kPanelVectors>([&](auto v) HEARTH_INLINE_LAMBDA {
          w[v] = LoadBytes(I32(), strip.codes[u][quad] + 4 * v * kLanes);
        });
        Repeat<T * kPanelVectors>([&](auto i) HEARTH_INLINE_LAMBDA {
          AddQuad(w[i % kPanelVectors], x_codes + i / kPanelVectors * kUnitCols + 4 * quad, sums[i]);
        });
      }
      Repeat<T * kPanelVectors>([&](auto i) HEARTH_INLINE_LAMBDA {
        const size_t lane = i % kPanelVectors * kLanes;
        const VF32 scale = hn::Load(d, strip.scales[kParts * u + part] + lane);
        const VF32 factor = hn::Mul(scale, hn::Set(d, x_scales[i / kPanelVectors]));
        total[i] = hn::MulAdd(hn::ConvertTo(d, sums[i]), factor, total[i]);
        if constexpr (kMinima) {
          const VF32 minimum = hn::Load(d, strip.minima[kParts * u + part] + lane);
          total[i] = hn::NegMulAdd(minimum, hn::Set(d, scaled_sums[i / kPanelVectors]), total[i]);
        }
      });
    }
  }
  Repeat<T * kPanelVectors>([&](auto i)
                                HEARTH_INLINE_LAMBDA { hn::Store(total[i], d, totals + i * kLanes); });
}

// As MultiplyUnits for any number of tokens.
template <class Format>
void MultiplyAllTokens(const Strip& strip, size_t begin, size_t end, const Activations::Blocks& x,
                       size_t first, size_t tokens, size_t first_unit, float* totals) {
  constexpr int kOffsetBits = kSignedCodes ? 0 : Format::kOffsetBits;
  size_t t = 0;
  const auto multiply = [&](auto together) HWY_ATTR {
    for (; t + together <= tokens; t += together) {
      MultiplyUnits<Format::kHalves, Format::kMinima, kOffsetBits, together>(
          strip, begin, end, x, first + t, first_unit, totals + t * kPanelRows);
    }
  };
  multiply(std::integral_constant<size_t, kTogether>());
  multiply(std::integral_constant<size_t, (kTogether + 1) / 2>());
  multiply(std::integral_constant<size_t, (kTogether + 3) / 4>());
  multiply(std::integral_constant<size_t, 1>());
}

#if HWY_TARGET == HWY_AVX3_DL

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

// Below this the tiles, which always hold 16 tokens, are slower than vectors.
constexpr size_t kFewestTileTokens = 10;

struct TileMethod {
  static constexpr bool kSigned = true;
  template <class Format>
  static void Multiply(const Strip& strip, size_t begin, size_t end, const Activations::Blocks& x,
                       size_t first, size_t tokens, size_t first_unit, float* totals) {
    MultiplyUnitsWithTiles<Format::kHalves, Format::kMinima>(strip, begin, end, x, first, tokens, first_unit,
                                                             totals);
  }
};

#endif  // HWY_TARGET == HWY_AVX3_DL

// Asks for the cache lines of [begin, end) before they are needed. Hardware prefetchers stop at pages.
HWY_INLINE void PrefetchLines(const uint8_t* begin, const uint8_t* end) {
  for (; begin < end; begin += kCacheLine) hwy::Prefetch(begin);
}

// Vector instructions.
struct VectorMethod {
  static constexpr bool kSigned = kSignedCodes;
  template <class Format>
  static void Multiply(const Strip& strip, size_t begin, size_t end, const Activations::Blocks& x,
                       size_t first, size_t tokens, size_t first_unit, float* totals) {
    MultiplyAllTokens<Format>(strip, begin, end, x, first, tokens, first_unit, totals);
  }
};

// One panel and tokens [first, first + tokens).
template <class Format, class Method>
void MultiplyPanel(const PanelTask& task, size_t panel, size_t first, size_t tokens) {
  HWY_ALIGN float totals[kTokenTile * kPanelRows];
  Strip strip;
  const Activations::Blocks& x = *task.blocks;
  const size_t units = task.weights->cols() / kUnitCols;
  const uint8_t* data = task.weights->storage().data + panel * task.weights->storage().stride;
  const size_t strip_bytes = task.weights->storage().strip_bytes;
  const uint32_t* group_end = task.group_ends.begin();
  std::fill_n(totals, tokens * kPanelRows, 0.0f);
  const auto deliver_finished_groups = [&](size_t unit) {
    for (; group_end != task.group_ends.end() && *group_end == unit * kUnitCols; ++group_end) {
      for (size_t t = 0; t < tokens; ++t) DeliverSums(task, panel, first + t, totals + t * kPanelRows);
      std::fill_n(totals, tokens * kPanelRows, 0.0f);
    }
  };
  deliver_finished_groups(0);
  for (size_t base = 0; base < units; base += kStripUnits, data += strip_bytes) {
    const size_t count = std::min(kStripUnits, units - base);
    PrefetchLines(data + kPrefetchBytes, data + kPrefetchBytes + strip_bytes);
    Format::template Expand<Method::kSigned>(data, count, strip);
    for (size_t unit = base; unit < base + count;) {
      const size_t end = std::min(base + count, *group_end / kUnitCols);
      Method::template Multiply<Format>(strip, unit - base, end - base, x, first, tokens, base, totals);
      unit = end;
      deliver_finished_groups(unit);
    }
  }
}

template <class Format>
void MultiplyPanels(const PanelTask& task, size_t begin, size_t end) {
  for (size_t first = 0; first < task.x->rows(); first += kTokenTile) {
    const size_t tokens = std::min(kTokenTile, task.x->rows() - first);
#if HWY_TARGET == HWY_AVX3_DL
    if (tokens >= kFewestTileTokens && HasMatrixTiles()) {
      ConfigureTiles(Format::kHalves ? kQuads / 2 : kQuads);
      for (size_t panel = begin; panel < end; ++panel) {
        MultiplyPanel<Format, TileMethod>(task, panel, first, tokens);
      }
      ReleaseTiles();
      continue;
    }
#endif
    for (size_t panel = begin; panel < end; ++panel) {
      MultiplyPanel<Format, VectorMethod>(task, panel, first, tokens);
    }
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

// One unit of one row: codes, scale and sums.
HWY_INLINE void QuantizeUnit(const float* values, size_t row, size_t number, Activations::Blocks& blocks) {
  const size_t unit = number * blocks.rows + row;
  const F32 d;
  constexpr size_t kVectors = kUnitCols / kLanes;
  // As integers the magnitudes compare as they do as floats, and a NaN is larger than everything: it becomes
  // the scale and thus the result.
  VI32 largest = hn::Zero(I32());
  for (size_t v = 0; v < kVectors; ++v) {
    const VI32 bits = hn::BitCast(I32(), hn::LoadU(d, values + v * kLanes));
    largest = hn::Max(largest, hn::And(bits, hn::Set(I32(), 0x7fffffff)));
  }
  const float magnitude = std::bit_cast<float>(hn::GetLane(hn::MaxOfLanes(I32(), largest)));
  const VF32 inverse = hn::Set(d, magnitude > 0 ? 127.0f / magnitude : 0.0f);
  const float scale = magnitude / 127.0f;
  const hn::Rebind<int8_t, I32> bytes;
  int8_t* codes = blocks.codes.data() + unit * kUnitCols;
  int32_t halves[2];
  for (size_t half = 0; half < 2; ++half) {
    VI32 sum = hn::Zero(I32());
    for (size_t v = half * kPanelVectors; v < (half + 1) * kPanelVectors; ++v) {
      const VI32 code = hn::NearestInt(hn::Mul(hn::LoadU(d, values + v * kLanes), inverse));
      hn::StoreU(hn::DemoteTo(bytes, code), bytes, codes + v * kLanes);
      sum = hn::Add(sum, code);
    }
    halves[half] = hn::GetLane(hn::SumOfLanes(I32(), sum));
  }
  const int32_t sum = halves[0] + halves[1];
  blocks.scales.data()[unit] = scale;
  blocks.minus_sums.data()[unit] = -sum;
  blocks.scaled_sums.data()[unit] = scale * static_cast<float>(sum);
  for (size_t half = 0; half < 2; ++half) {
    const size_t at = (2 * number + half) * blocks.rows + row;
    blocks.minus_halves.data()[at] = -halves[half];
    blocks.scaled_halves.data()[at] = scale * static_cast<float>(halves[half]);
  }
}

void QuantizeActivations(const Activations& x, size_t begin, size_t end, Activations::Blocks& blocks) {
  const size_t whole = x.cols() / kUnitCols;
  for (size_t row = begin; row < end; ++row) {
    for (size_t u = 0; u < whole; ++u) QuantizeUnit(x.row(row) + u * kUnitCols, row, u, blocks);
    if (whole == blocks.units) continue;
    float rest[kUnitCols] = {};
    std::copy(x.row(row) + whole * kUnitCols, x.row(row) + x.cols(), rest);
    QuantizeUnit(rest, row, whole, blocks);
  }
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace hearth {

HWY_EXPORT(MultiplyQuantPanels);
HWY_EXPORT(QuantizeActivations);

void MultiplyQuantPanels(const PanelTask& task, size_t begin, size_t end) {
  HWY_DYNAMIC_DISPATCH(MultiplyQuantPanels)(task, begin, end);
}
void QuantizeActivations(const Activations& x, size_t begin, size_t end, Activations::Blocks& blocks) {
  HWY_DYNAMIC_DISPATCH(QuantizeActivations)(x, begin, end, blocks);
}

}  // namespace hearth
#endif  // HWY_ONCE
