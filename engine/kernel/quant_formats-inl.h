// Reads the strips of quantised panels (see quant_pack.h). Compiled once per instruction set.
#if defined(HEARTH_ENGINE_KERNEL_QUANT_FORMATS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef HEARTH_ENGINE_KERNEL_QUANT_FORMATS_INL_H_
#undef HEARTH_ENGINE_KERNEL_QUANT_FORMATS_INL_H_
#else
#define HEARTH_ENGINE_KERNEL_QUANT_FORMATS_INL_H_
#endif

#include <cstddef>
#include <cstdint>

#include "engine/kernel/panels.h"
#include "engine/kernel/simd-inl.h"
#include "engine/quant/blocks.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace hearth {
namespace HWY_NAMESPACE {

using U8 = hn::CappedTag<uint8_t, 64>;
using VU8 = hn::Vec<U8>;
using U32 = hn::Rebind<uint32_t, F32>;
using VU32 = hn::Vec<U32>;
inline constexpr size_t kQuads = kUnitCols / 4;
inline constexpr size_t kQuadBytes = 4 * kPanelRows;
inline constexpr size_t kPanelVectors = kPanelRows / kLanes;

// A strip ready for multiplication: value = scale * code - minimum. It stays in the L1 cache for all tokens.
struct Strip {
  HWY_ALIGN uint8_t codes[kStripUnits][kQuads][kQuadBytes];
  HWY_ALIGN float scales[2 * kStripUnits][kPanelRows];  // of units, or of their halves (Format::kHalves)
  HWY_ALIGN float minima[2 * kStripUnits][kPanelRows];  // likewise, where Format::kMinima
};

// A type's codes are numbers 0..2^bits - 1 from which kOffset is subtracted. Instruction sets whose byte
// products take one unsigned factor (VNNI) keep them unsigned and correct the sum; the others subtract here
// (kSigned).
template <class Format>
inline constexpr int kOffsetOf = Format::kOffsetBits == 0 ? 0 : 1 << Format::kOffsetBits;

template <class Format, bool kSigned>
HWY_INLINE void StoreCodes(VU8 codes, uint8_t* out) {
  if constexpr (kSigned && kOffsetOf<Format> != 0) codes = hn::Sub(codes, hn::Set(U8(), kOffsetOf<Format>));
  hn::Store(codes, U8(), out);
}

// Bits [2 * pair, 2 * pair + 2) of every byte, moved to bit 0.
template <int kPair>
HWY_INLINE VU8 TwoBits(VU8 packed) {
  return hn::And(kPair == 0 ? packed : hn::ShiftRight<2 * kPair>(packed), hn::Set(U8(), 3));
}

template <int kBit>
HWY_INLINE VU8 OneBit(VU8 packed) {
  return hn::And(kBit == 0 ? packed : hn::ShiftRight<kBit>(packed), hn::Set(U8(), 1));
}

// The codes of the two quads whose nibbles lie in one vector.
HWY_INLINE void LoadNibbles(const uint8_t* p, VU8& low, VU8& high) {
  const VU8 pairs = LoadBytes(U8(), p);
  low = hn::And(pairs, hn::Set(U8(), 15));
  high = hn::ShiftRight<4>(pairs);
}

// 4 bits, perhaps through a table of 16 bytes that already includes the offset.
template <class Format, bool kSigned>
HWY_INLINE void ExpandNibbles(const uint8_t* strip, size_t units, Strip& out) {
  constexpr size_t kN = hn::MaxLanes(U8());
  for (size_t i = 0; i < units * 4 * kQuadBytes; i += kN) {
    const size_t unit = i / (4 * kQuadBytes);
    uint8_t* codes = out.codes[unit][0] + i % (4 * kQuadBytes);
    VU8 low, high;
    LoadNibbles(strip + i, low, high);
    StoreCodes<Format, kSigned>(low, codes);
    StoreCodes<Format, kSigned>(high, codes + 4 * kQuadBytes);
  }
}

// 4 bits through a table of signed levels.
template <class Format, bool kSigned>
HWY_INLINE void ExpandLevels(const int8_t* levels, const uint8_t* strip, size_t units, Strip& out) {
  constexpr size_t kN = hn::MaxLanes(U8());
  HWY_ALIGN uint8_t codes_of[16];
  for (size_t i = 0; i < 16; ++i) codes_of[i] = static_cast<uint8_t>(levels[i] + kOffsetOf<Format>);
#if HWY_TARGET == HWY_SCALAR
  for (size_t i = 0; i < units * 4 * kQuadBytes; i += kN) {
    uint8_t* codes = out.codes[i / (4 * kQuadBytes)][0] + i % (4 * kQuadBytes);
    StoreCodes<Format, kSigned>(hn::Set(U8(), codes_of[strip[i] & 15]), codes);
    StoreCodes<Format, kSigned>(hn::Set(U8(), codes_of[strip[i] >> 4]), codes + 4 * kQuadBytes);
  }
#else
  const VU8 table = hn::LoadDup128(U8(), codes_of);
  for (size_t i = 0; i < units * 4 * kQuadBytes; i += kN) {
    uint8_t* codes = out.codes[i / (4 * kQuadBytes)][0] + i % (4 * kQuadBytes);
    VU8 low, high;
    LoadNibbles(strip + i, low, high);
    StoreCodes<Format, kSigned>(hn::TableLookupBytes(table, low), codes);
    StoreCodes<Format, kSigned>(hn::TableLookupBytes(table, high), codes + 4 * kQuadBytes);
  }
#endif
}

// Calls use(i, quad) for the four quads 0..3 with quad as a constant.
template <class Use>
HWY_INLINE void ForFourQuads(const Use& use) {
  use(std::integral_constant<int, 0>());
  use(std::integral_constant<int, 1>());
  use(std::integral_constant<int, 2>());
  use(std::integral_constant<int, 3>());
}

// 5 bits: nibbles, then one vector of fifth bits per unit.
template <class Format, bool kSigned>
HWY_INLINE void ExpandFiveBits(const uint8_t* strip, size_t units, Strip& out) {
  constexpr size_t kN = hn::MaxLanes(U8());
  const uint8_t* upper = strip + units * 4 * kQuadBytes;
  for (size_t u = 0; u < units; ++u) {
    for (size_t i = 0; i < kQuadBytes; i += kN) {
      const VU8 bits = LoadBytes(U8(), upper + u * kQuadBytes + i);
      ForFourQuads([&](auto quad) HWY_ATTR {
        VU8 low, high;
        LoadNibbles(strip + (u * 4 + quad) * kQuadBytes + i, low, high);
        low = hn::Or(low, hn::ShiftLeft<4>(OneBit<quad>(bits)));
        high = hn::Or(high, hn::ShiftLeft<4>(OneBit<4 + quad>(bits)));
        StoreCodes<Format, kSigned>(low, out.codes[u][quad] + i);
        StoreCodes<Format, kSigned>(high, out.codes[u][4 + quad] + i);
      });
    }
  }
}

// 6 bits: nibbles, then two vectors of upper bits per unit.
template <class Format, bool kSigned>
HWY_INLINE void ExpandSixBits(const uint8_t* strip, size_t units, Strip& out) {
  constexpr size_t kN = hn::MaxLanes(U8());
  const uint8_t* upper = strip + units * 4 * kQuadBytes;
  for (size_t u = 0; u < units; ++u) {
    for (size_t i = 0; i < kQuadBytes; i += kN) {
      const VU8 lower_quads = LoadBytes(U8(), upper + (2 * u) * kQuadBytes + i);
      const VU8 upper_quads = LoadBytes(U8(), upper + (2 * u + 1) * kQuadBytes + i);
      ForFourQuads([&](auto quad) HWY_ATTR {
        VU8 low, high;
        LoadNibbles(strip + (u * 4 + quad) * kQuadBytes + i, low, high);
        low = hn::Or(low, hn::ShiftLeft<4>(TwoBits<quad>(lower_quads)));
        high = hn::Or(high, hn::ShiftLeft<4>(TwoBits<quad>(upper_quads)));
        StoreCodes<Format, kSigned>(low, out.codes[u][quad] + i);
        StoreCodes<Format, kSigned>(high, out.codes[u][4 + quad] + i);
      });
    }
  }
}

// 2 bits, or 3 with one vector of third bits per unit after them.
template <class Format, bool kSigned, bool kThird>
HWY_INLINE void ExpandTwoBits(const uint8_t* strip, size_t units, Strip& out) {
  constexpr size_t kN = hn::MaxLanes(U8());
  const uint8_t* third = strip + units * 2 * kQuadBytes;
  for (size_t u = 0; u < units; ++u) {
    for (size_t i = 0; i < kQuadBytes; i += kN) {
      const VU8 lower_quads = LoadBytes(U8(), strip + (2 * u) * kQuadBytes + i);
      const VU8 upper_quads = LoadBytes(U8(), strip + (2 * u + 1) * kQuadBytes + i);
      const VU8 bits = kThird ? LoadBytes(U8(), third + u * kQuadBytes + i) : hn::Zero(U8());
      ForFourQuads([&](auto quad) HWY_ATTR {
        VU8 low = TwoBits<quad>(lower_quads), high = TwoBits<quad>(upper_quads);
        if constexpr (kThird) {
          low = hn::Or(low, hn::ShiftLeft<2>(OneBit<quad>(bits)));
          high = hn::Or(high, hn::ShiftLeft<2>(OneBit<4 + quad>(bits)));
        }
        StoreCodes<Format, kSigned>(low, out.codes[u][quad] + i);
        StoreCodes<Format, kSigned>(high, out.codes[u][4 + quad] + i);
      });
    }
  }
}

// `count` groups of 16 half precision numbers.
HWY_INLINE void ExpandHalves(const uint8_t* halves, size_t count, float (*out)[kPanelRows]) {
  for (size_t i = 0; i < count * kPanelRows; i += kLanes)
    hn::Store(LoadHalf(halves + 2 * i), F32(), out[0] + i);
}

// The 8 scales and 8 minima of 6 bits that Q4_K and Q5_K have per row, as three numbers of 32 bits
// (GroupScale and GroupMinimum say how), then scale and minimum of the super-block.
HWY_INLINE void ExpandSixBitScales(const uint8_t* p, Strip& out) {
  const U32 d;
  const F32 df;
  for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
    const VU32 first = LoadBytes(d, p + 4 * lane);
    const VU32 second = LoadBytes(d, p + kQuadBytes + 4 * lane);
    const VU32 third = LoadBytes(d, p + 2 * kQuadBytes + 4 * lane);
    const VF32 scale = LoadHalf(p + 3 * kQuadBytes + 2 * lane);
    const VF32 minimum = LoadHalf(p + 3 * kQuadBytes + 2 * kPanelRows + 2 * lane);
    const VU32 six = hn::Set(d, 0x3f3f3f3f), four = hn::Set(d, 0x0f0f0f0f), two = hn::Set(d, 0x30303030);
    const VU32 scales[2] = {hn::And(first, six),
                            hn::Or(hn::And(third, four), hn::And(hn::ShiftRight<2>(first), two))};
    const VU32 minima[2] = {hn::And(second, six), hn::Or(hn::And(hn::ShiftRight<4>(third), four),
                                                         hn::And(hn::ShiftRight<2>(second), two))};
    const auto put = [&](VU32 bytes, VF32 factor, size_t unit, float(*to)[kPanelRows]) HWY_ATTR {
      const VI32 number = hn::BitCast(I32(), hn::And(bytes, hn::Set(d, 0xff)));
      hn::Store(hn::Mul(hn::ConvertTo(df, number), factor), df, to[unit] + lane);
    };
    for (size_t half = 0; half < 2; ++half) {
      ForFourQuads([&](auto i) HWY_ATTR {
        put(hn::ShiftRight<8 * i>(scales[half]), scale, 4 * half + i, out.scales);
        put(hn::ShiftRight<8 * i>(minima[half]), minimum, 4 * half + i, out.minima);
      });
    }
  }
}

