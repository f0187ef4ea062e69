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
struct ExpandedStrip : StripScales {
  HWY_ALIGN uint8_t codes[kStripUnits][kQuads][kQuadBytes];
};

// The codes of four columns of kLanes rows, for the eight quads of a unit: what fills eight registers.
using UnitCodes = VU8[kQuads];

// Bit kFrom of every byte at place kTo. Its neighbours, which come along, and what comes in from other bytes
// are for the caller to mask out: he needs a mask anyhow, and shifts of bytes would bring another.
template <int kFrom, int kTo>
HWY_INLINE VU8 MoveBit(VU8 bytes) {
#if HWY_TARGET == HWY_SCALAR
  const U8 d;
#else
  const hn::Repartition<uint16_t, U8> d;
#endif
  if constexpr (kFrom > kTo) {
    return hn::BitCast(U8(), hn::ShiftRight<kFrom - kTo>(hn::BitCast(d, bytes)));
  } else if constexpr (kFrom < kTo) {
    return hn::BitCast(U8(), hn::ShiftLeft<kTo - kFrom>(hn::BitCast(d, bytes)));
  } else {
    return bytes;
  }
}

// 4 bits: quads 0 to 3 in the low nibbles of four vectors, 4 to 7 in the high ones.
HWY_INLINE void LoadNibbles(const uint8_t* p, UnitCodes& codes) {
  Repeat<4>([&](auto quad) HEARTH_INLINE_LAMBDA {
    const VU8 pairs = LoadBytes(U8(), p + quad * kQuadBytes);
    codes[quad] = hn::And(pairs, hn::Set(U8(), 0x0f));
    codes[4 + quad] = hn::ShiftRight<4>(pairs);
  });
}

// 4 bits that number a table of signed levels; the offset makes them unsigned.
template <size_t kCount>
HWY_INLINE void LevelsToCodes(const int8_t* levels, int offset, VU8 (&codes)[kCount]) {
  HWY_ALIGN uint8_t codes_of[16];
  for (size_t i = 0; i < 16; ++i) codes_of[i] = static_cast<uint8_t>(levels[i] + offset);
#if HWY_TARGET == HWY_SCALAR
  Repeat<kCount>([&](auto i)
                     HEARTH_INLINE_LAMBDA { codes[i] = hn::Set(U8(), codes_of[hn::GetLane(codes[i])]); });
#else
  const VU8 table = hn::LoadDup128(U8(), codes_of);
  Repeat<kCount>([&](auto i) HEARTH_INLINE_LAMBDA { codes[i] = hn::TableLookupBytes(table, codes[i]); });
#endif
}

// Bit kTo of the codes: one bit for each quad in every byte.
template <int kTo>
HWY_INLINE void AddOneBit(const uint8_t* p, UnitCodes& codes) {
  const VU8 bits = LoadBytes(U8(), p), mask = hn::Set(U8(), 1 << kTo);
  Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA {
    codes[quad] = hn::OrAnd(codes[quad], MoveBit<quad, kTo>(bits), mask);
  });
}

// Bits kTo and kTo + 1 of the codes: those of quads 0 to 3 in one vector, of 4 to 7 in the next.
template <int kTo>
HWY_INLINE void AddTwoBits(const uint8_t* p, UnitCodes& codes) {
  const VU8 lower_quads = LoadBytes(U8(), p), upper_quads = LoadBytes(U8(), p + kQuadBytes);
  const VU8 mask = hn::Set(U8(), 3 << kTo);
  Repeat<4>([&](auto quad) HEARTH_INLINE_LAMBDA {
    codes[quad] = hn::OrAnd(codes[quad], MoveBit<2 * quad, kTo>(lower_quads), mask);
    codes[4 + quad] = hn::OrAnd(codes[4 + quad], MoveBit<2 * quad, kTo>(upper_quads), mask);
  });
}

