#ifndef HEARTH_DAEMON_MODEL_HOST_H_
#define HEARTH_DAEMON_MODEL_HOST_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/chat/chat_templates.h"
#include "engine/model/decoder.h"
#include "engine/token/tokenizer.h"
#include "engine/weights/adapter_file.h"
#include "placement/objective.h"

namespace hearth {

// The border between the two halves of the daemon: serving (requests, batches, text) and cluster (hosts,
// plans, weights). The cluster half implements these interfaces, the serving half calls them.

// What of a sequence in a decoder's cache serves others that begin alike, and itself when it goes on
// otherwise than was guessed.
struct ReuseRules {
  // A generated token leaves what the same token of a prompt leaves, bit for bit.
  bool rows_alike = false;
  // A sequence can be cut anywhere; without it (recurrent state) it can only go on where it ended.
  bool can_cut = true;
  // A row gives and leaves the same bits whatever other rows its step has.
  bool rows_independent = false;
};

// What there is to know about a model's embeddings.
struct EmbeddingTraits {
  uint32_t dimensions = 0;         // values of a vector
  std::optional<Pooling> pooling;  // what the file asks for
  // Texts are read whole, in one step of at most DecoderOptions::max_rows, and nothing is generated.
  bool whole_texts = false;
};

// A model that answers requests, with the devices of the current plan behind its decoder.
class ServedModel {
 public:
  virtual ~ServedModel() = default;

  virtual const std::string& name() const = 0;    // as clients name it
  virtual const std::string& digest() const = 0;  // "sha256:..." of the model file and its adapters
  // Of the model's file.
  virtual const Tokenizer& tokenizer() const = 0;
  virtual const ChatTemplates& chat() const = 0;
  virtual Decoder& decoder() = 0;  // used by one scheduler thread only; its options() by any
  // Values of one row of logits: more than tokens where the file pads its output matrix.
  virtual int32_t vocab_size() const { return tokenizer().vocab_size(); }

  // Of the model's file.
  virtual EmbeddingTraits embeddings() {
    const ModelSpec& spec = decoder().model().spec();
    return {spec.n_embd, spec.pooling, !spec.causal};
  }

  // Another model, of the same vocabulary and as many slots, that guesses what this one's texts go on with;
  // null: there is none, or not yet. For the scheduler of this one alone.
  virtual std::shared_ptr<ServedModel> draft() const { return nullptr; }

  // Whether PrepareStep would take over a newer plan: where no step follows, it is worth a call, since the
  // former plan's memory is free then. Of any thread.
  virtual bool NewPlanWaits() const { return false; }
  // Called by the scheduler's thread before each step: switches the decoder to the newest plan whose shards
  // are ready. What the decoder then holds of each sequence is what SequenceLength says: positions that were
  // with a lost device are gone. UNAVAILABLE while there is no plan to compute with, and says what is
  // missing. Never blocks for the network.
  virtual absl::Status PrepareStep() = 0;
  // Whether PrepareStep fails because the plan was given up for another one that is being loaded. Of any
  // thread.
  virtual bool PlanIsOnItsWay() const { return false; }
  // Blocks until PrepareStep may succeed or `timeout_ms` has passed.
  virtual void AwaitReady(int timeout_ms) = 0;
  // Under the plan of the last PrepareStep; for the same thread.
  virtual ReuseRules reuse() const { return {}; }
  // A step failed with `status`, UNAVAILABLE: its plan is not used again, the lost hosts are dropped and a
  // new plan is made. Returns at once; the step is to be repeated once PrepareStep succeeds.
  virtual void ReportLostDevice(const absl::Status& status) = 0;
  // A step with one row of each of `rows` texts, whose next tokens it gives, was computed in that time.
  virtual void NoteStep(uint32_t /*rows*/, absl::Duration /*took*/) {}
  // So was a step of so many rows, nearly all of prompts.
  virtual void NotePromptStep(uint32_t /*rows*/, absl::Duration /*took*/) {}
};

enum class ModelState { kLoading, kReady, kFailed, kUnloading };

struct ModelInfo {
  std::string name;
  std::string path;
  std::string digest;
  std::string architecture;
  ModelState state = ModelState::kLoading;
  std::string detail;       // "reading weights", "sending 12 groups to host b", an error
  absl::Status error;       // kFailed: why, with the code for the client that asked for it
  uint64_t bytes_done = 0;  // progress of loading: local and on all workers
  uint64_t bytes_total = 0;
  uint64_t context_length = 0;
  uint64_t vocab_size = 0;
  std::string sparsity;      // "dense", "exact", "predicted"
  std::string sparsity_why;  // in words
  std::string quantisation;  // most common weight type
  uint64_t plan_epoch = 0;
  placement::Objective objective = {};  // as it was asked for
  std::vector<AdapterSource> adapters;  // likewise
  std::string draft;                    // path of the model that guesses for it; empty: none
  ModelState draft_state = ModelState::kLoading;
  std::string draft_detail;  // as `detail`
};

// A model that is to be loaded.
struct ModelSource {
  std::string name;  // empty: the file's stem
  std::string path;
  std::optional<placement::Objective> objective = {};  // nullopt: as the daemon is set
  std::string draft = {};                              // path of a model that guesses for it; empty: none
  std::vector<AdapterSource> adapters = {};            // LoRA adapters that change it
};

// The models of this cluster. Thread-safe.
class ModelHost {
 public:
  virtual ~ModelHost() = default;

  // Starts loading and returns the model's name at once; progress shows in List. ALREADY_EXISTS for a name in
  // use, NOT_FOUND, INVALID_ARGUMENT, RESOURCE_EXHAUSTED.
  virtual absl::StatusOr<std::string> Load(const ModelSource& source) = 0;
  // Starts unloading; running sequences end with UNAVAILABLE.
  virtual absl::Status Unload(const std::string& name) = 0;
  virtual std::vector<ModelInfo> List() const = 0;
  // The model called `name`, or the only one loaded when empty. NOT_FOUND lists what is there; UNAVAILABLE
  // until it is ready for the first time, with the progress in the message; FAILED_PRECONDITION with the
  // reason when it could not be loaded (such models do not count where none is named). A model that loses a
  // host later is still found: its requests wait for the next plan.
  virtual absl::StatusOr<std::shared_ptr<ServedModel>> Find(const std::string& name) const = 0;
  // Called (from any thread) when the list changes.
  virtual void SetListener(std::function<void()> listener) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MODEL_HOST_H_
