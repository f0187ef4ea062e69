#ifndef HEARTH_DAEMON_CHANNEL_FRAME_H_
#define HEARTH_DAEMON_CHANNEL_FRAME_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/attention/decoder_options.h"
#include "engine/neuron/ffn_request.h"
#include "engine/weights/unit.h"

namespace hearth {

// The tensor channel's messages: a header of fixed size and a payload whose length follows from the header
// and the plan. All numbers are little-endian. This file is pure: it turns bytes into headers and checks
// them, before anything is allocated or read for a payload.
//
//   leader                                      worker
//   hello(epoch, payload: session token)  ->
//                                         <-    welcome(payload)   or the connection is closed
//   ping(payload: up to 1 MiB)            ->                       to measure the link
//                                         <-    pong(no payload)
// and, with an epoch other than 0, the operations of a Device (engine/device/device.h), several of which may
// be on their way; answers come in the order of the questions and repeat their ticket, layer and rows:
//   mix(step, layer, rows, payload)       ->
//                                         <-    sums(payload)
//   ffn(layer, rows, payload)             ->
//                                         <-    sums(payload)
//   output(rows, payload)                 ->
//                                         <-    logits(payload)
//   stage(step, rows, payload)            ->                       to a host that leads a stage
//                                         <-    hidden(payload)
//   read_kv(layer, payload)               ->
//                                         <-    kv(payload)
//   write_kv(layer, payload)              ->
//                                         <-    kv(no payload)
//
// Payloads:
//   welcome uint64 for each head group that the host holds under the plan, in the order of layers and groups:
//           what its cache is known by on this host
//   mix     x, (rows, n_embd), float32 or rounded, see wire_input.h; the rows' places, (rows) of WirePlace;
//   if
//           `hidden` says so the values for the heads' LoRA adapter, float32 (rows, heads_adapted)
//   stage   x, float32 (rows, n_embd); the rows' places
//   ffn     x, as for mix; if `hidden` says so the values for predictor or adapter, float32 (rows,
//           hidden_values); the block choices, (rows, choices) pairs of uint32 block and float32 weight
//   output  x, as for mix
//   sums    int32 or int64 (rows, output_values, or for mix n_embd + heads_returned), see wire_sums.h
//   hidden  float32 (rows, n_embd)
//   logits  float32 (rows, output rows that the host holds, rising)
//   read_kv, write_kv   a WireKvRange; to write, what KvLayer::Read has given
//   kv      what KvLayer::Read gives

enum class FrameOperation : uint16_t {
  kHello = 1,
  kWelcome = 2,
  kPing = 3,
  kPong = 4,
  kMix = 5,
  kFfn = 6,
  kOutput = 7,
  kSums = 8,
  kLogits = 9,
  kReadKv = 10,
  kWriteKv = 11,
  kKv = 12,
  kStage = 13,
  kHidden = 14,
};

enum class FrameType : uint8_t {
  kBytes = 0,
  kFloat32 = 1,
  kInt64 = 2,
  kInt32 = 3,
  kRounded = 4,
};

struct FrameHeader {
  FrameOperation operation = FrameOperation::kHello;
  FrameType type = FrameType::kBytes;
  bool hidden = false;  // mix and ffn: the values for adapter or predictor follow
  uint64_t epoch = 0;   // of the plan; 0 on connections that only measure
  uint64_t ticket = 0;  // counts the requests of a connection
  uint64_t step = 0;    // mix: MixRequest::step
  uint32_t layer = 0;
  uint32_t rows = 0;
  uint32_t choices = 0;  // ffn: block choices per row
  uint64_t payload_bytes = 0;

