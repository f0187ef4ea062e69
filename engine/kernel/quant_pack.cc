#include "engine/kernel/quant_pack.h"

#include <algorithm>
#include <cstring>
#include <type_traits>

#include "engine/base/check.h"
#include "engine/kernel/panels.h"
#include "engine/quant/blocks.h"

namespace hearth {
namespace {

// Writes one row's part of a strip: every method puts its bytes beside those of the other rows.
class StripRow {
 public:
  // Row `row` of `rows`.
  StripRow(uint8_t* strip, size_t row, size_t rows) : at_(strip), row_(row), rows_(rows) {}

  // The next `count` numbers of Width bytes, each followed by those of the other rows.
  template <size_t kWidth>
  void Put(const void* numbers, size_t count = 1) {
    const auto* source = static_cast<const uint8_t*>(numbers);
    for (size_t i = 0; i < count; ++i, at_ += rows_ * kWidth) {
      std::memcpy(at_ + row_ * kWidth, source + i * kWidth, kWidth);
    }
  }

 private:
  uint8_t* at_;
  const size_t row_;
  const size_t rows_;
};

// The four bytes of a quad, each shifted right and cut to `mask`: bytes do not mix, since the mask drops what
// comes in from the neighbour.
uint32_t QuadBits(const uint8_t* codes, size_t quad, int shift, uint8_t mask) {
  uint32_t bits;
  std::memcpy(&bits, codes + 4 * quad, sizeof(bits));
  return (bits >> shift) & (0x01010101u * mask);
}

// The four low bits of 32 codes.
void PutNibbles(const uint8_t* codes, StripRow& out) {
  uint8_t pairs[16];
  for (size_t i = 0; i < 16; ++i) pairs[i] = static_cast<uint8_t>((codes[i] & 15) | codes[16 + i] << 4);
  out.Put<4>(pairs, 4);
}

// The bits shift and shift + 1 of 32 codes.
void PutTwoBits(const uint8_t* codes, int shift, StripRow& out) {
  uint32_t packed[2] = {0, 0};
  for (size_t quad = 0; quad < 8; ++quad)
    packed[quad / 4] |= QuadBits(codes, quad, shift, 3) << (quad % 4 * 2);
  out.Put<4>(packed, 2);
}

// Bit `shift` of 32 codes.
void PutOneBit(const uint8_t* codes, int shift, StripRow& out) {
  uint32_t packed = 0;
  for (size_t quad = 0; quad < 8; ++quad) packed |= QuadBits(codes, quad, shift, 1) << quad;
  out.Put<4>(&packed);
}

// Codes of 32 values that lie as 16 nibble pairs: first half low, second half high.
void SplitNibbles(const uint8_t* pairs, uint8_t* codes) {
  for (size_t i = 0; i < 16; ++i) {
    codes[i] = pairs[i] & 15;
    codes[16 + i] = pairs[i] >> 4;
  }
}

void AddFifthBits(const uint8_t* bits, uint8_t* codes) {
  for (size_t i = 0; i < 32; ++i) codes[i] |= static_cast<uint8_t>(((bits[i / 8] >> (i % 8)) & 1) << 4);
}

// UnitCodes: the codes of 32 columns, unit 0..7 of a super-block; bits per code as Bits<Block>() says.
void UnitCodes(const BlockQ4_0& block, size_t, uint8_t* codes) { SplitNibbles(block.nibbles, codes); }
void UnitCodes(const BlockQ4_1& block, size_t, uint8_t* codes) { SplitNibbles(block.nibbles, codes); }
void UnitCodes(const BlockIQ4_NL& block, size_t, uint8_t* codes) { SplitNibbles(block.nibbles, codes); }
void UnitCodes(const BlockMXFP4& block, size_t, uint8_t* codes) { SplitNibbles(block.nibbles, codes); }
void UnitCodes(const BlockQ5_0& block, size_t, uint8_t* codes) {
  SplitNibbles(block.nibbles, codes);
  AddFifthBits(block.fifth_bits, codes);
}
void UnitCodes(const BlockQ5_1& block, size_t, uint8_t* codes) {
  SplitNibbles(block.nibbles, codes);
  AddFifthBits(block.fifth_bits, codes);
}
void UnitCodes(const BlockIQ4_XS& block, size_t unit, uint8_t* codes) {
  SplitNibbles(block.nibbles + 16 * unit, codes);
}
void UnitCodes(const BlockQ2_K& block, size_t unit, uint8_t* codes) {
  const uint8_t* quarters = block.quarters + unit / 4 * 32;
  for (size_t i = 0; i < 32; ++i) codes[i] = (quarters[i] >> (unit % 4 * 2)) & 3;
}
void UnitCodes(const BlockQ3_K& block, size_t unit, uint8_t* codes) {
  const uint8_t* quarters = block.quarters + unit / 4 * 32;
  for (size_t i = 0; i < 32; ++i) {
    const int low = (quarters[i] >> (unit % 4 * 2)) & 3;
    codes[i] = static_cast<uint8_t>(low | ((block.third_bits[i] >> unit) & 1) << 2);
  }
}
void UnitCodes(const BlockQ4_K& block, size_t unit, uint8_t* codes) {
  const uint8_t* pairs = block.nibbles + unit / 2 * 32;
  for (size_t i = 0; i < 32; ++i) codes[i] = (pairs[i] >> (unit % 2 * 4)) & 15;
}
void UnitCodes(const BlockQ5_K& block, size_t unit, uint8_t* codes) {
  const uint8_t* pairs = block.nibbles + unit / 2 * 32;
  for (size_t i = 0; i < 32; ++i) {
    const int low = (pairs[i] >> (unit % 2 * 4)) & 15;
    codes[i] = static_cast<uint8_t>(low | ((block.fifth_bits[i] >> unit) & 1) << 4);
  }
}
void UnitCodes(const BlockQ6_K& block, size_t unit, uint8_t* codes) {
  // Each run of 128 values has 64 bytes of low nibbles: two units low, then two units high.
  const uint8_t* pairs = block.nibbles + unit / 4 * 64 + unit % 2 * 32;
  const uint8_t* upper = block.upper_bits + unit / 4 * 32;
  for (size_t i = 0; i < 32; ++i) {
    const int low = (pairs[i] >> (unit % 4 / 2 * 4)) & 15;
    codes[i] = static_cast<uint8_t>(low | ((upper[i] >> (unit % 4 * 2)) & 3) << 4);
  }
}

template <class Block>
constexpr int Bits() {
  if constexpr (std::is_same_v<Block, BlockQ2_K>) return 2;
  if constexpr (std::is_same_v<Block, BlockQ3_K>) return 3;
  if constexpr (std::is_same_v<Block, BlockQ5_0> || std::is_same_v<Block, BlockQ5_1>) return 5;
  if constexpr (std::is_same_v<Block, BlockQ5_K>) return 5;
  if constexpr (std::is_same_v<Block, BlockQ6_K>) return 6;
  return 4;
}

// The scales of a strip, before its codes. Here: those of blocks of 32, then their minima where they have
// any.
template <class Block>
void PutScales(const Block* blocks, size_t count, StripRow& out) {
  for (size_t b = 0; b < count; ++b) out.Put<2>(&blocks[b].scale);
  if constexpr (std::is_same_v<Block, BlockQ4_1> || std::is_same_v<Block, BlockQ5_1>) {
    for (size_t b = 0; b < count; ++b) out.Put<2>(&blocks[b].minimum);
  }
}
void PutScales(const BlockMXFP4* blocks, size_t count, StripRow& out) {
  for (size_t b = 0; b < count; ++b) out.Put<1>(&blocks[b].exponent);
}
void PutScales(const BlockQ2_K* block, size_t, StripRow& out) {
  out.Put<1>(block->scales, 16);
  out.Put<2>(&block->scale);
  out.Put<2>(&block->minimum);
}
void PutScales(const BlockQ3_K* block, size_t, StripRow& out) {
  out.Put<4>(block->scales, 3);
  out.Put<2>(&block->scale);
}
template <class Block>
void PutSixBitScales(const Block* block, StripRow& out) {
  out.Put<4>(block->scales, 3);
  out.Put<2>(&block->scale);
  out.Put<2>(&block->minimum);
}
void PutScales(const BlockQ4_K* block, size_t, StripRow& out) { PutSixBitScales(block, out); }
void PutScales(const BlockQ5_K* block, size_t, StripRow& out) { PutSixBitScales(block, out); }
void PutScales(const BlockQ6_K* block, size_t, StripRow& out) {
  out.Put<1>(block->scales, 16);
  out.Put<2>(&block->scale);
}
void PutScales(const BlockIQ4_XS* block, size_t, StripRow& out) {
  out.Put<4>(block->scales_low);
  out.Put<2>(&block->scales_high);
  out.Put<2>(&block->scale);
}

// One row of a strip of `units` units, whose file blocks start at `blocks`.
template <class Block>
void PackStripRow(const Block* blocks, size_t units, StripRow& out) {
  constexpr size_t kUnitsPerBlock = Block::kValues / kUnitCols;
  constexpr int kBits = Bits<Block>();
  uint8_t codes[kStripUnits][kUnitCols];
  for (size_t u = 0; u < units; ++u) UnitCodes(blocks[u / kUnitsPerBlock], u % kUnitsPerBlock, codes[u]);
  PutScales(blocks, units / kUnitsPerBlock, out);
  for (size_t u = 0; u < units; ++u) {
    if (kBits < 4) {
      PutTwoBits(codes[u], 0, out);
    } else {
      PutNibbles(codes[u], out);
    }
    if (kBits == 3) PutOneBit(codes[u], 2, out);
    if (kBits == 5) PutOneBit(codes[u], 4, out);
    if (kBits == 6) PutTwoBits(codes[u], 4, out);
  }
}

// Bytes are stored with an offset of 128, as unsigned codes.
void PackStripRow(const BlockQ8_0* blocks, size_t units, StripRow& out) {
  PutScales(blocks, units, out);
  for (size_t u = 0; u < units; ++u) {
    uint8_t codes[kUnitCols];
    for (size_t i = 0; i < kUnitCols; ++i) codes[i] = static_cast<uint8_t>(blocks[u].values[i]) ^ 0x80;
    out.Put<4>(codes, 8);
  }
}

template <class Block>
void PackStrip(const uint8_t* source, size_t row_bytes, size_t rows, size_t cols, size_t strip,
               size_t panel_rows, uint8_t* out) {
  const size_t column = strip * kStripCols;
  const size_t units = std::min(kStripCols, cols - column) / kUnitCols;
  for (size_t r = 0; r < rows; ++r) {
    const auto* row = reinterpret_cast<const Block*>(source + r * row_bytes);
    StripRow packed(out, r, panel_rows);
    PackStripRow(row + column / Block::kValues, units, packed);
  }
}

using PackFunction = void (*)(const uint8_t*, size_t, size_t, size_t, size_t, size_t, uint8_t*);

PackFunction PackFunctionOf(TensorType type) {
  switch (type) {
    case TensorType::kQ4_0:
      return PackStrip<BlockQ4_0>;
    case TensorType::kQ4_1:
      return PackStrip<BlockQ4_1>;
    case TensorType::kQ5_0:
      return PackStrip<BlockQ5_0>;
    case TensorType::kQ5_1:
      return PackStrip<BlockQ5_1>;
    case TensorType::kQ8_0:
      return PackStrip<BlockQ8_0>;
    case TensorType::kQ2_K:
      return PackStrip<BlockQ2_K>;
    case TensorType::kQ3_K:
      return PackStrip<BlockQ3_K>;
    case TensorType::kQ4_K:
      return PackStrip<BlockQ4_K>;
    case TensorType::kQ5_K:
      return PackStrip<BlockQ5_K>;
    case TensorType::kQ6_K:
      return PackStrip<BlockQ6_K>;
    case TensorType::kIQ4_NL:
      return PackStrip<BlockIQ4_NL>;
    case TensorType::kIQ4_XS:
      return PackStrip<BlockIQ4_XS>;
    case TensorType::kMXFP4:
      return PackStrip<BlockMXFP4>;
    default:
      return nullptr;
  }
}

// Numbers of four bytes that a unit's codes take.
size_t CodeWords(TensorType type) {
  switch (type) {
    case TensorType::kQ2_K:
      return 2;
    case TensorType::kQ3_K:
      return 3;
    case TensorType::kQ5_0:
    case TensorType::kQ5_1:
    case TensorType::kQ5_K:
      return 5;
    case TensorType::kQ6_K:
      return 6;
    case TensorType::kQ8_0:
      return 8;
    default:
      return 4;
  }
}

}  // namespace

StripFields StripFieldsOf(TensorType type, size_t units) {
  const StripField codes = {4, units * CodeWords(type)};
  switch (type) {
    case TensorType::kQ4_1:
    case TensorType::kQ5_1:
      return {{{2, 2 * units}, codes, {}, {}}};
    case TensorType::kMXFP4:
      return {{{1, units}, codes, {}, {}}};
    case TensorType::kQ2_K:
      return {{{1, 16}, {2, 2}, codes, {}}};
    case TensorType::kQ6_K:
      return {{{1, 16}, {2, 1}, codes, {}}};
    case TensorType::kQ3_K:
      return {{{4, 3}, {2, 1}, codes, {}}};
    case TensorType::kQ4_K:
    case TensorType::kQ5_K:
      return {{{4, 3}, {2, 2}, codes, {}}};
    case TensorType::kIQ4_XS:
      return {{{4, 1}, {2, 2}, codes, {}}};
    default:
      return {{{2, units}, codes, {}, {}}};
  }
}

bool HasQuantPanels(TensorType type) { return PackFunctionOf(type) != nullptr; }

void PackQuantStrip(TensorType type, const uint8_t* source, size_t row_bytes, size_t rows, size_t cols,
                    size_t strip, uint8_t* out) {
  const PackFunction pack = PackFunctionOf(type);
  HEARTH_CHECK(pack != nullptr);
  pack(source, row_bytes, rows, cols, strip, kPanelRows, out);
}

void PackQuantRow(TensorType type, const uint8_t* row, size_t cols, uint8_t* out) {
  const PackFunction pack = PackFunctionOf(type);
  HEARTH_CHECK(pack != nullptr);
  const TypeInfo& info = GetTypeInfo(type);
  for (size_t column = 0; column < cols; column += kStripCols) {
    pack(row, 0, 1, cols, column / kStripCols, 1, out);
    out += std::min(kStripCols, cols - column) / info.block_values * info.block_bytes;
  }
}

}  // namespace hearth
