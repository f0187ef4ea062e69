#ifndef HEARTH_DAEMON_CHANNEL_FRAME_H_
#define HEARTH_DAEMON_CHANNEL_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/neuron/ffn_request.h"

namespace hearth {

// The tensor channel's messages: a header of fixed size and a payload whose length follows from the header
// and the plan. All numbers are little-endian. This file is pure: it turns bytes into headers and checks
// them, before anything is allocated or read for a payload.
//
//   leader                                      worker
//   hello(epoch, payload: session token)  ->
//                                         <-    welcome            or the connection is closed
//   ping(payload: up to 1 MiB)            ->                       to measure the link
//                                         <-    pong(no payload)
//   ffn(step, layer, rows, payload)       ->                       epoch other than 0 only
//                                         <-    sums(the same step, layer, rows; payload)
//
// The payload of `ffn` is x, float32 (rows, n_embd); then, if `hidden` says so, the predictor's hidden
// values, float32 (rows, predictor_rank); then the block choices, (rows, choices) pairs of uint32 block and
// float32 weight. The payload of `sums` is int32 or int64 (rows, output_values), see wire_sums.h.

enum class FrameOperation : uint16_t {
  kHello = 1,
  kWelcome = 2,
  kPing = 3,
  kPong = 4,
  kFfn = 5,
  kSums = 6,
};

enum class FrameType : uint8_t {
  kBytes = 0,
  kFloat32 = 1,
  kInt64 = 2,
  kInt32 = 3,
};

struct FrameHeader {
  FrameOperation operation = FrameOperation::kHello;
  FrameType type = FrameType::kBytes;
  bool hidden = false;  // ffn: the predictor's values follow x
  uint64_t epoch = 0;   // of the plan; 0 on connections that only measure
  uint64_t step = 0;    // counts the requests of a connection
  uint32_t layer = 0;
  uint32_t rows = 0;
  uint32_t choices = 0;  // ffn: block choices per row
  uint64_t payload_bytes = 0;

  bool operator==(const FrameHeader&) const = default;
};

// magic u32, version u16, operation u16, epoch u64, step u64, layer u32, rows u32, choices u32, type u8,
// hidden u8, 2 zero bytes, payload_bytes u64
inline constexpr size_t kFrameHeaderBytes = 48;
inline constexpr uint64_t kMaxPingBytes = 1 << 20;
using FrameHeaderBytes = std::array<uint8_t, kFrameHeaderBytes>;

FrameHeaderBytes EncodeFrameHeader(const FrameHeader& header);
// INVALID_ARGUMENT for another magic or version, unknown operations and types, and bits that have no meaning.
absl::StatusOr<FrameHeader> DecodeFrameHeader(const FrameHeaderBytes& bytes);

// What a host's share of a layer takes and gives; `held` is false where it has none.
struct LayerShape {
  bool held = false;
  uint32_t n_embd = 0;
  uint32_t predictor_rank = 0;
  uint32_t output_values = 0;
  uint32_t blocks = 0;
};

// What the messages of one plan to one host look like.
struct ShardShape {
  uint64_t epoch = 0;
  uint32_t max_rows = 0;
  std::vector<LayerShape> layers;
};

// Bytes of the parts of a payload.
struct FfnPayload {
  uint64_t x_bytes = 0;
  uint64_t hidden_bytes = 0;
  uint64_t choices_bytes = 0;
  uint64_t sums = 0;  // values of the answer

  uint64_t request_bytes() const { return x_bytes + hidden_bytes + choices_bytes; }
};

// Sizes of an `ffn` message and its answer. The counts are within the shape's limits (CHECK).
FfnPayload FfnPayloadOf(const ShardShape& shape, const FrameHeader& header);

// Whether a worker may read this message's payload: each returns INVALID_ARGUMENT, or FAILED_PRECONDITION for
// another epoch, and says what is wrong.
absl::Status ValidateHello(const FrameHeader& header);
absl::Status ValidatePing(const FrameHeader& header);
absl::Status ValidateFfn(const FrameHeader& header, const ShardShape& shape);
// Whether the block choices of a message, (rows, header.choices), are ones that a leader sends: each block is
// one of the layer's and occurs once in its row (a weight of 0 stands for "none"), weights are finite.
absl::Status ValidateChoices(const FrameHeader& header, const ShardShape& shape,
                             absl::Span<const BlockChoice> choices);
// Whether `header` is the answer to `request` (which is valid under `shape`).
absl::Status ValidateSums(const FrameHeader& header, const FrameHeader& request, const ShardShape& shape);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_FRAME_H_