// 2 bits, in the same order.
HWY_INLINE void LoadTwoBits(const uint8_t* p, UnitCodes& codes) {
  Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA { codes[quad] = hn::Zero(U8()); });
  AddTwoBits<0>(p, codes);
}

// The numbers of a strip for kLanes rows: Scale<i>() and, where Format::kMinima, Minimum<i>() belong to unit
// i, or to the half i % 2 of unit i / 2 (Format::kHalves).
//
// A half precision number per unit ...
class HalfScales {
 public:
  HWY_INLINE HalfScales(const uint8_t* strip, size_t, size_t lane) : scales_(strip + 2 * lane) {}
  // By which a unit's codes are multiplied, of each row.
  template <size_t kUnit>
  HWY_INLINE VF32 Scale() const {
    return LoadHalf(scales_ + kUnit * 2 * kPanelRows);
  }

 private:
  const uint8_t* scales_;
};

// ... and then one to be added, which is minus a minimum.
class HalfScalesAndMinima : public HalfScales {
 public:
  HWY_INLINE HalfScalesAndMinima(const uint8_t* strip, size_t units, size_t lane)
      : HalfScales(strip, units, lane), added_(strip, units, lane + units * kPanelRows) {}
  // What is taken from each value of a unit, of each row.
  template <size_t kUnit>
  HWY_INLINE VF32 Minimum() const {
    return hn::Neg(added_.Scale<kUnit>());
  }

 private:
  HalfScales added_;
};

// A power of two per unit, as its exponent.
class ExponentScales {
 public:
  HWY_INLINE ExponentScales(const uint8_t* strip, size_t, size_t lane) : exponents_(strip + lane) {}
  // By which a unit's codes are multiplied, of each row.
  template <size_t kUnit>
  HWY_INLINE VF32 Scale() const {
    const U32 d;
    // The levels are doubled, hence 2^(e - 128), of which the two smallest are subnormal.
    const VU32 e = hn::PromoteTo(d, LoadBytes(hn::Rebind<uint8_t, U32>(), exponents_ + kUnit * kPanelRows));
    const VU32 one = hn::Set(d, 1);
    const VU32 normal = hn::ShiftLeft<23>(hn::Sub(e, one));
    const VU32 subnormal = hn::ShiftLeft<21>(hn::Add(e, one));
    return hn::BitCast(F32(), hn::IfThenElse(hn::Gt(e, one), normal, subnormal));
  }

 private:
  const uint8_t* exponents_;
};

// Byte kByte of every number, as a float.
template <size_t kByte>
HWY_INLINE VF32 ByteToFloat(VU32 bytes) {
  const VU32 byte = hn::And(kByte == 0 ? bytes : hn::ShiftRight<8 * kByte>(bytes), hn::Set(U32(), 0xff));
  return hn::ConvertTo(F32(), hn::BitCast(I32(), byte));
}

// The 8 scales and 8 minima of 6 bits that Q4_K and Q5_K have per row, as three numbers of 32 bits
// (GroupScale and GroupMinimum say how), then scale and minimum of the super-block.
class SixBitScales {
 public:
  HWY_INLINE SixBitScales(const uint8_t* strip, size_t, size_t lane) {
    const U32 d;
    const VU32 first = LoadBytes(d, strip + 4 * lane);
    const VU32 second = LoadBytes(d, strip + kQuadBytes + 4 * lane);
    const VU32 third = LoadBytes(d, strip + 2 * kQuadBytes + 4 * lane);
    scale_ = LoadHalf(strip + 3 * kQuadBytes + 2 * lane);
    minimum_ = LoadHalf(strip + 3 * kQuadBytes + 2 * kPanelRows + 2 * lane);
    const VU32 six = hn::Set(d, 0x3f3f3f3f), four = hn::Set(d, 0x0f0f0f0f), two = hn::Set(d, 0x30303030);
    scales_[0] = hn::And(first, six);
    scales_[1] = hn::Or(hn::And(third, four), hn::And(hn::ShiftRight<2>(first), two));
    minima_[0] = hn::And(second, six);
    minima_[1] = hn::Or(hn::And(hn::ShiftRight<4>(third), four), hn::And(hn::ShiftRight<2>(second), two));
  }
  // By which a unit's codes are multiplied, of each row.
  template <size_t kUnit>
  HWY_INLINE VF32 Scale() const {
    return hn::Mul(ByteToFloat<kUnit % 4>(scales_[kUnit / 4]), scale_);
  }
  // What is taken from each value of a unit, of each row.
  template <size_t kUnit>
  HWY_INLINE VF32 Minimum() const {
    return hn::Mul(ByteToFloat<kUnit % 4>(minima_[kUnit / 4]), minimum_);
  }

