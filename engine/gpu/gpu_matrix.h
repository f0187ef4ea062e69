#ifndef HEARTH_ENGINE_GPU_GPU_MATRIX_H_
#define HEARTH_ENGINE_GPU_GPU_MATRIX_H_

#include <cstddef>
#include <cstdint>

namespace hearth::gpu {

// What the weights of a matrix are on a GPU: a file's type, its fields sorted into planes.
enum class GpuType : uint8_t {
  kF32,
  kF16,
  kBF16,
  kQ4_0,
  kQ4_1,
  kQ5_0,
  kQ5_1,
  kQ8_0,
  kQ3_K,
  kQ4_K,
  kQ5_K,
  kQ6_K,
  kIQ4_NL,
  kIQ4_XS,
  kMXFP4
};

// Columns that are multiplied as one: the planes hold unit after unit.
inline constexpr uint32_t kUnitCols = 32;
// Columns of a super-block: of a scale that several units share.
inline constexpr uint32_t kSuperCols = 256;

// Bytes per unit of each plane, 0 where a type has none; `super` is per kSuperCols columns.
//
// A value is scale * code + minimum. Codes of 4 bits: `codes` has 16 bytes per unit, values 0-15 in the low
// and 16-31 in the high nibbles; the fifth or the fifth and sixth bits lie in `high` (bit i of a 32-bit
// number for value i; or four numbers of which number i has two bits of each of the values i, i + 4, ... ).
// Codes of 8 bits: 32 bytes.
struct PlaneBytes {
  uint32_t codes = 0;
  uint32_t high = 0;
  uint32_t scales = 0;
  uint32_t super = 0;
};

constexpr PlaneBytes PlanesOf(GpuType type) {
  switch (type) {
    case GpuType::kF32:
      return {128, 0, 0, 0};
    case GpuType::kF16:
    case GpuType::kBF16:
      return {64, 0, 0, 0};
    case GpuType::kQ4_0:  // half scale
    case GpuType::kIQ4_NL:
      return {16, 0, 2, 0};
    case GpuType::kQ4_1:  // half scale, half minimum
      return {16, 0, 4, 0};
    case GpuType::kQ5_0:
      return {16, 4, 2, 0};
    case GpuType::kQ5_1:
      return {16, 4, 4, 0};
    case GpuType::kQ8_0:
      return {32, 0, 2, 0};
    case GpuType::kQ3_K:  // int8 scales of 16 values each; half scale
      return {16, 0, 2, 2};
    case GpuType::kQ4_K:  // uint8 scale and minimum; half scale and minimum
      return {16, 0, 2, 4};
    case GpuType::kQ5_K:
      return {16, 4, 2, 4};
    case GpuType::kQ6_K:  // int8 scales of 16 values each; half scale
      return {16, 8, 2, 2};
    case GpuType::kIQ4_XS:  // int8 scale; half scale
      return {16, 0, 1, 2};
    case GpuType::kMXFP4:  // exponent
      return {16, 0, 1, 0};
  }
  return {};
}

// Whether products are of codes (8-bit activations) rather than of float32 values.
constexpr bool HasCodes(GpuType type) { return type > GpuType::kBF16; }
// Columns over which activations share a scale: as many as the weights' own blocks have.
constexpr uint32_t ActivationCols(GpuType type) { return PlanesOf(type).super > 0 ? kSuperCols : kUnitCols; }

// A matrix (rows, cols) in a GPU's memory. cols is a multiple of kUnitCols (of kSuperCols with super-blocks):
// packing fills up with zeros. Plane p of row r begins at p + r * (units or supers) * bytes.
struct GpuMatrix {
  GpuType type = GpuType::kF32;
  uint32_t rows = 0;
  uint32_t cols = 0;
  const uint8_t* codes = nullptr;
  const uint8_t* high = nullptr;
  const uint8_t* scales = nullptr;
  const uint8_t* super = nullptr;
};

// Where the planes of a matrix begin in one piece of memory, each at a multiple of 256 bytes.
struct MatrixLayout {
  uint64_t codes = 0;
  uint64_t high = 0;
  uint64_t scales = 0;
  uint64_t super = 0;
  uint64_t bytes = 0;
};

constexpr MatrixLayout LayoutOf(GpuType type, uint64_t rows, uint64_t cols) {
  const PlaneBytes planes = PlanesOf(type);
  const auto place = [](uint64_t& end, uint64_t bytes) {
    const uint64_t begin = end;
    end += (bytes + 255) / 256 * 256;
    return begin;
  };
  MatrixLayout layout;
  const uint64_t units = rows * (cols / kUnitCols);
  layout.codes = place(layout.bytes, units * planes.codes);
  layout.high = place(layout.bytes, units * planes.high);
  layout.scales = place(layout.bytes, units * planes.scales);
  layout.super = place(layout.bytes, rows * (cols / kSuperCols) * planes.super);
  return layout;
}

// Columns that a row of the type takes: `cols` filled up to whole units or super-blocks.
constexpr uint32_t PaddedCols(GpuType type, uint32_t cols) {
  const uint32_t block = PlanesOf(type).super > 0 ? kSuperCols : kUnitCols;
  return (cols + block - 1) / block * block;
}

}  // namespace hearth::gpu

#endif  // HEARTH_ENGINE_GPU_GPU_MATRIX_H_
