#include "daemon/channel/wire_input.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "engine/outline/rounded_input.h"

namespace hearth {
namespace {

constexpr float kLargestCode = 127;
// Between these, products and quotients of magnitudes and codes are normal numbers.
constexpr float kLeastMagnitude = 1e-30f;
constexpr float kMostMagnitude = 1e30f;

uint32_t Blocks(uint32_t cols, uint32_t block) { return cols / block + (cols % block != 0); }

// As integers magnitudes compare as they do as floats, and a NaN is larger than everything.
float LargestMagnitude(const float* values, uint32_t count) {
  uint32_t most = 0;
  for (uint32_t i = 0; i < count; ++i) most = std::max(most, std::bit_cast<uint32_t>(values[i]) & 0x7fffffff);
  return std::bit_cast<float>(most);
}

// To the nearest, as the kernels round: adding moves the fraction out of a float's 24 bits.
int8_t Nearest(float value) {
  constexpr float kShift = 12582912;  // 1.5 * 2^23
  return static_cast<int8_t>(static_cast<int32_t>((value + kShift) - kShift));
}

// False where a magnitude is out of bounds.
bool EncodeRow(const float* x, uint32_t cols, uint32_t block, uint8_t* out) {
  auto* codes = reinterpret_cast<int8_t*>(out + Blocks(cols, block) * sizeof(float));
  for (uint32_t begin = 0; begin < cols; begin += block) {
    const uint32_t count = std::min(block, cols - begin);
    const float magnitude = LargestMagnitude(x + begin, count);
    if (magnitude != 0 && !(magnitude >= kLeastMagnitude && magnitude <= kMostMagnitude)) return false;
    const float inverse = magnitude > 0 ? kLargestCode / magnitude : 0;
    std::memcpy(out + begin / block * sizeof(float), &magnitude, sizeof(float));
    for (uint32_t i = 0; i < count; ++i) codes[begin + i] = Nearest(x[begin + i] * inverse);
  }
  return true;
}

}  // namespace

void WireInput::Encode(const float* x, uint64_t rows, uint32_t cols, uint32_t block) {
  type_ = FrameType::kFloat32;
  bytes_ = {reinterpret_cast<const uint8_t*>(x), WireInputBytes(type_, rows, cols, block)};
  if (block == 0) return;
  const uint64_t row_bytes = InputRowBytes(cols, block);
  if (rounded_.size() < rows * row_bytes) rounded_.resize(rows * row_bytes);
  for (uint64_t row = 0; row < rows; ++row) {
    if (!EncodeRow(x + row * cols, cols, block, rounded_.data() + row * row_bytes)) return;
  }
  type_ = FrameType::kRounded;
  bytes_ = {rounded_.data(), rows * row_bytes};
}

uint64_t WireInputBytes(FrameType type, uint64_t rows, uint32_t cols, uint32_t block) {
  return rows * InputRowBytes(cols, type == FrameType::kRounded ? block : 0);
}

void DecodeRounded(absl::Span<const uint8_t> bytes, uint64_t rows, uint32_t cols, uint32_t block, float* x) {
  const uint64_t row_bytes = InputRowBytes(cols, block);
  for (uint64_t row = 0; row < rows; ++row, x += cols) {
    const uint8_t* const in = bytes.data() + row * row_bytes;
    const auto* codes = reinterpret_cast<const int8_t*>(in + Blocks(cols, block) * sizeof(float));
    for (uint32_t begin = 0; begin < cols; begin += block) {
      float magnitude;
      std::memcpy(&magnitude, in + begin / block * sizeof(float), sizeof(float));
      const float scale = magnitude / kLargestCode;
      const uint32_t end = begin + std::min(block, cols - begin);
      for (uint32_t i = begin; i < end; ++i) x[i] = static_cast<float>(codes[i]) * scale;
      // 127 times the scale may be one bit off, and this value decides about the scale.
      for (uint32_t i = begin; i < end; ++i) {
        x[i] = codes[i] == 127 ? magnitude : codes[i] == -127 ? -magnitude : x[i];
      }
    }
  }
}

}  // namespace hearth
