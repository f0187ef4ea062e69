#include "daemon/channel/frame.h"

#include <bit>
#include <cmath>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/channel/wire_input.h"
#include "daemon/weights/session_token.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Payloads are sent as they lie in memory.
static_assert(std::endian::native == std::endian::little, "the tensor channel needs a little-endian machine");

constexpr uint32_t kMagic = 0x48545248;  // "HRTH"
constexpr uint16_t kVersion = 4;

// Puts numbers one after another, little-endian whatever the machine.
class Writer {
 public:
  explicit Writer(uint8_t* out) : out_(out) {}
  template <class T>
  void Put(T value) {
    for (size_t i = 0; i < sizeof(T); ++i)
      *out_++ = static_cast<uint8_t>(static_cast<uint64_t>(value) >> (8 * i));
  }

 private:
  uint8_t* out_;
};

class Reader {
 public:
  explicit Reader(const uint8_t* in) : in_(in) {}
  template <class T>
  T Take() {
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value |= uint64_t{*in_++} << (8 * i);
    return static_cast<T>(value);
  }

 private:
  const uint8_t* in_;
};

absl::Status ExpectOperation(const FrameHeader& header, FrameOperation operation, const char* name) {
  if (header.operation == operation) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("operation ", static_cast<int>(header.operation), " where ", name, " was expected"));
}

absl::Status ExpectPayload(const FrameHeader& header, FrameType type, uint64_t bytes) {
  if (header.type != type) {
    return absl::InvalidArgumentError(absl::StrCat("payload of type ", static_cast<int>(header.type),
                                                   " instead of ", static_cast<int>(type)));
  }
  if (header.payload_bytes != bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("payload of ", header.payload_bytes, " bytes instead of ", bytes));
  }
  return absl::OkStatus();
}

absl::Status ExpectEpoch(const FrameHeader& header, uint64_t epoch) {
  if (header.epoch == epoch) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("message of plan epoch ", header.epoch, " on a connection of epoch ", epoch));
}

}  // namespace

FrameHeaderBytes EncodeFrameHeader(const FrameHeader& header) {
  FrameHeaderBytes bytes{};
  Writer writer(bytes.data());
  writer.Put(kMagic);
  writer.Put(kVersion);
  writer.Put(static_cast<uint16_t>(header.operation));
  writer.Put(header.epoch);
  writer.Put(header.ticket);
  writer.Put(header.step);
  writer.Put(header.layer);
  writer.Put(header.rows);
  writer.Put(header.choices);
  writer.Put(static_cast<uint8_t>(header.type));
  writer.Put(static_cast<uint8_t>(header.hidden));
  writer.Put(uint16_t{0});
  writer.Put(header.payload_bytes);
  return bytes;
}

absl::StatusOr<FrameHeader> DecodeFrameHeader(const FrameHeaderBytes& bytes) {
  Reader reader(bytes.data());
  if (reader.Take<uint32_t>() != kMagic)
    return absl::InvalidArgumentError("not a message of Hearth's tensor channel");
  if (const auto version = reader.Take<uint16_t>(); version != kVersion) {
    return absl::InvalidArgumentError(absl::StrCat("tensor channel version ", version,
                                                   ", this host speaks version ", kVersion,
                                                   ": install the same hearthd on both hosts"));
  }
  FrameHeader header;
  const auto operation = reader.Take<uint16_t>();
  header.epoch = reader.Take<uint64_t>();
  header.ticket = reader.Take<uint64_t>();
  header.step = reader.Take<uint64_t>();
  header.layer = reader.Take<uint32_t>();
  header.rows = reader.Take<uint32_t>();
  header.choices = reader.Take<uint32_t>();
  const auto type = reader.Take<uint8_t>();
  const auto hidden = reader.Take<uint8_t>();
  const auto zero = reader.Take<uint16_t>();
  header.payload_bytes = reader.Take<uint64_t>();
  if (operation < 1 || operation > static_cast<uint16_t>(FrameOperation::kHidden)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown operation ", operation));
  }
  if (type > static_cast<uint8_t>(FrameType::kRounded)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown payload type ", type));
  }
  if (hidden > 1 || zero != 0) return absl::InvalidArgumentError("bits without meaning are set");
  header.operation = static_cast<FrameOperation>(operation);
  header.type = static_cast<FrameType>(type);
  header.hidden = hidden != 0;
  return header;
}

