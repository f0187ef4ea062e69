#ifndef HEARTH_DAEMON_CHANNEL_WIRE_INPUT_H_
#define HEARTH_DAEMON_CHANNEL_WIRE_INPUT_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "daemon/channel/frame.h"

namespace hearth {

// The input of a request, (rows, cols), as it travels. Where every device rounds it to 8 bits before it
// multiplies (RoundedInputBlock), a row travels rounded: for every `block` columns the largest magnitude,
// float32, and then codes, int8. What is made of them rounds to the same codes and scales again, so nothing
// is lost. Else, and where magnitudes are so large or small that this would not hold (or no numbers),
// float32.
class WireInput {
 public:
  // Borrows x or packs it into memory that is reused. `block` 0: as float32.
  void Encode(const float* x, uint64_t rows, uint32_t cols, uint32_t block);
  FrameType type() const { return type_; }  // kRounded or kFloat32
  absl::Span<const uint8_t> bytes() const { return bytes_; }

 private:
  FrameType type_ = FrameType::kFloat32;
  absl::Span<const uint8_t> bytes_;
  std::vector<uint8_t> rounded_;
};

// Bytes of an input that travels as `type`; a multiple of 4. `block` is not 0 with kRounded.
uint64_t WireInputBytes(FrameType type, uint64_t rows, uint32_t cols, uint32_t block);
// What `bytes` (WireInputBytes of them) of a kRounded input stand for, into x, (rows, cols).
void DecodeRounded(absl::Span<const uint8_t> bytes, uint64_t rows, uint32_t cols, uint32_t block, float* x);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_WIRE_INPUT_H_
