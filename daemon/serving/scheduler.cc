#include "daemon/serving/scheduler.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Bounds how late a cancellation is noticed while there is no plan.
constexpr int kAwaitReadyMs = 20;

SchedulerLimits LimitsOf(const DecoderOptions& decoder, const SchedulerOptions& options) {
  SchedulerLimits limits;
  limits.slots = decoder.sequences;
  limits.queue = options.queue;
  limits.max_rows = decoder.max_rows;
  limits.slow_reader = options.slow_reader;
  return limits;
}

absl::Status StepFailure(const absl::Status& status) {
  if (!absl::IsUnavailable(status)) return status;
  return absl::UnavailableError(
      absl::StrCat("a worker was lost while generating; send the request again (", status.message(), ")"));
}

}  // namespace

Scheduler::Scheduler(std::shared_ptr<LoadedModel> model, SchedulerOptions options)
    : model_(std::move(model)),
      options_(options),
      core_(LimitsOf(model_->decoder().options(), options)),
      thread_([this] { Run(); }) {}

Scheduler::~Scheduler() { Stop(absl::UnavailableError("the model is no longer loaded")); }

absl::Status Scheduler::Submit(GenerationRequest request, Sampler sampler,
                               std::shared_ptr<GenerationSink> sink) {
  SchedulerCore::Request entry{request.id, request.prompt, request.max_tokens, request.deadline};
  auto generation = std::make_unique<Generation>(std::move(request), std::move(sampler), model_->tokenizer(),
                                                 std::move(sink));
  MutexLock lock(&mutex_);
  HEARTH_RETURN_IF_ERROR(stopped_);
  HEARTH_RETURN_IF_ERROR(core_.Submit(std::move(entry)));
  const RequestId id = generation->id();
  HEARTH_CHECK(generations_.emplace(id, std::move(generation)).second);
  changed_.Signal();
  return absl::OkStatus();
}

void Scheduler::Cancel(RequestId id) {
  MutexLock lock(&mutex_);
  core_.Cancel(id);
  changed_.Signal();
}

void Scheduler::Wake() {
  MutexLock lock(&mutex_);
  changed_.Signal();
}

void Scheduler::Stop(const absl::Status& reason) {
  HEARTH_CHECK(!reason.ok());
  {
    MutexLock lock(&mutex_);
    if (stopped_.ok()) stopped_ = reason;
    changed_.Signal();
  }
  MutexLock join(&join_mutex_);
  if (thread_.joinable()) thread_.join();
}

uint32_t Scheduler::context_length() const { return model_->decoder().options().context_length; }

Scheduler::Usage Scheduler::usage() const {
  MutexLock lock(&mutex_);
  return {core_.waiting(), core_.running()};
}

void Scheduler::Run() {
  while (AwaitStep()) {
    if (!step_->rows.empty() && Ready()) Evaluate();
  }
  MutexLock lock(&mutex_);
  const Generations left = Take(core_.EndAll());
  const absl::Status reason = stopped_;
  lock.Unlock();
  FailEach(left, reason);
}

bool Scheduler::AwaitStep() {
  MutexLock lock(&mutex_);
  absl::Time now = absl::Now();
  for (;; now = absl::Now()) {
    if (!stopped_.ok()) return false;
    UpdateBlocked(now);
    const absl::Time next = core_.NextEvent(now);
    if (next <= now) break;
    if (next == absl::InfiniteFuture()) {
      changed_.Wait(&mutex_);
    } else {
      changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(next - now));
    }
  }
  step_ = &core_.Next(now);
  std::vector<std::pair<std::unique_ptr<Generation>, EndReason>> ended;
  for (const auto& [id, reason] : step_->ended) {
    ended.emplace_back(std::move(generations_.extract(id).mapped()), reason);
  }
  std::vector<Generation*> admitted;
  for (const auto& [id, slot] : step_->admitted) admitted.push_back(Find(id));
  lock.Unlock();

  for (const auto& [generation, reason] : ended) generation->End(reason, now);
  for (Generation* generation : admitted) generation->Start(now);
  for (const auto& [id, slot] : step_->admitted) HEARTH_CHECK(model_->decoder().Truncate(slot, 0).ok());
  return true;
}

void Scheduler::UpdateBlocked(absl::Time now) {
  for (const auto& [id, generation] : generations_) core_.SetBlocked(id, generation->Blocked(), now);
}

bool Scheduler::Ready() {
  const absl::Status status = model_->PrepareStep();
  if (status.ok()) {
    not_ready_since_ = absl::InfiniteFuture();
    return true;
  }
  const absl::Time now = absl::Now();
  not_ready_since_ = std::min(not_ready_since_, now);
  const absl::Duration waited = now - not_ready_since_;
  MutexLock lock(&mutex_);
  const Generations failed = waited > options_.queued_grace   ? Take(core_.EndAll())
                             : waited >= options_.begun_grace ? Take(core_.EndBegun())
                                                              : Generations();
  lock.Unlock();
  FailEach(failed, absl::UnavailableError(absl::StrCat("the model cannot be used at present: ",
                                                       status.message(), "; send the request again")));
  model_->AwaitReady(kAwaitReadyMs);
  return false;
}

void Scheduler::Evaluate() {
  const size_t vocab = model_->vocab_size();  // of a row, which may be padded
  const size_t sampled = step_->sampled.size();
  if (logits_.size() < sampled * vocab) logits_.resize(sampled * vocab);
  const absl::Time start = absl::Now();
  const absl::Status status =
      model_->decoder().Step(step_->rows, absl::MakeSpan(logits_.data(), sampled * vocab));

  MutexLock lock(&mutex_);
  if (!status.ok()) {
    const Generations failed = Take(core_.FailStep());
    lock.Unlock();
    if (absl::IsUnavailable(status)) model_->ReportLostDevice(status);
    return FailEach(failed, StepFailure(status));
  }
  core_.Complete(absl::Now() - start);
  std::vector<Generation*> generations;
  for (RequestId id : step_->sampled) generations.push_back(Find(id));
  lock.Unlock();
  for (size_t i = 0; i < sampled; ++i) {
    Advance(*generations[i], absl::MakeSpan(logits_.data() + i * vocab, vocab_size()));
  }
}

void Scheduler::Advance(Generation& generation, absl::Span<float> logits) {
  const absl::Time now = absl::Now();
  auto [token, end] = generation.Advance(logits, now);
  MutexLock lock(&mutex_);
  const bool goes_on = core_.Accept(generation.id(), token);
  if (!goes_on && !end) end = EndReason::kLength;
  if (!end) {
    lock.Unlock();
    return generation.Emit();
  }
  core_.End(generation.id());
  const Generations ended = Take({generation.id()});
  lock.Unlock();
  generation.End(*end, now);
}

Generation* Scheduler::Find(RequestId id) {
  const auto found = generations_.find(id);
  HEARTH_CHECK(found != generations_.end());
  return found->second.get();
}

Scheduler::Generations Scheduler::Take(const std::vector<RequestId>& ids) {
  Generations taken;
  for (RequestId id : ids) taken.push_back(std::move(generations_.extract(id).mapped()));
  return taken;
}

void Scheduler::FailEach(const Generations& generations, const absl::Status& status) {
  for (const auto& generation : generations) generation->Fail(status);
}

}  // namespace hearth
