#include "daemon/channel/frame.h"

#include <bit>
#include <cmath>
#include <type_traits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/weights/session_token.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Payloads are sent as they lie in memory.
static_assert(std::endian::native == std::endian::little, "the tensor channel needs a little-endian machine");

constexpr uint32_t kMagic = 0x48545248;  // "HRTH"
constexpr uint16_t kVersion = 2;

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
  header.step = reader.Take<uint64_t>();
  header.layer = reader.Take<uint32_t>();
  header.rows = reader.Take<uint32_t>();
  header.choices = reader.Take<uint32_t>();
  const auto type = reader.Take<uint8_t>();
  const auto hidden = reader.Take<uint8_t>();
  const auto zero = reader.Take<uint16_t>();
  header.payload_bytes = reader.Take<uint64_t>();
  if (operation < 1 || operation > static_cast<uint16_t>(FrameOperation::kSums)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown operation ", operation));
  }
  if (type > static_cast<uint8_t>(FrameType::kInt32)) {
    return absl::InvalidArgumentError(absl::StrCat("unknown payload type ", type));
  }
  if (hidden > 1 || zero != 0) return absl::InvalidArgumentError("bits without meaning are set");
  header.operation = static_cast<FrameOperation>(operation);
  header.type = static_cast<FrameType>(type);
  header.hidden = hidden != 0;
  return header;
}

FfnPayload FfnPayloadOf(const ShardShape& shape, const FrameHeader& header) {
  HEARTH_CHECK(header.layer < shape.layers.size() && header.rows <= shape.max_rows);
  const LayerShape& layer = shape.layers[header.layer];
  HEARTH_CHECK(header.choices <= layer.blocks);
  // None overflows: rows is at most 8192, the other counts fit 32 bits.
  const uint64_t rows = header.rows;
  FfnPayload payload;
  payload.x_bytes = rows * layer.n_embd * sizeof(float);
  payload.hidden_bytes = header.hidden ? rows * layer.predictor_rank * sizeof(float) : 0;
  payload.choices_bytes = rows * header.choices * (sizeof(uint32_t) + sizeof(float));
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

absl::Status ValidateFfn(const FrameHeader& header, const ShardShape& shape) {
  HEARTH_RETURN_IF_ERROR(ExpectOperation(header, FrameOperation::kFfn, "ffn"));
  HEARTH_RETURN_IF_ERROR(ExpectEpoch(header, shape.epoch));
  if (header.layer >= shape.layers.size() || !shape.layers[header.layer].held) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer ", header.layer, ", of which this host holds nothing"));
  }
  const LayerShape& layer = shape.layers[header.layer];
  if (header.rows == 0 || header.rows > shape.max_rows) {
    return absl::InvalidArgumentError(
        absl::StrCat(header.rows, " rows where 1 to ", shape.max_rows, " are allowed"));
  }
  if (header.choices > layer.blocks) {
    return absl::InvalidArgumentError(
        absl::StrCat(header.choices, " choices per row in a layer of ", layer.blocks, " blocks"));
  }
  if (header.hidden && layer.predictor_rank == 0) {
    return absl::InvalidArgumentError("predictor values for a layer without a predictor");
  }
  return ExpectPayload(header, FrameType::kFloat32, FfnPayloadOf(shape, header).request_bytes());
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

absl::Status ValidateSums(const FrameHeader& header, const FrameHeader& request, const ShardShape& shape) {
  HEARTH_RETURN_IF_ERROR(ExpectOperation(header, FrameOperation::kSums, "sums"));
  HEARTH_RETURN_IF_ERROR(ExpectEpoch(header, request.epoch));
  if (header.step != request.step || header.layer != request.layer || header.rows != request.rows) {
    return absl::InvalidArgumentError(absl::StrCat("answer to step ", header.step, " layer ", header.layer,
                                                   " where step ", request.step, " layer ", request.layer,
                                                   " was asked"));
  }
  const bool narrow = header.type == FrameType::kInt32;
  const uint64_t sum_bytes = narrow ? sizeof(int32_t) : sizeof(int64_t);
  return ExpectPayload(header, narrow ? FrameType::kInt32 : FrameType::kInt64,
                       FfnPayloadOf(shape, request).sums * sum_bytes);
}

}  // namespace hearth