  bool operator==(const FrameHeader&) const = default;
};

// magic u32, version u16, operation u16, epoch u64, ticket u64, step u64, layer u32, rows u32, choices u32,
// type u8, hidden u8, 2 zero bytes, payload_bytes u64
inline constexpr size_t kFrameHeaderBytes = 56;
inline constexpr uint64_t kMaxPingBytes = 1 << 20;
using FrameHeaderBytes = std::array<uint8_t, kFrameHeaderBytes>;

// As it travels.
FrameHeaderBytes EncodeFrameHeader(const FrameHeader& header);
// INVALID_ARGUMENT for another magic or version, unknown operations and types, and bits that have no meaning.
absl::StatusOr<FrameHeader> DecodeFrameHeader(const FrameHeaderBytes& bytes);

// RowPlace and KvRange as they travel.
struct WirePlace {
  uint32_t sequence = 0;
  uint32_t position = 0;
  uint32_t prompt = 0;  // 0 or 1
};
struct WireKvRange {
  uint32_t group = 0;
  uint32_t sequence = 0;
  uint32_t begin = 0;
  uint32_t end = 0;
};

// What a host's share of a layer takes and gives.
struct LayerShape {
  bool heads = false;          // it holds head groups
  bool neurons = false;        // it holds neuron groups
  uint32_t hidden_values = 0;  // FfnLayerSpec's
  uint32_t output_values = 0;  // of an ffn's sums
  uint32_t blocks = 0;
  uint64_t position_bytes = 0;  // at most, of the cached values of a head group and a position
  uint32_t heads_block = 0;     // RoundedInputBlock of either
  uint32_t neurons_block = 0;
  uint32_t heads_adapted = 0;   // AdapterRanks::mixer_inputs()
  uint32_t heads_returned = 0;  // AdapterRanks::output: values of a mixer's sums beside n_embd
};

// What the messages of one plan to one host look like.
struct ShardShape {
  uint64_t epoch = 0;
  DecoderOptions limits;
  uint32_t n_embd = 0;
  std::vector<LayerShape> layers;
  bool leads_stage = false;
  uint32_t output_block = 0;            // RoundedInputBlock of the output head
  std::vector<IndexRange> output_runs;  // rows of the output head that the host holds, rising

  // Rows of all runs.
  uint64_t output_rows() const;
  // Of the input of a request; 0: it travels as float32.
  uint32_t input_block(FrameOperation operation, uint32_t layer) const;
};

// Bytes of the parts of a request's payload, and of its answer; those that an operation does not have are 0.
struct PayloadShape {
  uint64_t x_bytes = 0;
  uint64_t places_bytes = 0;
  uint64_t hidden_bytes = 0;
  uint64_t choices_bytes = 0;
  uint64_t sums = 0;    // values of the answer
  uint64_t logits = 0;  // the same
  uint64_t hidden = 0;  // the same

  // Of all parts together.
  uint64_t request_bytes() const { return x_bytes + places_bytes + hidden_bytes + choices_bytes; }
};

// Of a mix, stage, ffn or output message whose type says how x travels. The counts are within the shape's
// limits (CHECK).
PayloadShape PayloadOf(const ShardShape& shape, const FrameHeader& header);

// Whether a worker may read this message's payload: each returns INVALID_ARGUMENT, or FAILED_PRECONDITION for
// another epoch, and says what is wrong. A request is any operation of a Device.
absl::Status ValidateHello(const FrameHeader& header);
absl::Status ValidatePing(const FrameHeader& header);
absl::Status ValidateRequest(const FrameHeader& header, const ShardShape& shape);
// Whether the block choices of a message, (rows, header.choices), are ones that a leader sends: each block is
// one of the layer's and occurs once in its row (a weight of 0 stands for "none"), weights are finite.
absl::Status ValidateChoices(const FrameHeader& header, const ShardShape& shape,
                             absl::Span<const BlockChoice> choices);
// Whether the places are within the shape's limits, and rise without gaps in each sequence.
absl::Status ValidatePlaces(const ShardShape& shape, absl::Span<const WirePlace> places);
absl::Status ValidateKvRange(const FrameHeader& header, const ShardShape& shape, const WireKvRange& range);
// Whether `header` is the answer to `request` (which is valid under `shape`). `range` is that of a read_kv.
absl::Status ValidateAnswer(const FrameHeader& header, const FrameHeader& request, const ShardShape& shape,
                            const WireKvRange& range = {});

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_FRAME_H_