 private:
  VU32 scales_[2], minima_[2];
  VF32 scale_, minimum_;
};

// 16 numbers of 8 bits per row, then the super-block's scale (Q6_K).
class EightBitScales {
 public:
  HWY_INLINE EightBitScales(const uint8_t* strip, size_t, size_t lane)
      : numbers_(strip + lane), scale_(LoadHalf(strip + 16 * kPanelRows + 2 * lane)) {}
  // By which a unit's codes are multiplied, of each row.
  template <size_t kHalf>
  HWY_INLINE VF32 Scale() const {
    return hn::Mul(LoadInt8(numbers_ + kHalf * kPanelRows), scale_);
  }

 private:
  const uint8_t* numbers_;
  VF32 scale_;
};

// Numbers less 32: scale h has its low bits in a nibble of bytes 0-7 and two high bits in byte 8 + h % 4
// (Q3_K).
class SplitSixBitScales {
 public:
  HWY_INLINE SplitSixBitScales(const uint8_t* strip, size_t, size_t lane) {
    const U32 d;
    const VU32 low[2] = {LoadBytes(d, strip + 4 * lane), LoadBytes(d, strip + kQuadBytes + 4 * lane)};
    const VU32 high = LoadBytes(d, strip + 2 * kQuadBytes + 4 * lane);
    scale_ = LoadHalf(strip + 3 * kQuadBytes + 2 * lane);
    const VU32 four = hn::Set(d, 0x0f0f0f0f), two = hn::Set(d, 0x30303030);
    scales_[0] = hn::Or(hn::And(low[0], four), hn::And(hn::ShiftLeft<4>(high), two));
    scales_[1] = hn::Or(hn::And(low[1], four), hn::And(hn::ShiftLeft<2>(high), two));
    scales_[2] = hn::Or(hn::And(hn::ShiftRight<4>(low[0]), four), hn::And(high, two));
    scales_[3] = hn::Or(hn::And(hn::ShiftRight<4>(low[1]), four), hn::And(hn::ShiftRight<2>(high), two));
  }
  // By which a unit's codes are multiplied, of each row.
  template <size_t kHalf>
  HWY_INLINE VF32 Scale() const {
    return hn::Mul(hn::Sub(ByteToFloat<kHalf % 4>(scales_[kHalf / 4]), hn::Set(F32(), 32.0f)), scale_);
  }

 private:
  VU32 scales_[4];
  VF32 scale_;
};

// 16 bytes per row with scales in the low and minima in the high nibbles, then the super-block's two (Q2_K).
class NibbleScales {
 public:
  HWY_INLINE NibbleScales(const uint8_t* strip, size_t, size_t lane)
      : numbers_(strip + lane),
        scale_(LoadHalf(strip + 16 * kPanelRows + 2 * lane)),
        minimum_(LoadHalf(strip + 18 * kPanelRows + 2 * lane)) {}
  // By which a unit's codes are multiplied, of each row.
  template <size_t kHalf>
  HWY_INLINE VF32 Scale() const {
    return hn::Mul(hn::ConvertTo(F32(), hn::And(Number<kHalf>(), hn::Set(I32(), 15))), scale_);
  }
  // What is taken from each value of a unit, of each row.
  template <size_t kHalf>
  HWY_INLINE VF32 Minimum() const {
    return hn::Mul(hn::ConvertTo(F32(), hn::ShiftRight<4>(Number<kHalf>())), minimum_);
  }

