#ifndef HEARTH_ENGINE_QUANT_BLOCKS_H_
#define HEARTH_ENGINE_QUANT_BLOCKS_H_

#include <cstddef>
#include <cstdint>

namespace hearth {

// The blocks of the quantised types as they lie in a file: little-endian, without padding or alignment, so
// that a pointer into mapped bytes may be cast to them. kValues is the number of values in a block; uint16_t
// scales and minima are half precision. A group of nibbles holds its first values in the low and the others
// in the high nibbles. What the fields mean as numbers stands in dequantize_*.cc.
#define HEARTH_PACKED __attribute__((packed))

// Blocks of 32: one scale.
struct HEARTH_PACKED BlockQ4_0 {
  static constexpr size_t kValues = 32;
  uint16_t scale;
  uint8_t nibbles[16];
};
struct HEARTH_PACKED BlockQ4_1 {
  static constexpr size_t kValues = 32;
  uint16_t scale;
  uint16_t minimum;
  uint8_t nibbles[16];
};
struct HEARTH_PACKED BlockQ5_0 {
  static constexpr size_t kValues = 32;
  uint16_t scale;
  uint8_t fifth_bits[4];  // bit i belongs to value i
  uint8_t nibbles[16];
};
struct HEARTH_PACKED BlockQ5_1 {
  static constexpr size_t kValues = 32;
  uint16_t scale;
  uint16_t minimum;
  uint8_t fifth_bits[4];
  uint8_t nibbles[16];
};
struct HEARTH_PACKED BlockQ8_0 {
  static constexpr size_t kValues = 32;
  uint16_t scale;
  int8_t values[32];
};
struct HEARTH_PACKED BlockIQ4_NL {
  static constexpr size_t kValues = 32;
  uint16_t scale;
  uint8_t nibbles[16];  // indices into kIq4Levels
};
struct HEARTH_PACKED BlockMXFP4 {
  static constexpr size_t kValues = 32;
  uint8_t exponent;     // E8M0
  uint8_t nibbles[16];  // E2M1
};
struct HEARTH_PACKED BlockNVFP4 {
  static constexpr size_t kValues = 64;
  uint8_t scales[4];    // UE4M3, one for each 16 values
  uint8_t nibbles[32];  // E2M1; 8 bytes for each 16 values
};
struct HEARTH_PACKED BlockQ1_0 {
  static constexpr size_t kValues = 128;
  uint16_t scale;
  uint8_t bits[16];
};
struct HEARTH_PACKED BlockQ2_0 {
  static constexpr size_t kValues = 64;
  uint16_t scale;
  uint8_t quarters[16];  // four values each, lowest bits first
};

// Super-blocks of 256: one scale (and minimum) for all, small integer scales for groups of 16 or 32.
struct HEARTH_PACKED BlockQ2_K {
  static constexpr size_t kValues = 256;
  uint8_t scales[16];  // low nibble scale, high nibble minimum, of 16 values
  uint8_t quarters[64];
  uint16_t scale;
  uint16_t minimum;
};
struct HEARTH_PACKED BlockQ3_K {
  static constexpr size_t kValues = 256;
  uint8_t third_bits[32];
  uint8_t quarters[64];
  uint8_t scales[12];  // 16 of 6 bits
  uint16_t scale;
};
struct HEARTH_PACKED BlockQ4_K {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  uint16_t minimum;
  uint8_t scales[12];  // 8 scales and 8 minima of 6 bits: GroupScale, GroupMinimum
  uint8_t nibbles[128];
};
struct HEARTH_PACKED BlockQ5_K {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  uint16_t minimum;
  uint8_t scales[12];  // as in Q4_K
  uint8_t fifth_bits[32];
  uint8_t nibbles[128];
};
struct HEARTH_PACKED BlockQ6_K {
  static constexpr size_t kValues = 256;
  uint8_t nibbles[128];
  uint8_t upper_bits[64];
  int8_t scales[16];
  uint16_t scale;
};
struct HEARTH_PACKED BlockIQ4_XS {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  uint16_t scales_high;  // 2 upper bits for each 32 values
  uint8_t scales_low[4];
  uint8_t nibbles[128];  // indices into kIq4Levels
};

// Super-blocks of 256 whose values come in fours or eights from a grid (iq_grids.h).
struct HEARTH_PACKED BlockIQ2_XXS {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  struct HEARTH_PACKED {
    uint8_t index[4];
    uint32_t signs_and_scale;  // 4 x 7 bits sign code, 4 bits scale
  } groups[8];
};
struct HEARTH_PACKED BlockIQ2_XS {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  uint16_t index_and_signs[32];  // 9 bits index, 7 bits sign code
  uint8_t scales[8];
};
struct HEARTH_PACKED BlockIQ2_S {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  uint8_t index_low[32];
  uint8_t signs[32];
  uint8_t index_high[8];
  uint8_t scales[8];
};
struct HEARTH_PACKED BlockIQ3_XXS {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  uint8_t index[64];
  uint32_t signs_and_scale[8];  // as in IQ2_XXS
};
struct HEARTH_PACKED BlockIQ3_S {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  uint8_t index_low[64];
  uint8_t index_high[8];
  uint8_t signs[32];
  uint8_t scales[4];
};
struct HEARTH_PACKED BlockIQ1_S {
  static constexpr size_t kValues = 256;
  uint16_t scale;
  uint8_t index_low[32];
  uint16_t index_high_and_scale[8];  // 4 x 3 bits index, 3 bits scale, 1 bit sign of the shift
};
struct HEARTH_PACKED BlockIQ1_M {
  static constexpr size_t kValues = 256;
  uint8_t index_low[32];
  uint8_t index_high[16];  // per nibble 3 bits index, 1 bit sign of the shift
  uint16_t scales[4];      // 4 x 3 bits scale; the upper nibbles together are the scale of the block
};

// Super-blocks of 256 ternary values.
struct HEARTH_PACKED BlockTQ1_0 {
  static constexpr size_t kValues = 256;
  uint8_t fives[48];  // five base-3 digits each
  uint8_t fours[4];   // four base-3 digits each
  uint16_t scale;
};
struct HEARTH_PACKED BlockTQ2_0 {
  static constexpr size_t kValues = 256;
  uint8_t quarters[64];
  uint16_t scale;
};

#undef HEARTH_PACKED

// Scale and minimum of the 32 values of group 0..7 in Q4_K and Q5_K. The lower four groups have 6 bits in
// bytes 0-3 (scales) and 4-7 (minima); the upper four have 4 bits in bytes 8-11 and 2 bits atop bytes 0-7.
inline uint8_t GroupScale(const uint8_t* scales, int group) {
  if (group < 4) return scales[group] & 63;
  return static_cast<uint8_t>((scales[group + 4] & 15) | (scales[group - 4] >> 6) << 4);
}
inline uint8_t GroupMinimum(const uint8_t* scales, int group) {
  if (group < 4) return scales[group + 4] & 63;
  return static_cast<uint8_t>((scales[group + 4] >> 4) | (scales[group] >> 6) << 4);
}

// The 16 levels of IQ4_NL and IQ4_XS, and twice the 16 values of E2M1 (MXFP4, NVFP4).
inline constexpr int8_t kIq4Levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                                          1,    13,   25,  38,  53,  69,  89,  113};
inline constexpr int8_t kDoubledE2M1[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

}  // namespace hearth

#endif  // HEARTH_ENGINE_QUANT_BLOCKS_H_