// How a type's strips are read. Expand fills codes, scales and minima of `units` units.
struct Q4_0Format {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 3;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t units, Strip& out) {
    ExpandNibbles<Q4_0Format, kSigned>(strip, units, out);
    ExpandHalves(strip + units * 4 * kQuadBytes, units, out.scales);
  }
};

struct Q4_1Format {
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t units, Strip& out) {
    ExpandNibbles<Q4_1Format, kSigned>(strip, units, out);
    const uint8_t* scales = strip + units * 4 * kQuadBytes;
    ExpandHalves(scales, units, out.scales);
    ExpandHalves(scales + units * 2 * kPanelRows, units, out.minima);
    NegateMinima(units, out);
  }
  // The file's minimum is added.
  static HWY_INLINE void NegateMinima(size_t units, Strip& out) {
    for (size_t i = 0; i < units * kPanelRows; i += kLanes) {
      float* minima = out.minima[0] + i;
      hn::Store(hn::Neg(hn::Load(F32(), minima)), F32(), minima);
    }
  }
};

struct Q5_0Format {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 4;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t units, Strip& out) {
    ExpandFiveBits<Q5_0Format, kSigned>(strip, units, out);
    ExpandHalves(strip + units * 5 * kQuadBytes, units, out.scales);
  }
};

