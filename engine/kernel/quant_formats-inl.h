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
inline constexpr size_t kPanelVectors = kPanelRows / kLanes;

// A strip ready for multiplication: value = scale * code - minimum.
struct StripScales {
  HWY_ALIGN float scales[2 * kStripUnits][kPanelRows];  // of units, or of their halves (Format::kHalves)
  HWY_ALIGN float minima[2 * kStripUnits][kPanelRows];  // likewise, where Format::kMinima
};
struct Strip : StripScales {
  HWY_ALIGN uint8_t codes[kStripUnits][kQuads][kQuadBytes];
};

// The codes of four columns of kLanes rows, for the eight quads of a unit: what fills eight registers.
using UnitCodes = VU8[kQuads];

// Bits [2 * pair, 2 * pair + 2) of every byte, moved to bit 0.
template <int kPair>
HWY_INLINE VU8 TwoBits(VU8 packed) {
  return hn::And(kPair == 0 ? packed : hn::ShiftRight<2 * kPair>(packed), hn::Set(U8(), 3));
}

template <int kBit>
HWY_INLINE VU8 OneBit(VU8 packed) {
  return hn::And(kBit == 0 ? packed : hn::ShiftRight<kBit>(packed), hn::Set(U8(), 1));
}

// 4 bits: quads 0 to 3 in the low nibbles of four vectors, 4 to 7 in the high ones.
HWY_INLINE void LoadNibbles(const uint8_t* p, UnitCodes& codes) {
  Repeat<4>([&](auto quad) HEARTH_INLINE_LAMBDA {
    const VU8 pairs = LoadBytes(U8(), p + quad * kQuadBytes);
    codes[quad] = hn::And(pairs, hn::Set(U8(), 15));
    codes[4 + quad] = hn::ShiftRight<4>(pairs);
  });
}

// 4 bits that number a table of signed levels; the offset makes them unsigned.
HWY_INLINE void LoadLevels(const int8_t* levels, int offset, const uint8_t* p, UnitCodes& codes) {
  LoadNibbles(p, codes);
  HWY_ALIGN uint8_t codes_of[16];
  for (size_t i = 0; i < 16; ++i) codes_of[i] = static_cast<uint8_t>(levels[i] + offset);
#if HWY_TARGET == HWY_SCALAR
  Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA {
    codes[quad] = hn::Set(U8(), codes_of[hn::GetLane(codes[quad])]);
  });
#else
  const VU8 table = hn::LoadDup128(U8(), codes_of);
  Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA {
    codes[quad] = hn::TableLookupBytes(table, codes[quad]);
  });
#endif
}

// Bit kTo of the codes: one bit for each quad in every byte.
template <int kTo>
HWY_INLINE void AddOneBit(const uint8_t* p, UnitCodes& codes) {
  const VU8 bits = LoadBytes(U8(), p);
  Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA {
    codes[quad] = hn::Or(codes[quad], hn::ShiftLeft<kTo>(OneBit<quad>(bits)));
  });
}

// Bits 4 and 5 of the codes: those of quads 0 to 3 in one vector, of 4 to 7 in the next.
HWY_INLINE void LoadTwoBits(const uint8_t* p, UnitCodes& codes) {
  const VU8 lower_quads = LoadBytes(U8(), p), upper_quads = LoadBytes(U8(), p + kQuadBytes);
  Repeat<4>([&](auto quad) HEARTH_INLINE_LAMBDA {
    codes[quad] = TwoBits<quad>(lower_quads);
    codes[4 + quad] = TwoBits<quad>(upper_quads);
  });
}

// `count` groups of 16 half precision numbers.
HWY_INLINE void ExpandHalves(const uint8_t* halves, size_t count, float (*out)[kPanelRows]) {
  for (size_t i = 0; i < count * kPanelRows; i += kLanes)
    hn::Store(LoadHalf(halves + 2 * i), F32(), out[0] + i);
}

// The 8 scales and 8 minima of 6 bits that Q4_K and Q5_K have per row, as three numbers of 32 bits
// (GroupScale and GroupMinimum say how), then scale and minimum of the super-block.
HWY_INLINE void ExpandSixBitScales(const uint8_t* p, StripScales& out) {
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
      Repeat<4>([&](auto i) HEARTH_INLINE_LAMBDA {
        put(hn::ShiftRight<8 * i>(scales[half]), scale, 4 * half + i, out.scales);
        put(hn::ShiftRight<8 * i>(minima[half]), minimum, 4 * half + i, out.minima);
      });
    }
  }
}

// How a type's strips of `units` units are read. Codes gives those of one unit from `byte` of its quads on, as
// numbers 0..2^bits - 1 from which 2^kOffsetBits is to be subtracted (nothing if kOffsetBits is 0); Scales
// fills scales and minima.
struct Q4_0Format {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 3;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadNibbles(strip + unit * 4 * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t units, StripScales& out) {
    ExpandHalves(strip + units * 4 * kQuadBytes, units, out.scales);
  }
};

struct Q4_1Format {
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadNibbles(strip + unit * 4 * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t units, StripScales& out) {
    const uint8_t* scales = strip + units * 4 * kQuadBytes;
    ExpandHalves(scales, units, out.scales);
    ExpandHalves(scales + units * 2 * kPanelRows, units, out.minima);
    NegateMinima(units, out);
  }
  // The file's minimum is added.
  static HWY_INLINE void NegateMinima(size_t units, StripScales& out) {
    for (size_t i = 0; i < units * kPanelRows; i += kLanes) {
      float* minima = out.minima[0] + i;
      hn::Store(hn::Neg(hn::Load(F32(), minima)), F32(), minima);
    }
  }
};