 private:
  template <size_t kHalf>
  HWY_INLINE VI32 Number() const {
    return hn::PromoteTo(I32(), LoadBytes(hn::Rebind<uint8_t, I32>(), numbers_ + kHalf * kPanelRows));
  }

  const uint8_t* numbers_;
  VF32 scale_, minimum_;
};

// Numbers less 32: scale u has four low bits in nibble u and two high bits in bit pair u (IQ4_XS).
class NibbleAndPairScales {
 public:
  HWY_INLINE NibbleAndPairScales(const uint8_t* strip, size_t, size_t lane)
      : low_(LoadBytes(U32(), strip + 4 * lane)),
        high_(hn::PromoteTo(U32(), LoadBytes(hn::Rebind<uint16_t, U32>(), strip + kQuadBytes + 2 * lane))),
        scale_(LoadHalf(strip + kQuadBytes + 2 * kPanelRows + 2 * lane)) {}
  // By which a unit's codes are multiplied, of each row.
  template <size_t kUnit>
  HWY_INLINE VF32 Scale() const {
    const VU32 low = kUnit == 0 ? low_ : hn::ShiftRight<4 * kUnit>(low_);
    VU32 high = high_;
    if constexpr (kUnit < 2) high = hn::ShiftLeft<4 - 2 * kUnit>(high_);
    if constexpr (kUnit > 2) high = hn::ShiftRight<2 * kUnit - 4>(high_);
    const VU32 number = hn::Or(hn::And(low, hn::Set(U32(), 15)), hn::And(high, hn::Set(U32(), 0x30)));
    const VI32 less = hn::Sub(hn::BitCast(I32(), number), hn::Set(I32(), 32));
    return hn::Mul(hn::ConvertTo(F32(), less), scale_);
  }

 private:
  VU32 low_, high_;
  VF32 scale_;
};

// A vector of a row's own bytes: its nibbles are the codes of 16 neighbouring columns and, in the second
// vector, of the 16 that follow.
using RowNibbles = VU8[2];
HWY_INLINE void SplitNibbles(VU8 pairs, RowNibbles& codes) {
  codes[0] = hn::And(pairs, hn::Set(U8(), 0x0f));
  codes[1] = hn::ShiftRight<4>(pairs);
}

// How a type's strips are read. Codes gives those of one unit: `p` is what the unit has, from some byte of
// its quads on, and the codes are numbers 0..2^bits - 1 from which 2^kOffsetBits is to be subtracted (nothing
// if kOffsetBits is 0). Scales reads the rest. kScaleBytes and kCodeBytes are what a unit takes in the two
// parts of a strip. Where all codes of a unit lie in bytes of one kind, RowCodes gives those of a vector of
// one row's bytes: RowParts vectors, each of other columns (row_dots-inl.h).
struct PlainNibbles {
  static constexpr size_t kCodeBytes = 4 * kQuadBytes;
  using RowParts = RowNibbles;
  // The codes of one row's bytes.
  static HWY_INLINE void RowCodes(VU8 bytes, RowParts& codes) { SplitNibbles(bytes, codes); }
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) { LoadNibbles(p, codes); }
};

struct Q4_0Format : PlainNibbles {
  using Scales = HalfScales;
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 3;
  static constexpr size_t kScaleBytes = 2 * kPanelRows;
};

struct Q4_1Format : PlainNibbles {
  using Scales = HalfScalesAndMinima;
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  static constexpr size_t kScaleBytes = 4 * kPanelRows;
};

