#ifndef HEARTH_DAEMON_SCHEDULING_SCHEDULER_H_
#define HEARTH_DAEMON_SCHEDULING_SCHEDULER_H_

#include <algorithm>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/model_host.h"
#include "daemon/scheduling/draft_model.h"
#include "daemon/scheduling/embedding.h"
#include "daemon/scheduling/generation.h"
#include "daemon/scheduling/generation_metrics.h"
#include "daemon/scheduling/grammar_cache.h"
#include "daemon/steps/scheduler_core.h"
#include "engine/base/mutex.h"
#include "engine/base/timeline.h"

namespace hearth {

struct SchedulerOptions {
  uint32_t queue = 256;  // requests that may wait
  absl::Duration slow_reader = absl::Seconds(30);
  absl::Duration park_after = SchedulerLimits().park_after;
  absl::Duration token_wait = SchedulerLimits().token_wait;
  uint32_t draft_tokens = SchedulerLimits().draft_tokens;
  // How long requests wait for a plan that can be computed with, since the last step that was. Then all fail
  // with UNAVAILABLE.
  absl::Duration replan_wait = absl::Seconds(30);
  std::shared_ptr<GenerationMetrics> metrics = std::make_shared<GenerationMetrics>();  // of all models
};

// Runs one model's requests in shared batches: a thread that asks SchedulerCore for the next one, evaluates
// it with the model's decoder and hands the tokens to their Generations, the states of texts to their
// Embeddings. A step that fails because a device
// was lost is repeated on the next plan; nothing of a request but its time goes on meanwhile. Thread-safe.
class Scheduler {
 public:
  Scheduler(std::shared_ptr<ServedModel> model, SchedulerOptions options);
  // Stops.
  ~Scheduler();

  // Takes the request over; its events go to `sink` from then on. RESOURCE_EXHAUSTED when the queue is full,
  // the reason of Stop after it, INVALID_ARGUMENT for request.generated that it cannot have generated;
  // nothing is sent to the sink then.
  absl::Status Submit(GenerationRequest request, Sampler sampler, std::shared_ptr<GenerationSink> sink);
  // Likewise, for a text that is to be embedded.
  absl::Status Submit(EmbeddingRequest request, std::shared_ptr<EmbeddingSink> sink);
  // FAILED_PRECONDITION for a model that makes embeddings only.
  absl::Status CheckGenerates() const;
  // Ends the request within one step, with CANCELLED. Harmless when it has ended.
  void Cancel(RequestId id);
  // A sink's Blocked has become false.
  void Wake();
  // Fails all requests with `reason` and waits for the thread, at most one step. Not from a sink.
  void Stop(const absl::Status& reason);

  // What it serves.
  const ServedModel& model() const { return *model_; }
  const std::shared_ptr<ServedModel>& shared_model() const { return model_; }
  // Those of its model's vocabulary, for GenerationRequest::masks.
  GrammarCache& grammars() { return grammars_; }
  uint32_t context_length() const;
  // Ids below this are tokens that have a text and a logit.
  int32_t vocab_size() const { return std::min(model_->vocab_size(), model_->tokenizer().vocab_size()); }

  struct Usage {
    uint32_t waiting;
    uint32_t running;
    uint64_t kv_positions;        // that running requests take of the cache
    uint64_t kv_positions_limit;  // that it has room for
    SchedulerCore::Drafted drafted;
    uint64_t generated_tokens;  // since the model was loaded
  };
  // Requests that wait and that run now, and the cache.
  Usage usage() const;

  // A step, and what happened when in it.
  struct RecordedStep {
    uint32_t rows = 0;
    Timeline::Clock::time_point begin, end;
    std::vector<Timeline::Event> events;
  };
  // The newest that was recorded, of those that read no prompts; nullopt: none was.
  std::optional<RecordedStep> recorded_step() const;

 private:
  using Jobs = std::vector<std::unique_ptr<Job>>;

  absl::Status Add(SchedulerCore::Request entry, std::unique_ptr<Job> job);
  void Run();
  // Waits until there is something to do; false when the scheduler stops.
  bool AwaitWork();
  void UpdateBlocked(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes over the newest plan and notes what the decoder has lost of the sequences. UNAVAILABLE: see
  // ServedModel::PrepareStep.
  absl::Status Prepare();
  // Has the model's draft guess the texts of which that is worth its time.
  void Draft();
  // Forms the batch, without rows unless `ready`, and tells those whose time is over or who got a slot.
  void FormBatch(bool ready);
  absl::Status Evaluate();
  // Has the decoder compute the batch, and now and then records it.
  absl::Status Compute(absl::Span<float> logits);
  void NoteStep(size_t with_logits, absl::Duration took);
  // Cuts from the decoder's sequences what the step computes otherwise: another's tokens, wrong guesses.
  void CutSequences();
  // Its next token, and those that its further rows of logits give.
  void AdvanceRows(const SchedulerCore::Sampled& sampled, Generation& generation, float* logits);
  // True when the next row's logits are its as well.
  bool Advance(Generation& generation, absl::Span<float> logits);
  // Hands the step's states to those whose rows they are.
  void TakeStates();
  void Read(Embedding& embedding, const SchedulerCore::Read& read, absl::Span<const float> states);
  // Forgets a request that failed by itself, and tells it.
  void Discard(Job& job, const absl::Status& status);
  // No step can be computed at present: waits a little for the next plan, or gives up.
  void AwaitPlan(const absl::Status& reason);
  void EndOutage(absl::Time now);
  // A job of the kind that the core takes it for.
  template <class Kind>
  Kind* Find(RequestId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the jobs out of the table; the caller ends them without the lock.
  Jobs Take(const std::vector<RequestId>& ids) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailEach(const Jobs& jobs, const absl::Status& status);

  const std::shared_ptr<ServedModel> model_;
  const EmbeddingTraits embeddings_;
  const SchedulerOptions options_;
  GenerationMetrics::OfModel metrics_;
  GrammarCache grammars_;
  std::vector<float> logits_;                         // of the step, (rows with logits, vocab)
  absl::Time outage_since_ = absl::InfiniteFuture();  // no step could be computed since
  absl::Time moved_until_ = absl::InfinitePast();     // a plan was on its way at last
  const SchedulerCore::Batch* batch_ = nullptr;       // valid until the next FormBatch
  std::unique_ptr<DraftModel> draft_;                 // null: there is none
  uint32_t unrecorded_;                               // steps that generated, since one was recorded

  mutable Mutex mutex_;
  CondVar changed_;
  SchedulerCore core_ ABSL_GUARDED_BY(mutex_);
  // Erased by the scheduler's thread alone, which may therefore use a Job without the lock.
  absl::flat_hash_map<RequestId, std::unique_ptr<Job>> jobs_ ABSL_GUARDED_BY(mutex_);
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);  // the reason
  std::optional<RecordedStep> recorded_ ABSL_GUARDED_BY(mutex_);

  Mutex join_mutex_;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SCHEDULING_SCHEDULER_H_