uint64_t ShardShape::output_rows() const {
  uint64_t rows = 0;
  for (const IndexRange& run : output_runs) rows += run.size();
  return rows;
}

uint32_t ShardShape::input_block(FrameOperation operation, uint32_t layer) const {
  if (operation == FrameOperation::kOutput) return output_block;
  if (operation == FrameOperation::kMix) return layers[layer].heads_block;
  return operation == FrameOperation::kFfn ? layers[layer].neurons_block : 0;
}

PayloadShape PayloadOf(const ShardShape& shape, const FrameHeader& header) {
  HEARTH_CHECK(header.rows <= shape.limits.max_rows);
  // None overflows: rows is at most 8192, the other counts fit 32 bits.
  const uint64_t rows = header.rows;
  PayloadShape payload;
  const bool of_layer = header.operation == FrameOperation::kMix || header.operation == FrameOperation::kFfn;
  HEARTH_CHECK(!of_layer || header.layer < shape.layers.size());
  payload.x_bytes =
      WireInputBytes(header.type, rows, shape.n_embd, shape.input_block(header.operation, header.layer));
  if (header.operation == FrameOperation::kOutput) {
    payload.logits = rows * shape.output_rows();
    return payload;
  }
  if (header.operation == FrameOperation::kStage) {
    payload.places_bytes = rows * sizeof(WirePlace);
    payload.hidden = rows * shape.n_embd;
    return payload;
  }
  const LayerShape& layer = shape.layers[header.layer];
  if (header.operation == FrameOperation::kMix) {
    payload.places_bytes = rows * sizeof(WirePlace);
    payload.hidden_bytes = header.hidden ? rows * layer.heads_adapted * sizeof(float) : 0;
    payload.sums = rows * (uint64_t{shape.n_embd} + layer.heads_returned);
    return payload;
  }
  HEARTH_CHECK(header.operation == FrameOperation::kFfn && header.choices <= layer.blocks);
  payload.hidden_bytes = header.hidden ? rows * layer.hidden_values * sizeof(float) : 0;
  payload.choices_bytes = rows * header.choices * sizeof(BlockChoice);
  payload.sums = rows * layer.output_values;
  return payload;
}

absl::Status ValidateHello(const FrameHeader& header) {
  HEARTH_RETURN_IF_ERROR(ExpectOperation(header, FrameOperation::kHello, "hello"));
  return ExpectPayload(header, FrameType::kBytes, kSessionTokenBytes);
}

absl::Status ValidatePing(const FrameHeader& header) {
  HEARTH_RETURN_IF_ERROR(ExpectOperation(header, FrameOperation::kPing, "ping"));
  if (header.payload_bytes > kMaxPingBytes) {
    return absl::InvalidArgumentError(absl::StrCat("ping of ", header.payload_bytes, " bytes"));
  }
  return absl::OkStatus();
}

namespace {

absl::Status ExpectRows(const FrameHeader& header, const ShardShape& shape) {
  if (header.rows > 0 && header.rows <= shape.limits.max_rows) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(header.rows, " rows where 1 to ", shape.limits.max_rows, " are allowed"));
}

// Whether the host holds what the operation needs of the header's layer.
absl::Status ExpectHeld(const FrameHeader& header, const ShardShape& shape) {
  bool held = header.layer < shape.layers.size();
  if (held) {
    const LayerShape& layer = shape.layers[header.layer];
    held = header.operation == FrameOperation::kFfn ? layer.neurons : layer.heads;
  }
  if (header.operation == FrameOperation::kStage) held = header.layer == 0 && shape.leads_stage;
  if (header.operation == FrameOperation::kOutput) held = header.layer == 0 && shape.output_rows() > 0;
  if (held) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("operation ", static_cast<int>(header.operation),
                                                 " on layer ", header.layer,
                                                 ", of which this host holds nothing"));
}

