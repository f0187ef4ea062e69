// Any bytes on the tensor channel are refused, or are a message whose payload has the size that its header
// and the plan make it.
#include <cstdint>
#include <cstring>
#include <vector>

#include "daemon/channel/frame.h"
#include "daemon/channel/wire_input.h"
#include "engine/base/check.h"

namespace hearth {
namespace {

ShardShape Shape() {
  ShardShape shape;
  shape.epoch = 7;
  shape.limits = {.sequences = 2, .context_length = 32, .max_rows = 16};
  shape.n_embd = 64;
  shape.layers = {
      {false, true, 8, 64, 1, 0}, {true, false, 0, 0, 0, 128}, {true, true, 0, 65, 4, 64, 32, 256, 6, 3}};
  shape.output_block = 32;
  shape.leads_stage = true;
  shape.output_runs = {{0, 10}, {90, 100}};
  return shape;
}

// The next values of the input, zeros at its end.
template <class T>
std::vector<T> Take(absl::Span<const uint8_t>& input, size_t count) {
  std::vector<T> values(count);
  const size_t bytes = std::min(count * sizeof(T), input.size());
  if (bytes > 0) std::memcpy(values.data(), input.data(), bytes);
  input.remove_prefix(bytes);
  return values;
}

void Check(absl::Span<const uint8_t> input) {
  FrameHeaderBytes bytes;
  const std::vector<uint8_t> head = Take<uint8_t>(input, bytes.size());
  std::memcpy(bytes.data(), head.data(), bytes.size());
  const absl::StatusOr<FrameHeader> header = DecodeFrameHeader(bytes);
  if (!header.ok()) return;
  HEARTH_CHECK(EncodeFrameHeader(*header) == bytes);
  static const ShardShape shape = Shape();
  (void)ValidateHello(*header);
  (void)ValidatePing(*header);
  if (!ValidateRequest(*header, shape).ok()) return;
  const FrameOperation operation = header->operation;
  const WireKvRange range = Take<WireKvRange>(input, 1)[0];
  const bool cache = operation == FrameOperation::kReadKv || operation == FrameOperation::kWriteKv;
  if (cache) {
    if (!ValidateKvRange(*header, shape, range).ok()) return;
  } else {
    HEARTH_CHECK(PayloadOf(shape, *header).request_bytes() == header->payload_bytes);
    if (header->type == FrameType::kRounded) {
      const uint32_t block = shape.input_block(operation, header->layer);
      std::vector<float> x(size_t{header->rows} * shape.n_embd);
      DecodeRounded(Take<uint8_t>(input, PayloadOf(shape, *header).x_bytes), header->rows, shape.n_embd,
                    block, x.data());
    }
    if (operation == FrameOperation::kFfn) {
      (void)ValidateChoices(*header, shape, Take<BlockChoice>(input, size_t{header->rows} * header->choices));
    } else {
      (void)ValidatePlaces(shape, Take<WirePlace>(input, header->rows));
    }
  }
  FrameHeaderBytes answer;
  const std::vector<uint8_t> rest = Take<uint8_t>(input, answer.size());
  std::memcpy(answer.data(), rest.data(), answer.size());
  if (const auto decoded = DecodeFrameHeader(answer); decoded.ok()) {
    (void)ValidateAnswer(*decoded, *header, shape, range);
  }
}

}  // namespace
}  // namespace hearth

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  hearth::Check({data, size});
  return 0;
}