struct Q5_0Format {
  using Scales = HalfScales;
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 4;
  static constexpr size_t kScaleBytes = 2 * kPanelRows, kCodeBytes = 5 * kQuadBytes;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    LoadNibbles(p, codes);
    AddOneBit<4>(p + 4 * kQuadBytes, codes);
  }
};

struct Q5_1Format {
  using Scales = HalfScalesAndMinima;
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  static constexpr size_t kScaleBytes = 4 * kPanelRows, kCodeBytes = 5 * kQuadBytes;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    LoadNibbles(p, codes);
    AddOneBit<4>(p + 4 * kQuadBytes, codes);
  }
};

struct Q8_0Format {
  using Scales = HalfScales;
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 7;
  static constexpr size_t kScaleBytes = 2 * kPanelRows, kCodeBytes = kQuads * kQuadBytes;
  using RowParts = VU8[1];
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    Repeat<kQuads>([&](auto quad)
                       HEARTH_INLINE_LAMBDA { codes[quad] = LoadBytes(U8(), p + quad * kQuadBytes); });
  }
  // The codes of one row's bytes.
  static HWY_INLINE void RowCodes(VU8 bytes, RowParts& codes) { codes[0] = bytes; }
};

struct IQ4_NLFormat {
  using Scales = HalfScales;
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 7;
  static constexpr size_t kScaleBytes = 2 * kPanelRows, kCodeBytes = 4 * kQuadBytes;
  using RowParts = RowNibbles;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    LoadNibbles(p, codes);
    LevelsToCodes(kIq4Levels, 1 << kOffsetBits, codes);
  }
  // The codes of one row's bytes.
  static HWY_INLINE void RowCodes(VU8 bytes, RowParts& codes) {
    SplitNibbles(bytes, codes);
    LevelsToCodes(kIq4Levels, 1 << kOffsetBits, codes);
  }
};

struct MXFP4Format {
  using Scales = ExponentScales;
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 4;
  static constexpr size_t kScaleBytes = kPanelRows, kCodeBytes = 4 * kQuadBytes;
  using RowParts = RowNibbles;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    LoadNibbles(p, codes);
    LevelsToCodes(kDoubledE2M1, 1 << kOffsetBits, codes);
  }
  // The codes of one row's bytes.
  static HWY_INLINE void RowCodes(VU8 bytes, RowParts& codes) {
    SplitNibbles(bytes, codes);
    LevelsToCodes(kDoubledE2M1, 1 << kOffsetBits, codes);
  }
};

struct Q4_KFormat : PlainNibbles {
  using Scales = SixBitScales;
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  static constexpr size_t kScaleBytes = 2 * kPanelRows;
};

struct Q5_KFormat {
  using Scales = SixBitScales;
  static constexpr bool kHalves = false, kMinima = true;
  static constexpr int kOffsetBits = 0;
  static constexpr size_t kScaleBytes = 2 * kPanelRows, kCodeBytes = 5 * kQuadBytes;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    LoadNibbles(p, codes);
    AddOneBit<4>(p + 4 * kQuadBytes, codes);
  }
};

struct Q6_KFormat {
  using Scales = EightBitScales;
  static constexpr bool kHalves = true, kMinima = false;
  static constexpr int kOffsetBits = 5;
  static constexpr size_t kScaleBytes = 18 * kPanelRows / kStripUnits, kCodeBytes = 6 * kQuadBytes;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    LoadNibbles(p, codes);
    AddTwoBits<4>(p + 4 * kQuadBytes, codes);
  }
};

struct Q3_KFormat {
  using Scales = SplitSixBitScales;
  static constexpr bool kHalves = true, kMinima = false;
  static constexpr int kOffsetBits = 2;
  static constexpr size_t kScaleBytes = 14 * kPanelRows / kStripUnits, kCodeBytes = 3 * kQuadBytes;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    LoadTwoBits(p, codes);
    AddOneBit<2>(p + 2 * kQuadBytes, codes);
  }
};

