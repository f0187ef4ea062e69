#ifndef HEARTH_DAEMON_CHANNEL_WIRE_SUMS_H_
#define HEARTH_DAEMON_CHANNEL_WIRE_SUMS_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "daemon/channel/frame.h"

namespace hearth {

// Sums as they travel: 32 bits each where all of a message fit, which is nearly always so (|y| < 128, see
// engine/kernel/fixed_point.h), else 64. The values alone decide, so nothing is lost and no plan differs.
class WireSums {
 public:
  // Borrows `sums` or packs them into memory that is reused.
  void Encode(absl::Span<const int64_t> sums);
  FrameType type() const { return type_; }
  absl::Span<const uint8_t> bytes() const { return bytes_; }

  // Where a payload of `type` (kInt32 or kInt64) and `count` sums is to be received.
  absl::Span<uint8_t> Receive(FrameType type, size_t count);
  // Adds what was received to sums, as many.
  void AddTo(absl::Span<int64_t> sums) const;

 private:
  FrameType type_ = FrameType::kInt64;
  absl::Span<const uint8_t> bytes_;
  std::vector<int32_t> narrow_;
  std::vector<int64_t> wide_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_WIRE_SUMS_H_