struct Q5_1Format {
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t units, Strip& out) {
    ExpandFiveBits<Q5_1Format, kSigned>(strip, units, out);
    const uint8_t* scales = strip + units * 5 * kQuadBytes;
    ExpandHalves(scales, units, out.scales);
    ExpandHalves(scales + units * 2 * kPanelRows, units, out.minima);
    Q4_1Format::NegateMinima(units, out);
  }
};

struct Q8_0Format {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 7;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t units, Strip& out) {
    for (size_t i = 0; i < units * kQuads * kQuadBytes; i += hn::MaxLanes(U8())) {
      StoreCodes<Q8_0Format, kSigned>(LoadBytes(U8(), strip + i), out.codes[0][0] + i);
    }
    ExpandHalves(strip + units * kQuads * kQuadBytes, units, out.scales);
  }
};

struct IQ4_NLFormat {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 7;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t units, Strip& out) {
    ExpandLevels<IQ4_NLFormat, kSigned>(kIq4Levels, strip, units, out);
    ExpandHalves(strip + units * 4 * kQuadBytes, units, out.scales);
  }
};

struct MXFP4Format {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 4;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t units, Strip& out) {
    ExpandLevels<MXFP4Format, kSigned>(kDoubledE2M1, strip, units, out);
    const U32 d;
    const uint8_t* exponents = strip + units * 4 * kQuadBytes;
    for (size_t i = 0; i < units * kPanelRows; i += kLanes) {
      // The levels are doubled, hence 2^(e - 128), of which the two smallest are subnormal.
      const VU32 e = hn::PromoteTo(d, LoadBytes(hn::Rebind<uint8_t, U32>(), exponents + i));
      const VU32 one = hn::Set(d, 1);
      const VU32 normal = hn::ShiftLeft<23>(hn::Sub(e, one));
      const VU32 subnormal = hn::ShiftLeft<21>(hn::Add(e, one));
      hn::Store(hn::BitCast(F32(), hn::IfThenElse(hn::Gt(e, one), normal, subnormal)), F32(),
                out.scales[0] + i);
    }
  }
};

