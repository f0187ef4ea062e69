#include "engine/quant/quantize.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/check.h"
#include "engine/quant/half.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

constexpr float kLargestHalf = 65504.0f;

template <class Block>
void QuantizeBlocks(absl::Span<const float> values, absl::Span<const float> importance,
                    absl::Span<uint8_t> out) {
  uint8_t* bytes = out.data();
  for (size_t i = 0; i < values.size(); i += Block::kValues, bytes += sizeof(Block)) {
    QuantizeBlock(&values[i], importance.empty() ? nullptr : &importance[i], reinterpret_cast<Block*>(bytes));
  }
}

template <uint16_t (*kNarrow)(float)>
void Narrow(absl::Span<const float> values, absl::Span<uint8_t> out) {
  for (size_t i = 0; i < values.size(); ++i) {
    const uint16_t narrow = kNarrow(values[i]);
    std::memcpy(&out[2 * i], &narrow, sizeof(narrow));
  }
}

// Scales are half precision: what does not fit there would silently become infinite.
absl::Status CheckRange(absl::Span<const float> values, std::string_view type_name) {
  for (size_t i = 0; i < values.size(); ++i) {
    if (!(std::abs(values[i]) <= kLargestHalf)) {
      return absl::InvalidArgumentError(absl::StrCat("value ", i, " is ", values[i], ", which ",
                                                     AbslView(type_name),
                                                     " cannot hold; keep the tensor in BF16 or F32"));
    }
  }
  return absl::OkStatus();
}

}  // namespace

int RoundWithin(float value, int low, int high) {
  if (!(value > static_cast<float>(low))) return low;
  if (value > static_cast<float>(high)) return high;
  return static_cast<int>(std::nearbyint(value));
}

void QuantizeBlock(const float* values, const float* /*importance*/, BlockQ8_0* block) {
  float largest = 0;
  for (size_t i = 0; i < BlockQ8_0::kValues; ++i) largest = std::max(largest, std::abs(values[i]));
  const float scale = largest / 127.0f;
  const float inverse = scale == 0 ? 0 : 1 / scale;
  block->scale = FloatToHalf(scale);
  for (size_t i = 0; i < BlockQ8_0::kValues; ++i) {
    // Rounds ties away from zero, as files of this type are usually made.
    const float rounded = std::round(values[i] * inverse);
    block->values[i] = static_cast<int8_t>(RoundWithin(rounded, -127, 127));
  }
}

void QuantizeBlock(const float* values, const float* /*importance*/, BlockQ4_0* block) {
  const float* end = values + BlockQ4_0::kValues;
  const float extreme =
      *std::max_element(values, end, [](float a, float b) { return std::abs(a) < std::abs(b); });
  // The levels reach from -8 to 7: the extreme value gets the -8.
  const float scale = extreme / -8.0f;
  const float inverse = scale == 0 ? 0 : 1 / scale;
  block->scale = FloatToHalf(scale);
  const auto level = [&](float value) { return RoundWithin(std::floor(value * inverse + 8.5f), 0, 15); };
  for (size_t i = 0; i < 16; ++i) {
    block->nibbles[i] = static_cast<uint8_t>(level(values[i]) | level(values[i + 16]) << 4);
  }
}

absl::Status Quantize(TensorType type, absl::Span<const float> values, absl::Span<const float> importance,
                      absl::Span<uint8_t> out) {
  const auto bytes = RowBytes(type, values.size());
  HEARTH_CHECK(bytes.ok() && *bytes == out.size());
  HEARTH_CHECK(importance.empty() || importance.size() == values.size());
  if (type != TensorType::kF32 && type != TensorType::kBF16) {
    if (absl::Status status = CheckRange(values, GetTypeInfo(type).name); !status.ok()) return status;
  }
  switch (type) {
    case TensorType::kF32:
      if (!values.empty()) std::memcpy(out.data(), values.data(), out.size());
      break;
    case TensorType::kF16:
      Narrow<FloatToHalf>(values, out);
      break;
    case TensorType::kBF16:
      Narrow<FloatToBFloat16>(values, out);
      break;
    case TensorType::kQ8_0:
      QuantizeBlocks<BlockQ8_0>(values, importance, out);
      break;
    case TensorType::kQ4_0:
      QuantizeBlocks<BlockQ4_0>(values, importance, out);
      break;
    case TensorType::kQ4_K:
      QuantizeBlocks<BlockQ4_K>(values, importance, out);
      break;
    case TensorType::kQ6_K:
      QuantizeBlocks<BlockQ6_K>(values, importance, out);
      break;
    default:
      return absl::UnimplementedError(absl::StrCat("cannot quantise to ", AbslView(GetTypeInfo(type).name),
                                                   "; choose F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K"));
  }
  return absl::OkStatus();
}

}  // namespace hearth
