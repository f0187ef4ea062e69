#ifndef HEARTH_DAEMON_SERVING_SCHEDULER_H_
#define HEARTH_DAEMON_SERVING_SCHEDULER_H_

#include <algorithm>
#include <memory>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/model_host.h"
#include "daemon/serving/generation.h"
#include "daemon/serving/scheduler_core.h"
#include "engine/base/mutex.h"

namespace hearth {

struct SchedulerOptions {
  uint32_t queue = 256;  // requests that may wait
  absl::Duration slow_reader = absl::Seconds(30);
  // While no plan can be used: how long requests that have begun wait for the next one, and how long those do
  // that have not. Then they fail with UNAVAILABLE.
  absl::Duration begun_grace = absl::ZeroDuration();
  absl::Duration queued_grace = absl::Seconds(30);
};

// Runs one model's requests in shared batches: a thread that asks SchedulerCore for the next step, evaluates
// it with the model's decoder and hands the tokens to their Generations. Thread-safe.
class Scheduler {
 public:
  Scheduler(std::shared_ptr<LoadedModel> model, SchedulerOptions options);
  // Stops.
  ~Scheduler();

  // Takes the request over; its events go to `sink` from then on. RESOURCE_EXHAUSTED when the queue is full,
  // the reason of Stop after it; nothing is sent to the sink then.
  absl::Status Submit(GenerationRequest request, Sampler sampler, std::shared_ptr<GenerationSink> sink);
  // Ends the request within one step, with CANCELLED. Harmless when it has ended.
  void Cancel(RequestId id);
  // A sink's Blocked has become false.
  void Wake();
  // Fails all requests with `reason` and waits for the thread, at most one step. Not from a sink.
  void Stop(const absl::Status& reason);

  const LoadedModel& model() const { return *model_; }
  const std::shared_ptr<LoadedModel>& shared_model() const { return model_; }
  uint32_t context_length() const;
  // Ids below this are tokens that have a text and a logit.
  int32_t vocab_size() const { return std::min(model_->vocab_size(), model_->tokenizer().vocab_size()); }

  struct Usage {
    uint32_t waiting;
    uint32_t running;
  };
  Usage usage() const;

 private:
  using Generations = std::vector<std::unique_ptr<Generation>>;

  void Run();
  // Waits for work and plans the next step in step_; false when the scheduler stops.
  bool AwaitStep();
  void UpdateBlocked(absl::Time now) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool Ready();
  void Evaluate();
  void Advance(Generation& generation, absl::Span<float> logits);
  Generation* Find(RequestId id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Takes the generations out of the table; the caller ends them without the lock.
  Generations Take(const std::vector<RequestId>& ids) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FailEach(const Generations& generations, const absl::Status& status);

  const std::shared_ptr<LoadedModel> model_;
  const SchedulerOptions options_;
  std::vector<float> logits_;  // of the step, (sampled, vocab)
  absl::Time not_ready_since_ = absl::InfiniteFuture();
  const SchedulerCore::Step* step_ = nullptr;  // valid until the next AwaitStep

  mutable Mutex mutex_;
  CondVar changed_;
  SchedulerCore core_ ABSL_GUARDED_BY(mutex_);
  // Erased by the scheduler's thread alone, which may therefore use a Generation without the lock.
  absl::flat_hash_map<RequestId, std::unique_ptr<Generation>> generations_ ABSL_GUARDED_BY(mutex_);
  absl::Status stopped_ ABSL_GUARDED_BY(mutex_);  // the reason

  Mutex join_mutex_;
  std::thread thread_;  // last: starts when all else is there
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_SCHEDULER_H_