struct Q4_KFormat {
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t, Strip& out) {
    ExpandNibbles<Q4_KFormat, kSigned>(strip, kStripUnits, out);
    ExpandSixBitScales(strip + kStripUnits * 4 * kQuadBytes, out);
  }
};

struct Q5_KFormat {
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t, Strip& out) {
    ExpandFiveBits<Q5_KFormat, kSigned>(strip, kStripUnits, out);
    ExpandSixBitScales(strip + kStripUnits * 5 * kQuadBytes, out);
  }
};

struct Q6_KFormat {
  static constexpr bool kHalves = true, kMinima = false;
  static constexpr int kOffsetBits = 5;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t, Strip& out) {
    ExpandSixBits<Q6_KFormat, kSigned>(strip, kStripUnits, out);
    const uint8_t* scales = strip + kStripUnits * 6 * kQuadBytes;
    const uint8_t* scale = scales + 16 * kPanelRows;
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      const VF32 factor = LoadHalf(scale + 2 * lane);
      for (size_t half = 0; half < 2 * kStripUnits; ++half) {
        const VF32 number = LoadInt8(scales + half * kPanelRows + lane);
        hn::Store(hn::Mul(number, factor), F32(), out.scales[half] + lane);
      }
    }
  }
};

struct Q3_KFormat {
  static constexpr bool kHalves = true, kMinima = false;
  static constexpr int kOffsetBits = 2;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t, Strip& out) {
    ExpandTwoBits<Q3_KFormat, kSigned, true>(strip, kStripUnits, out);
    const U32 d;
    const uint8_t* p = strip + kStripUnits * 3 * kQuadBytes;
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      // Scale g has its low bits in a nibble of bytes 0-7 and two high bits in byte 8 + g % 4, less 32.
      const VU32 low[2] = {LoadBytes(d, p + 4 * lane), LoadBytes(d, p + kQuadBytes + 4 * lane)};
      const VU32 high = LoadBytes(d, p + 2 * kQuadBytes + 4 * lane);
      const VF32 factor = LoadHalf(p + 3 * kQuadBytes + 2 * lane);
      const VU32 four = hn::Set(d, 0x0f0f0f0f), two = hn::Set(d, 0x30303030);
      const VU32 scales[4] = {
          hn::Or(hn::And(low[0], four), hn::And(hn::ShiftLeft<4>(high), two)),
          hn::Or(hn::And(low[1], four), hn::And(hn::ShiftLeft<2>(high), two)),
          hn::Or(hn::And(hn::ShiftRight<4>(low[0]), four), hn::And(high, two)),
          hn::Or(hn::And(hn::ShiftRight<4>(low[1]), four), hn::And(hn::ShiftRight<2>(high), two))};
      for (size_t group = 0; group < 4; ++group) {
        ForFourQuads([&](auto i) HWY_ATTR {
          const VU32 number = hn::And(hn::ShiftRight<8 * i>(scales[group]), hn::Set(d, 0xff));
          const VI32 less = hn::Sub(hn::BitCast(I32(), number), hn::Set(I32(), 32));
          hn::Store(hn::Mul(hn::ConvertTo(F32(), less), factor), F32(), out.scales[4 * group + i] + lane);
        });
      }
    }
  }
};

