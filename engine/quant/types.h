#ifndef HEARTH_ENGINE_QUANT_TYPES_H_
#define HEARTH_ENGINE_QUANT_TYPES_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/quant/half.h"  // HalfToFloat and its kin

namespace hearth {

// Element type of a tensor in a GGUF file, with the number that the file format gives it. Quantised types
// pack `block_values` consecutive values of a row (dimension 0) into `block_bytes` bytes.
enum class TensorType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ2_K = 10,
  kQ3_K = 11,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kIQ2_XXS = 16,
  kIQ2_XS = 17,
  kIQ3_XXS = 18,
  kIQ1_S = 19,
  kIQ4_NL = 20,
  kIQ3_S = 21,
  kIQ2_S = 22,
  kIQ4_XS = 23,
  kIQ1_M = 29,
  kBF16 = 30,
  kTQ1_0 = 34,
  kTQ2_0 = 35,
  kMXFP4 = 39,
  kNVFP4 = 40,
  kQ1_0 = 41,
  kQ2_0 = 42,
};

struct TypeInfo {
  TensorType type;
  std::string_view name;  // "Q4_0"
  uint32_t block_values;  // values per block; 1 for F32, F16, BF16
  uint32_t block_bytes;   // bytes per block
};

// Every type, in the order in which they are listed to people.
absl::Span<const TypeInfo> AllTypes();
// The description of `type`, or nullptr for a number that Hearth does not know.
const TypeInfo* FindTypeInfo(TensorType type);
// The description of a type that is known to exist (CHECK).
const TypeInfo& GetTypeInfo(TensorType type);
std::optional<TensorType> ParseTypeName(std::string_view name);
// "F32, F16, ...": for error messages.
std::string SupportedTypeNames();

// Bytes of one row of `values` values. INVALID_ARGUMENT when `values` is no multiple of the block or
// overflows.
absl::StatusOr<uint64_t> RowBytes(TensorType type, uint64_t values);

// Writes the `count` float32 values that `blocks` stands for, bit for bit what the reference computes.
// `count` is a multiple of block_values; blocks holds count / block_values * block_bytes bytes (CHECK). Any
// bytes are safe.
void Dequantize(TensorType type, absl::Span<const uint8_t> blocks, size_t count, float* out);

// Packs `values` (a multiple of block_values) as `type`, into out (exactly the bytes needed; CHECK).
// `importance` is empty or has one weight per value and steers the rounding of the K types. Supported: F32,
// F16, BF16, Q8_0, Q4_0, Q4_K, Q6_K; UNIMPLEMENTED for the others.
absl::Status Quantize(TensorType type, absl::Span<const float> values, absl::Span<const float> importance,
                      absl::Span<uint8_t> out);

}  // namespace hearth

#endif  // HEARTH_ENGINE_QUANT_TYPES_H_
