#include "engine/quant/types.h"

#include <array>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/quant/dequantize.h"

namespace hearth {
namespace {

template <class Block>
constexpr TypeInfo BlockType(TensorType type, std::string_view name) {
  return {type, name, Block::kValues, sizeof(Block)};
}

constexpr std::array kTypes = {
    TypeInfo{TensorType::kF32, "F32", 1, 4},
    TypeInfo{TensorType::kF16, "F16", 1, 2},
    TypeInfo{TensorType::kBF16, "BF16", 1, 2},
    BlockType<BlockQ4_0>(TensorType::kQ4_0, "Q4_0"),
    BlockType<BlockQ4_1>(TensorType::kQ4_1, "Q4_1"),
    BlockType<BlockQ5_0>(TensorType::kQ5_0, "Q5_0"),
    BlockType<BlockQ5_1>(TensorType::kQ5_1, "Q5_1"),
    BlockType<BlockQ8_0>(TensorType::kQ8_0, "Q8_0"),
    BlockType<BlockQ2_K>(TensorType::kQ2_K, "Q2_K"),
    BlockType<BlockQ3_K>(TensorType::kQ3_K, "Q3_K"),
    BlockType<BlockQ4_K>(TensorType::kQ4_K, "Q4_K"),
    BlockType<BlockQ5_K>(TensorType::kQ5_K, "Q5_K"),
    BlockType<BlockQ6_K>(TensorType::kQ6_K, "Q6_K"),
    BlockType<BlockIQ1_S>(TensorType::kIQ1_S, "IQ1_S"),
    BlockType<BlockIQ1_M>(TensorType::kIQ1_M, "IQ1_M"),
    BlockType<BlockIQ2_XXS>(TensorType::kIQ2_XXS, "IQ2_XXS"),
    BlockType<BlockIQ2_XS>(TensorType::kIQ2_XS, "IQ2_XS"),
    BlockType<BlockIQ2_S>(TensorType::kIQ2_S, "IQ2_S"),
    BlockType<BlockIQ3_XXS>(TensorType::kIQ3_XXS, "IQ3_XXS"),
    BlockType<BlockIQ3_S>(TensorType::kIQ3_S, "IQ3_S"),
    BlockType<BlockIQ4_NL>(TensorType::kIQ4_NL, "IQ4_NL"),
    BlockType<BlockIQ4_XS>(TensorType::kIQ4_XS, "IQ4_XS"),
    BlockType<BlockTQ1_0>(TensorType::kTQ1_0, "TQ1_0"),
    BlockType<BlockTQ2_0>(TensorType::kTQ2_0, "TQ2_0"),
    BlockType<BlockMXFP4>(TensorType::kMXFP4, "MXFP4"),
    BlockType<BlockNVFP4>(TensorType::kNVFP4, "NVFP4"),
    BlockType<BlockQ1_0>(TensorType::kQ1_0, "Q1_0"),
    BlockType<BlockQ2_0>(TensorType::kQ2_0, "Q2_0"),
};

template <class Block>
void DequantizeBlocks(const uint8_t* bytes, size_t count, float* out) {
  for (size_t i = 0; i < count; i += Block::kValues, bytes += sizeof(Block)) {
    DequantizeBlock(*reinterpret_cast<const Block*>(bytes), out + i);
  }
}

template <float (*kWiden)(uint16_t)>
void Widen(const uint8_t* bytes, size_t count, float* out) {
  for (size_t i = 0; i < count; ++i) {
    uint16_t narrow;
    std::memcpy(&narrow, bytes + 2 * i, sizeof(narrow));
    out[i] = kWiden(narrow);
  }
}

}  // namespace

absl::Span<const TypeInfo> AllTypes() { return kTypes; }

const TypeInfo* FindTypeInfo(TensorType type) {
  for (const TypeInfo& info : kTypes) {
    if (info.type == type) return &info;
  }
  return nullptr;
}

const TypeInfo& GetTypeInfo(TensorType type) {
  const TypeInfo* info = FindTypeInfo(type);
  HEARTH_CHECK(info != nullptr);
  return *info;
}

std::optional<TensorType> ParseTypeName(std::string_view name) {
  for (const TypeInfo& info : kTypes) {
    if (info.name == name) return info.type;
  }
  return std::nullopt;
}

std::string SupportedTypeNames() {
  std::string names;
  for (const TypeInfo& info : kTypes) {
    absl::StrAppend(&names, names.empty() ? "" : ", ", AbslView(info.name));
  }
  return names;
}

absl::StatusOr<uint64_t> RowBytes(TensorType type, uint64_t values) {
  const TypeInfo& info = GetTypeInfo(type);
  if (values % info.block_values != 0) {
    return absl::InvalidArgumentError(absl::StrCat("rows of ", values,
                                                   " values do not divide into blocks of ", info.block_values,
                                                   " (", AbslView(info.name), ")"));
  }
  const auto bytes = CheckedMul<uint64_t>(values / info.block_values, info.block_bytes);
  if (!bytes) return absl::InvalidArgumentError(absl::StrCat("rows of ", values, " values are too large"));
  return *bytes;
}

void Dequantize(TensorType type, absl::Span<const uint8_t> blocks, size_t count, float* out) {
  const auto bytes = RowBytes(type, count);
  HEARTH_CHECK(bytes.ok() && *bytes == blocks.size());
  const uint8_t* data = blocks.data();
  switch (type) {
    case TensorType::kF32:
      if (count > 0) std::memcpy(out, data, blocks.size());
      return;
    case TensorType::kF16:
      return Widen<HalfToFloat>(data, count, out);
    case TensorType::kBF16:
      return Widen<BFloat16ToFloat>(data, count, out);
    case TensorType::kQ4_0:
      return DequantizeBlocks<BlockQ4_0>(data, count, out);
    case TensorType::kQ4_1:
      return DequantizeBlocks<BlockQ4_1>(data, count, out);
    case TensorType::kQ5_0:
      return DequantizeBlocks<BlockQ5_0>(data, count, out);
    case TensorType::kQ5_1:
      return DequantizeBlocks<BlockQ5_1>(data, count, out);
    case TensorType::kQ8_0:
      return DequantizeBlocks<BlockQ8_0>(data, count, out);
    case TensorType::kQ2_K:
      return DequantizeBlocks<BlockQ2_K>(data, count, out);
    case TensorType::kQ3_K:
      return DequantizeBlocks<BlockQ3_K>(data, count, out);
    case TensorType::kQ4_K:
      return DequantizeBlocks<BlockQ4_K>(data, count, out);
    case TensorType::kQ5_K:
      return DequantizeBlocks<BlockQ5_K>(data, count, out);
    case TensorType::kQ6_K:
      return DequantizeBlocks<BlockQ6_K>(data, count, out);
    case TensorType::kIQ1_S:
      return DequantizeBlocks<BlockIQ1_S>(data, count, out);
    case TensorType::kIQ1_M:
      return DequantizeBlocks<BlockIQ1_M>(data, count, out);
    case TensorType::kIQ2_XXS:
      return DequantizeBlocks<BlockIQ2_XXS>(data, count, out);
    case TensorType::kIQ2_XS:
      return DequantizeBlocks<BlockIQ2_XS>(data, count, out);
    case TensorType::kIQ2_S:
      return DequantizeBlocks<BlockIQ2_S>(data, count, out);
    case TensorType::kIQ3_XXS:
      return DequantizeBlocks<BlockIQ3_XXS>(data, count, out);
    case TensorType::kIQ3_S:
      return DequantizeBlocks<BlockIQ3_S>(data, count, out);
    case TensorType::kIQ4_NL:
      return DequantizeBlocks<BlockIQ4_NL>(data, count, out);
    case TensorType::kIQ4_XS:
      return DequantizeBlocks<BlockIQ4_XS>(data, count, out);
    case TensorType::kTQ1_0:
      return DequantizeBlocks<BlockTQ1_0>(data, count, out);
    case TensorType::kTQ2_0:
      return DequantizeBlocks<BlockTQ2_0>(data, count, out);
    case TensorType::kMXFP4:
      return DequantizeBlocks<BlockMXFP4>(data, count, out);
    case TensorType::kNVFP4:
      return DequantizeBlocks<BlockNVFP4>(data, count, out);
    case TensorType::kQ1_0:
      return DequantizeBlocks<BlockQ1_0>(data, count, out);
    case TensorType::kQ2_0:
      return DequantizeBlocks<BlockQ2_0>(data, count, out);
  }
  HEARTH_CHECK(false);
}

}  // namespace hearth