struct Q2_KFormat {
  static constexpr bool kHalves = true, kMinima = true;
  static constexpr int kOffsetBits = 0;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t, Strip& out) {
    ExpandTwoBits<Q2_KFormat, kSigned, false>(strip, kStripUnits, out);
    const hn::Rebind<uint8_t, I32> bytes;
    const uint8_t* numbers = strip + kStripUnits * 2 * kQuadBytes;
    const uint8_t* scale = numbers + 16 * kPanelRows;
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      const VF32 scale_factor = LoadHalf(scale + 2 * lane);
      const VF32 minimum_factor = LoadHalf(scale + 2 * kPanelRows + 2 * lane);
      for (size_t half = 0; half < 2 * kStripUnits; ++half) {
        const VI32 number = hn::PromoteTo(I32(), LoadBytes(bytes, numbers + half * kPanelRows + lane));
        const VF32 low = hn::ConvertTo(F32(), hn::And(number, hn::Set(I32(), 15)));
        const VF32 high = hn::ConvertTo(F32(), hn::ShiftRight<4>(number));
        hn::Store(hn::Mul(low, scale_factor), F32(), out.scales[half] + lane);
        hn::Store(hn::Mul(high, minimum_factor), F32(), out.minima[half] + lane);
      }
    }
  }
};

struct IQ4_XSFormat {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 7;
  template <bool kSigned>
  static HWY_INLINE void Expand(const uint8_t* strip, size_t, Strip& out) {
    ExpandLevels<IQ4_XSFormat, kSigned>(kIq4Levels, strip, kStripUnits, out);
    const U32 d;
    const hn::Rebind<uint16_t, U32> words;
    const uint8_t* p = strip + kStripUnits * 4 * kQuadBytes;
    for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
      // Scale u has four low bits in nibble u and two high bits in bit pair u, less 32.
      const VU32 low = LoadBytes(d, p + 4 * lane);
      const VU32 high = hn::PromoteTo(d, LoadBytes(words, p + kQuadBytes + 2 * lane));
      const VF32 factor = LoadHalf(p + kQuadBytes + 2 * kPanelRows + 2 * lane);
      const auto put = [&](VU32 low_bits, VU32 high_bits, size_t unit) HWY_ATTR {
        const VU32 number = hn::Or(hn::And(low_bits, hn::Set(d, 15)), hn::And(high_bits, hn::Set(d, 0x30)));
        const VI32 less = hn::Sub(hn::BitCast(I32(), number), hn::Set(I32(), 32));
        hn::Store(hn::Mul(hn::ConvertTo(F32(), less), factor), F32(), out.scales[unit] + lane);
      };
      ForFourQuads([&](auto i) HWY_ATTR {
        put(hn::ShiftRight<4 * i>(low), hn::ShiftRight<2 * i>(hn::ShiftLeft<4>(high)), i);
        put(hn::ShiftRight<16 + 4 * i>(low), hn::ShiftRight<4 + 2 * i>(high), 4 + i);
      });
    }
  }
};

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