struct Q2_KFormat {
  using Scales = NibbleScales;
  static constexpr bool kHalves = true, kMinima = true;
  static constexpr int kOffsetBits = 0;
  static constexpr size_t kScaleBytes = 20 * kPanelRows / kStripUnits, kCodeBytes = 2 * kQuadBytes;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) { LoadTwoBits(p, codes); }
};

struct IQ4_XSFormat {
  using Scales = NibbleAndPairScales;
  static constexpr bool kHalves = false, kMinima = false;
  static constexpr int kOffsetBits = 7;
  static constexpr size_t kScaleBytes = kPanelRows, kCodeBytes = 4 * kQuadBytes;
  using RowParts = RowNibbles;
  // The codes of a unit, as bytes.
  static HWY_INLINE void Codes(const uint8_t* p, UnitCodes& codes) {
    LoadNibbles(p, codes);
    LevelsToCodes(kIq4Levels, 1 << kOffsetBits, codes);
  }
  // The codes of one row's bytes.
  static HWY_INLINE void RowCodes(VU8 bytes, RowParts& codes) {
    SplitNibbles(bytes, codes);
    LevelsToCodes(kIq4Levels, 1 << kOffsetBits, codes);
  }
};

// Unit `unit` of a strip of `units` units: its codes, from `byte` of its quads on.
template <class Format>
HWY_INLINE const uint8_t* CodesAt(const uint8_t* strip, size_t units, size_t unit, size_t byte) {
  return strip + units * Format::kScaleBytes + unit * Format::kCodeBytes + byte;
}

// Format::Codes, but for instruction sets whose byte products take no unsigned factor (kSigned) less the
// offset; the others (VNNI) leave it to a correction of the sum.
template <class Format, bool kSigned>
HWY_INLINE void LoadCodes(const uint8_t* p, UnitCodes& codes) {
  Format::Codes(p, codes);
  if constexpr (kSigned && Format::kOffsetBits > 0) {
    const VU8 offset = hn::Set(U8(), uint8_t{1} << Format::kOffsetBits);
    Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA { codes[quad] = hn::Sub(codes[quad], offset); });
  }
}

// The scales of a strip's units as float32.
template <class Format>
HWY_INLINE void ExpandScales(const uint8_t* strip, size_t units, StripScales& out) {
  constexpr size_t kParts = Format::kHalves ? 2 : 1;
  for (size_t lane = 0; lane < kPanelRows; lane += kLanes) {
    const typename Format::Scales scales(strip, units, lane);
    Repeat<kParts * kStripUnits>([&](auto part) HEARTH_INLINE_LAMBDA {
      if (part >= kParts * units) return;
      hn::Store(scales.template Scale<part>(), F32(), out.scales[part] + lane);
      if constexpr (Format::kMinima)
        hn::Store(scales.template Minimum<part>(), F32(), out.minima[part] + lane);
    });
  }
}

// The codes of a strip's units as bytes, with their scales.
template <class Format, bool kSigned>
HWY_INLINE void ExpandStrip(const uint8_t* strip, size_t units, ExpandedStrip& out) {
  for (size_t unit = 0; unit < units; ++unit) {
    for (size_t byte = 0; byte < kQuadBytes; byte += hn::MaxLanes(U8())) {
      UnitCodes codes;
      LoadCodes<Format, kSigned>(CodesAt<Format>(strip, units, unit, byte), codes);
      Repeat<kQuads>([&](auto quad) HEARTH_INLINE_LAMBDA {
        hn::Store(codes[quad], U8(), out.codes[unit][quad] + byte);
      });
    }
  }
  ExpandScales<Format>(strip, units, out);
}

// NOLINTNEXTLINE(google-readability-namespace-comments)
}  // namespace HWY_NAMESPACE
}  // namespace hearth
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