struct Q5_0Format {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 4;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t units, size_t unit, size_t byte, UnitCodes& codes) {
    LoadNibbles(strip + unit * 4 * kQuadBytes + byte, codes);
    AddOneBit<4>(strip + (units * 4 + unit) * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t units, StripScales& out) {
    ExpandHalves(strip + units * 5 * kQuadBytes, units, out.scales);
  }
};

struct Q5_1Format {
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t units, size_t unit, size_t byte, UnitCodes& codes) {
    LoadNibbles(strip + unit * 4 * kQuadBytes + byte, codes);
    AddOneBit<4>(strip + (units * 4 + unit) * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t units, StripScales& out) {
    const uint8_t* scales = strip + units * 5 * kQuadBytes;
    ExpandHalves(scales, units, out.scales);
    ExpandHalves(scales + units * 2 * kPanelRows, units, out.minima);
    Q4_1Format::NegateMinima(units, out);
  }
};

struct Q8_0Format {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 7;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA {
      codes[quad] = LoadBytes(U8(), strip + (unit * kQuads + quad) * kQuadBytes + byte);
    });
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t units, StripScales& out) {
    ExpandHalves(strip + units * kQuads * kQuadBytes, units, out.scales);
  }
};

struct IQ4_NLFormat {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 7;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadLevels(kIq4Levels, 1 << kOffsetBits, strip + unit * 4 * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t units, StripScales& out) {
    ExpandHalves(strip + units * 4 * kQuadBytes, units, out.scales);
  }
};

struct MXFP4Format {
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 4;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadLevels(kDoubledE2M1, 1 << kOffsetBits, strip + unit * 4 * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t units, StripScales& out) {
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
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadNibbles(strip + unit * 4 * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t, StripScales& out) {
    ExpandSixBitScales(strip + kStripUnits * 4 * kQuadBytes, out);
  }
};

struct Q5_KFormat {
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadNibbles(strip + unit * 4 * kQuadBytes + byte, codes);
    AddOneBit<4>(strip + (kStripUnits * 4 + unit) * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t, StripScales& out) {
    ExpandSixBitScales(strip + kStripUnits * 5 * kQuadBytes, out);
  }
};

struct Q6_KFormat {
  static constexpr bool kHalves = true, kMinima = false;
  static constexpr int kOffsetBits = 5;
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    UnitCodes upper;
    LoadNibbles(strip + unit * 4 * kQuadBytes + byte, codes);
    LoadTwoBits(strip + (kStripUnits * 4 + unit * 2) * kQuadBytes + byte, upper);
    Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA {
      codes[quad] = hn::Or(codes[quad], hn::ShiftLeft<4>(upper[quad]));
    });
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t, StripScales& out) {
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
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadTwoBits(strip + unit * 2 * kQuadBytes + byte, codes);
    AddOneBit<2>(strip + (kStripUnits * 2 + unit) * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t, StripScales& out) {
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
        Repeat<4>([&](auto i) HEARTH_INLINE_LAMBDA {
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
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadTwoBits(strip + unit * 2 * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t, StripScales& out) {
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
  static HWY_INLINE void Codes(const uint8_t* strip, size_t, size_t unit, size_t byte, UnitCodes& codes) {
    LoadLevels(kIq4Levels, 1 << kOffsetBits, strip + unit * 4 * kQuadBytes + byte, codes);
  }
  static HWY_INLINE void Scales(const uint8_t* strip, size_t, StripScales& out) {
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
      Repeat<4>([&](auto i) HEARTH_INLINE_LAMBDA {
        put(hn::ShiftRight<4 * i>(low), hn::ShiftRight<2 * i>(hn::ShiftLeft<4>(high)), i);
        put(hn::ShiftRight<16 + 4 * i>(low), hn::ShiftRight<4 + 2 * i>(high), 4 + i);
      });
    }
  }
};

// The codes of a unit from `byte` of its quads on. Instruction sets whose byte products take one unsigned
// factor (VNNI) leave the offset to a correction of the sum; for the others it is subtracted here (kSigned).
template <class Format, bool kSigned>
HWY_INLINE void LoadCodes(const uint8_t* strip, size_t units, size_t unit, size_t byte, UnitCodes& codes) {
  Format::Codes(strip, units, unit, byte, codes);
  if constexpr (kSigned && Format::kOffsetBits > 0) {
    const VU8 offset = hn::Set(U8(), uint8_t{1} << Format::kOffsetBits);
    Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA { codes[quad] = hn::Sub(codes[quad], offset); });
  }
}

template <class Format, bool kSigned>
HWY_INLINE void ExpandStrip(const uint8_t* strip, size_t units, Strip& out) {
  for (size_t unit = 0; unit < units; ++unit) {
    for (size_t byte = 0; byte < kQuadBytes; byte += hn::MaxLanes(U8())) {
      UnitCodes codes;
      LoadCodes<Format, kSigned>(strip, units, unit, byte, codes);
      Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA {
        hn::Store(codes[quad], U8(), out.codes[unit][quad] + byte);
      });
    }
  }
  Format::Scales(strip, units, out);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
