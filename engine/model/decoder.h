#ifndef HEARTH_ENGINE_MODEL_DECODER_H_
#define HEARTH_ENGINE_MODEL_DECODER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/attention/kv_cache.h"
#include "engine/base/thread_pool.h"
#include "engine/device/device.h"
#include "engine/kernel/attention.h"
#include "engine/model/model.h"
#include "engine/model/stage.h"
#include "engine/token/tokenizer.h"

namespace hearth {

// One row of a step: a token of a sequence at a position. The rows of a sequence come in rising positions
// without gaps, starting at what the sequence holds already. A model that reads whole texts (an encoder, see
// ModelSpec::causal) gets all of a sequence's rows in one step, side by side.
struct BatchRow {
  uint32_t sequence = 0;
  uint32_t position = 0;
  TokenId token = 0;
  bool want_logits = false;
  // Of a prompt: computed exactly where neurons of generated tokens are predicted. So what a position gives
  // follows from the model, the mode and the prompt's length alone, however the rows come together in steps.
  bool prompt = false;
  // The row's state is wanted: what the last layer and the output norm make of it, for embeddings.
  bool want_state = false;
};

// The decode loop: strings the embedding, the stages and the output head, and knows how long every sequence
// is. Devices do the rest, KV cache included. Used by one thread at a time.
class Decoder {
 public:
  // `model` is shared and immutable; `pool` outlives the decoder. RESOURCE_EXHAUSTED when no machine like
  // this one could hold the KV cache (says how much it needs), INVALID_ARGUMENT for options the model cannot
  // have.
  static absl::StatusOr<std::unique_ptr<Decoder>> Create(std::shared_ptr<const Model> model,
                                                         DecoderOptions options, ThreadPool& pool);
  virtual ~Decoder() = default;

  // The devices that together hold every unit of the model, made with the same options. Borrowed; may change
  // between steps.
  virtual void SetDevices(std::vector<Device*> devices) = 0;

  // Who leads which layers: rising, without gaps, all of the model's (CHECK). Without it all are led here.
  // Borrowed; may change between steps.
  struct StagePart {
    LayerRange layers;
    RemoteStage* remote = nullptr;  // null: led here, with the devices above
  };
  virtual void SetStages(std::vector<StagePart> stages) = 0;

  // Evaluates the rows and writes the logits, (rows with want_logits, vocab), in row order; logits has room
  // for them (CHECK). INVALID_ARGUMENT for bad rows, FAILED_PRECONDITION for logits of a model that has none
  // (ModelSpec::causal), UNAVAILABLE when a device was lost, DATA_LOSS when the
  // model's file was changed since it was loaded. A step that fails changes no sequence: it can be repeated,
  // with other rows as well, and gives the bits of an unbroken run. Allocates nothing after the first step of
  // the largest size.
  virtual absl::Status Step(absl::Span<const BatchRow> rows, absl::Span<float> logits) = 0;

  // Of the last step's rows with want_state, (rows, n_embd) in row order; valid until the next step.
  virtual absl::Span<const float> states() const = 0;

  // Forgets a sequence, or its positions from `length` on (models with recurrent state only allow 0:
  // INVALID_ARGUMENT).
  virtual absl::Status Truncate(uint32_t sequence, uint32_t length) = 0;
  virtual uint32_t SequenceLength(uint32_t sequence) const = 0;

  // What it was created for.
  virtual const Model& model() const = 0;
  virtual const DecoderOptions& options() const = 0;
  // Of the whole KV cache, on whatever devices.
  virtual uint64_t kv_bytes() const = 0;
  // Weight bytes the leader itself has read so far (devices count their own).
  virtual uint64_t bytes_touched() const = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_DECODER_H_
