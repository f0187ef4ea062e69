#ifndef HEARTH_ENGINE_MODEL_DECODER_H_
#define HEARTH_ENGINE_MODEL_DECODER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/attention.h"
#include "engine/model/model.h"
#include "engine/neuron/ffn_device.h"
#include "engine/token/tokenizer.h"

namespace hearth {

struct DecoderOptions {
  uint32_t sequences = 1;         // sequences that can be in flight (slots)
  uint32_t context_length = 512;  // positions per sequence
  uint32_t max_rows = 512;        // rows of one step at most
  KvType kv_type = KvType::kF32;
};

// One row of a step: a token of a sequence at a position. The rows of a sequence come in rising positions
// without gaps, starting at what the sequence holds already.
struct BatchRow {
  uint32_t sequence = 0;
  uint32_t position = 0;
  TokenId token = 0;
  bool want_logits = false;
};

// The decode loop: leads the model's layers, keeps residual streams and the KV cache of every sequence, and
// asks devices for the FFNs. Used by one thread at a time.
class Decoder {
 public:
  // `model` is shared and immutable; `pool` outlives the decoder. RESOURCE_EXHAUSTED when the KV cache does
  // not fit the memory of the machine (says how much it needs), INVALID_ARGUMENT for options the model cannot
  // have.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(std::shared_ptr<const Model> model,
                                                         DecoderOptions options, ThreadPool& pool);
  virtual ~Decoder() = default;

  // The devices that hold the FFN shards, together every group of every layer. Borrowed; may change between
  // steps.
  virtual void SetDevices(std::vector<FfnDevice*> devices) = 0;

  // Evaluates the rows and writes the logits, (rows with want_logits, vocab), in row order; logits has room
  // for them (CHECK). INVALID_ARGUMENT for bad rows, UNAVAILABLE when a device was lost. A step that fails
  // changes no sequence: it can be repeated, with other rows as well, and gives the bits of an unbroken run.
  // Allocates nothing after the first step of the largest size.
  virtual absl::Status Step(absl::Span<const BatchRow> rows, absl::Span<float> logits) = 0;

  // Forgets a sequence, or its positions from `length` on (models with recurrent state only allow 0:
  // INVALID_ARGUMENT).
  virtual absl::Status Truncate(uint32_t sequence, uint32_t length) = 0;
  virtual uint32_t SequenceLength(uint32_t sequence) const = 0;

  virtual const Model& model() const = 0;
  virtual const DecoderOptions& options() const = 0;
  virtual uint64_t kv_bytes() const = 0;
  // Weight and KV bytes the leader itself has read so far (devices count their own).
  virtual uint64_t bytes_touched() const = 0;
};

// Bytes of KV cache that the options need for this model.
absl::StatusOr<uint64_t> KvCacheBytes(const ModelSpec& spec, const DecoderOptions& options);

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_DECODER_H_