absl::Status ValidateFfn(const FrameHeader& header, const ShardShape& shape) {
  const LayerShape& layer = shape.layers[header.layer];
  if (header.choices > layer.blocks) {
    return absl::InvalidArgumentError(
        absl::StrCat(header.choices, " choices per row in a layer of ", layer.blocks, " blocks"));
  }
  if (header.hidden && layer.hidden_values == 0) {
    return absl::InvalidArgumentError("predictor values for a layer without a predictor");
  }
  return absl::OkStatus();
}

// What may be written of a cache at once.
uint64_t MaxCacheBytes(const ShardShape& shape, uint32_t layer) {
  return shape.layers[layer].position_bytes * shape.limits.context_length;
}

absl::Status ValidateKv(const FrameHeader& header, const ShardShape& shape) {
  const uint64_t most = header.operation == FrameOperation::kReadKv ? 0 : MaxCacheBytes(shape, header.layer);
  if (header.type != FrameType::kBytes || header.rows != 0 || header.payload_bytes < sizeof(WireKvRange) ||
      header.payload_bytes - sizeof(WireKvRange) > most) {
    return absl::InvalidArgumentError(
        absl::StrCat("payload of ", header.payload_bytes, " bytes for positions of a cache"));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ValidateRequest(const FrameHeader& header, const ShardShape& shape) {
  switch (header.operation) {
    case FrameOperation::kMix:
    case FrameOperation::kFfn:
    case FrameOperation::kOutput:
    case FrameOperation::kStage:
    case FrameOperation::kReadKv:
    case FrameOperation::kWriteKv:
      break;
    default:
      return ExpectOperation(header, FrameOperation::kFfn, "a request");
  }
  HEARTH_RETURN_IF_ERROR(ExpectEpoch(header, shape.epoch));
  HEARTH_RETURN_IF_ERROR(ExpectHeld(header, shape));
  const bool ffn = header.operation == FrameOperation::kFfn;
  const bool adapted =
      header.operation == FrameOperation::kMix && shape.layers[header.layer].heads_adapted > 0;
  if (!ffn && ((header.hidden && !adapted) || header.choices != 0)) {
    return absl::InvalidArgumentError("fields without meaning are set");
  }
  if (header.operation == FrameOperation::kReadKv || header.operation == FrameOperation::kWriteKv) {
    return ValidateKv(header, shape);
  }
  HEARTH_RETURN_IF_ERROR(ExpectRows(header, shape));
  if (ffn) HEARTH_RETURN_IF_ERROR(ValidateFfn(header, shape));
  FrameHeader allowed = header;
  const bool rounds = shape.input_block(header.operation, header.layer) > 0;
  if (header.type != FrameType::kRounded || !rounds) allowed.type = FrameType::kFloat32;
  return ExpectPayload(header, allowed.type, PayloadOf(shape, allowed).request_bytes());
}

absl::Status ValidateChoices(const FrameHeader& header, const ShardShape& shape,
                             absl::Span<const BlockChoice> choices) {
  const uint32_t blocks = shape.layers[header.layer].blocks;
  std::vector<uint32_t> row_of(blocks);  // in which row, counted from 1, a block was named last
  for (size_t i = 0; i < choices.size(); ++i) {
    const BlockChoice& choice = choices[i];
    const auto row = static_cast<uint32_t>(i / header.choices + 1);
    if (choice.block >= blocks) {
      return absl::InvalidArgumentError(
          absl::StrCat("block ", choice.block, " of a layer of ", blocks, " blocks"));
    }
    if (!std::isfinite(choice.weight)) return absl::InvalidArgumentError("a block's weight is no number");
    if (choice.weight != 0 && std::exchange(row_of[choice.block], row) == row) {
      return absl::InvalidArgumentError(absl::StrCat("block ", choice.block, " twice in a row"));
    }
  }
  return absl::OkStatus();
}

absl::Status ValidatePlaces(const ShardShape& shape, absl::Span<const WirePlace> places) {
  std::vector<uint32_t> next(shape.limits.sequences, UINT32_MAX);  // position; none yet
  for (const WirePlace& place : places) {
    if (place.sequence >= shape.limits.sequences || place.position >= shape.limits.context_length ||
        place.prompt > 1) {
      return absl::InvalidArgumentError(absl::StrCat("position ", place.position, " of sequence ",
                                                     place.sequence, ", which this host does not cache"));
    }
    uint32_t& expected = next[place.sequence];
    if (expected != UINT32_MAX && place.position != expected) {
      return absl::InvalidArgumentError(
          absl::StrCat("position ", place.position, " of a sequence where ", expected, " follows"));
    }
    expected = place.position + 1;
  }
  return absl::OkStatus();
}

absl::Status ValidateKvRange(const FrameHeader& header, const ShardShape& shape, const WireKvRange& range) {
  if (range.sequence >= shape.limits.sequences || range.begin > range.end ||
      range.end > shape.limits.context_length) {
    return absl::InvalidArgumentError(absl::StrCat("positions ", range.begin, " to ", range.end,
                                                   " of sequence ", range.sequence,
                                                   ", which this host does not cache"));
  }
  return absl::OkStatus();
}

namespace {

absl::Status ValidateSums(const FrameHeader& header, uint64_t sums) {
  HEARTH_RETURN_IF_ERROR(ExpectOperation(header, FrameOperation::kSums, "sums"));
  const bool narrow = header.type == FrameType::kInt32;
  const uint64_t sum_bytes = narrow ? sizeof(int32_t) : sizeof(int64_t);
  return ExpectPayload(header, narrow ? FrameType::kInt32 : FrameType::kInt64, sums * sum_bytes);
}

absl::Status ValidateCache(const FrameHeader& header, uint64_t most_bytes) {
  HEARTH_RETURN_IF_ERROR(ExpectOperation(header, FrameOperation::kKv, "kv"));
  if (header.payload_bytes <= most_bytes) {
    return ExpectPayload(header, FrameType::kBytes, header.payload_bytes);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("payload of ", header.payload_bytes, " bytes where at most ", most_bytes, " are cached"));
}

}  // namespace

absl::Status ValidateAnswer(const FrameHeader& header, const FrameHeader& request, const ShardShape& shape,
                            const WireKvRange& range) {
  HEARTH_RETURN_IF_ERROR(ExpectEpoch(header, request.epoch));
  if (header.ticket != request.ticket || header.layer != request.layer || header.rows != request.rows) {
    return absl::InvalidArgumentError(absl::StrCat("answer to request ", header.ticket, " layer ",
                                                   header.layer, " where request ", request.ticket, " layer ",
                                                   request.layer, " was sent"));
  }
  switch (request.operation) {
    case FrameOperation::kReadKv:
      return ValidateCache(header, shape.layers[request.layer].position_bytes * (range.end - range.begin));
    case FrameOperation::kWriteKv:
      return ValidateCache(header, 0);
    case FrameOperation::kStage:
      HEARTH_RETURN_IF_ERROR(ExpectOperation(header, FrameOperation::kHidden, "hidden"));
      return ExpectPayload(header, FrameType::kFloat32, PayloadOf(shape, request).hidden * sizeof(float));
    case FrameOperation::kOutput:
      HEARTH_RETURN_IF_ERROR(ExpectOperation(header, FrameOperation::kLogits, "logits"));
      return ExpectPayload(header, FrameType::kFloat32, PayloadOf(shape, request).logits * sizeof(float));
    default:
      return ValidateSums(header, PayloadOf(shape, request).sums);
  }
}

}  // namespace hearth
