#include "engine/gpu/pack_rows.h"

#include <cstring>

#include "engine/quant/blocks.h"

namespace hearth::gpu {
namespace {

// Where a unit's parts go.
struct UnitPlanes {
  uint8_t* codes;
  uint8_t* high;
  uint8_t* scales;
};

// Codes of up to 6 bits, values 0-31: the low four bits as nibbles, values 0-15 first.
void PutNibbles(const uint8_t (&codes)[32], uint8_t* out) {
  for (int i = 0; i < 16; ++i) out[i] = static_cast<uint8_t>((codes[i] & 15) | (codes[i + 16] & 15) << 4);
}

// Bit 4 of each code: bit i of the number for value i.
void PutFifthBits(const uint8_t (&codes)[32], uint8_t* out) {
  uint32_t bits = 0;
  for (int i = 0; i < 32; ++i) bits |= static_cast<uint32_t>(codes[i] >> 4 & 1) << i;
  std::memcpy(out, &bits, sizeof(bits));
}

// Bits 4 and 5: two numbers of 32 bits. Bits 8 * b + 2 * q of number h belong to value 16 * h + 4 * q + b, so
// that one shift and mask gives those of four neighbours.
void PutUpperBits(const uint8_t (&codes)[32], uint8_t* out) {
  uint32_t bits[2] = {0, 0};
  for (int i = 0; i < 32; ++i) {
    bits[i / 16] |= static_cast<uint32_t>(codes[i] >> 4 & 3) << (8 * (i % 4) + 2 * (i % 16 / 4));
  }
  std::memcpy(out, bits, sizeof(bits));
}

void Put(uint16_t value, uint8_t* out) { std::memcpy(out, &value, sizeof(value)); }

// One block of 32 values.
void PackBlock(const BlockQ4_0& block, const UnitPlanes& to) {
  std::memcpy(to.codes, block.nibbles, 16);
  Put(block.scale, to.scales);
}
void PackBlock(const BlockIQ4_NL& block, const UnitPlanes& to) {
  std::memcpy(to.codes, block.nibbles, 16);
  Put(block.scale, to.scales);
}
void PackBlock(const BlockQ4_1& block, const UnitPlanes& to) {
  std::memcpy(to.codes, block.nibbles, 16);
  Put(block.scale, to.scales);
  Put(block.minimum, to.scales + 2);
}
void PackBlock(const BlockQ5_0& block, const UnitPlanes& to) {
  std::memcpy(to.codes, block.nibbles, 16);
  std::memcpy(to.high, block.fifth_bits, 4);
  Put(block.scale, to.scales);
}
void PackBlock(const BlockQ5_1& block, const UnitPlanes& to) {
  std::memcpy(to.codes, block.nibbles, 16);
  std::memcpy(to.high, block.fifth_bits, 4);
  Put(block.scale, to.scales);
  Put(block.minimum, to.scales + 2);
}
void PackBlock(const BlockQ8_0& block, const UnitPlanes& to) {
  std::memcpy(to.codes, block.values, 32);
  Put(block.scale, to.scales);
}
void PackBlock(const BlockMXFP4& block, const UnitPlanes& to) {
  std::memcpy(to.codes, block.nibbles, 16);
  to.scales[0] = block.exponent;
}

// Unit u (0..7) of a super-block.
void PackUnit(const BlockQ3_K& block, int u, const UnitPlanes& to) {
  uint8_t codes[32];
  for (int i = 0; i < 32; ++i) {
    // Each run of 128 values lies in 32 bytes, 32 values to each pair of bits.
    const int low = block.quarters[u / 4 * 32 + i] >> (u % 4 * 2) & 3;
    codes[i] = static_cast<uint8_t>(low | (block.third_bits[i] >> u & 1) << 2);
  }
  PutNibbles(codes, to.codes);
  for (int half = 0; half < 2; ++half) {
    const int group = 2 * u + half;
    const int low = block.scales[group % 8] >> (group / 8 * 4) & 15;
    const int high = block.scales[8 + group % 4] >> (group / 4 * 2) & 3;
    to.scales[half] = static_cast<uint8_t>((low | high << 4) - 32);
  }
}
void PutScales(const uint8_t* scales, int u, const UnitPlanes& to) {
  to.scales[0] = GroupScale(scales, u);
  to.scales[1] = GroupMinimum(scales, u);
}
void PackUnit(const BlockQ4_K& block, int u, const UnitPlanes& to) {
  uint8_t codes[32];
  for (int i = 0; i < 32; ++i) codes[i] = block.nibbles[u / 2 * 32 + i] >> (u % 2 * 4) & 15;
  PutNibbles(codes, to.codes);
  PutScales(block.scales, u, to);
}
void PackUnit(const BlockQ5_K& block, int u, const UnitPlanes& to) {
  uint8_t codes[32];
  for (int i = 0; i < 32; ++i) {
    const int low = block.nibbles[u / 2 * 32 + i] >> (u % 2 * 4) & 15;
    codes[i] = static_cast<uint8_t>(low | (block.fifth_bits[i] >> u & 1) << 4);
  }
  PutNibbles(codes, to.codes);
  PutFifthBits(codes, to.high);
  PutScales(block.scales, u, to);
}
void PackUnit(const BlockQ6_K& block, int u, const UnitPlanes& to) {
  uint8_t codes[32];
  for (int i = 0; i < 32; ++i) {
    const int value = u * 32 + i;
    const int low = block.nibbles[value / 128 * 64 + value % 64] >> (value % 128 / 64 * 4) & 15;
    const int high = block.upper_bits[value / 128 * 32 + i] >> (u % 4 * 2) & 3;
    codes[i] = static_cast<uint8_t>(low | high << 4);
  }
  PutNibbles(codes, to.codes);
  PutUpperBits(codes, to.high);
  for (int half = 0; half < 2; ++half) to.scales[half] = static_cast<uint8_t>(block.scales[2 * u + half]);
}
void PackUnit(const BlockIQ4_XS& block, int u, const UnitPlanes& to) {
  std::memcpy(to.codes, block.nibbles + u * 16, 16);
  const int low = block.scales_low[u / 2] >> (u % 2 * 4) & 15;
  const int high = block.scales_high >> (u * 2) & 3;
  to.scales[0] = static_cast<uint8_t>((low | high << 4) - 32);
}

void PackSuper(const BlockQ3_K& block, uint8_t* out) { Put(block.scale, out); }
void PackSuper(const BlockQ6_K& block, uint8_t* out) { Put(block.scale, out); }
void PackSuper(const BlockIQ4_XS& block, uint8_t* out) { Put(block.scale, out); }
void PackSuper(const BlockQ4_K& block, uint8_t* out) {
  Put(block.scale, out);
  Put(block.minimum, out + 2);
}
void PackSuper(const BlockQ5_K& block, uint8_t* out) {
  Put(block.scale, out);
  Put(block.minimum, out + 2);
}

UnitPlanes At(const Planes& planes, const PlaneBytes& bytes, size_t unit) {
  return {planes.codes + unit * bytes.codes,
          planes.high == nullptr ? nullptr : planes.high + unit * bytes.high,
          planes.scales + unit * bytes.scales};
}

template <class Block>
void PackBlocks(GpuType type, const uint8_t* rows, size_t units, const Planes& planes) {
  const PlaneBytes bytes = PlanesOf(type);
  for (size_t u = 0; u < units; ++u) {
    Block block;
    std::memcpy(&block, rows + u * sizeof(Block), sizeof(Block));
    PackBlock(block, At(planes, bytes, u));
  }
}

template <class Block>
void PackSupers(GpuType type, const uint8_t* rows, size_t units, const Planes& planes) {
  const PlaneBytes bytes = PlanesOf(type);
  for (size_t s = 0; s < units / 8; ++s) {
    Block block;
    std::memcpy(&block, rows + s * sizeof(Block), sizeof(Block));
    for (int u = 0; u < 8; ++u) PackUnit(block, u, At(planes, bytes, s * 8 + static_cast<size_t>(u)));
    PackSuper(block, planes.super + s * bytes.super);
  }
}

}  // namespace

size_t FileBytesOf8Units(GpuType type) {
  switch (type) {
    case GpuType::kF32:
    case GpuType::kF16:
    case GpuType::kBF16:
      return PlanesOf(type).codes * 8;
    case GpuType::kQ4_0:
      return 8 * sizeof(BlockQ4_0);
    case GpuType::kQ4_1:
      return 8 * sizeof(BlockQ4_1);
    case GpuType::kQ5_0:
      return 8 * sizeof(BlockQ5_0);
    case GpuType::kQ5_1:
      return 8 * sizeof(BlockQ5_1);
    case GpuType::kQ8_0:
      return 8 * sizeof(BlockQ8_0);
    case GpuType::kQ3_K:
      return sizeof(BlockQ3_K);
    case GpuType::kQ4_K:
      return sizeof(BlockQ4_K);
    case GpuType::kQ5_K:
      return sizeof(BlockQ5_K);
    case GpuType::kQ6_K:
      return sizeof(BlockQ6_K);
    case GpuType::kIQ4_NL:
      return 8 * sizeof(BlockIQ4_NL);
    case GpuType::kIQ4_XS:
      return sizeof(BlockIQ4_XS);
    case GpuType::kMXFP4:
      return 8 * sizeof(BlockMXFP4);
  }
  return 0;
}

void PackRows(GpuType type, const uint8_t* rows, size_t count, size_t units, const Planes& planes) {
  const size_t all = count * units;
  switch (type) {
    case GpuType::kF32:
    case GpuType::kF16:
    case GpuType::kBF16:
      std::memcpy(planes.codes, rows, all * PlanesOf(type).codes);
      return;
    case GpuType::kQ4_0:
      return PackBlocks<BlockQ4_0>(type, rows, all, planes);
    case GpuType::kQ4_1:
      return PackBlocks<BlockQ4_1>(type, rows, all, planes);
    case GpuType::kQ5_0:
      return PackBlocks<BlockQ5_0>(type, rows, all, planes);
    case GpuType::kQ5_1:
      return PackBlocks<BlockQ5_1>(type, rows, all, planes);
    case GpuType::kQ8_0:
      return PackBlocks<BlockQ8_0>(type, rows, all, planes);
    case GpuType::kIQ4_NL:
      return PackBlocks<BlockIQ4_NL>(type, rows, all, planes);
    case GpuType::kMXFP4:
      return PackBlocks<BlockMXFP4>(type, rows, all, planes);
    case GpuType::kQ3_K:
      return PackSupers<BlockQ3_K>(type, rows, all, planes);
    case GpuType::kQ4_K:
      return PackSupers<BlockQ4_K>(type, rows, all, planes);
    case GpuType::kQ5_K:
      return PackSupers<BlockQ5_K>(type, rows, all, planes);
    case GpuType::kQ6_K:
      return PackSupers<BlockQ6_K>(type, rows, all, planes);
    case GpuType::kIQ4_XS:
      return PackSupers<BlockIQ4_XS>(type, rows, all, planes);
  }
}

}  // namespace hearth::gpu
