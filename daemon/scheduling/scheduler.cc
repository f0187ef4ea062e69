#include "daemon/scheduling/scheduler.h"

#include <spdlog/spdlog.h>

#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Bounds how late a cancellation or a deadline is noticed while there is no plan.
constexpr int kAwaitReadyMs = 20;
// Of so many steps that generate one is recorded.
constexpr uint32_t kRecordedOf = 16;

SchedulerLimits LimitsOf(const DecoderOptions& decoder, bool whole_texts, const SchedulerOptions& options) {
  SchedulerLimits limits;
  limits.whole_texts = whole_texts;
  limits.slots = decoder.sequences;
  limits.queue = options.queue;
  limits.max_rows = decoder.max_rows;
  limits.slow_reader = options.slow_reader;
  limits.park_after = options.park_after;
  limits.token_wait = options.token_wait;
  limits.draft_tokens = options.draft_tokens;
  return limits;
}

}  // namespace

Scheduler::Scheduler(std::shared_ptr<ServedModel> model, SchedulerOptions options)
    : model_(std::move(model)),
      embeddings_(model_->embeddings()),
      options_(std::move(options)),
      metrics_(options_.metrics->Of(model_->name())),
      grammars_(model_->tokenizer()),
      unrecorded_(kRecordedOf - 2),  // the second is the first to be recorded: short texts have one as well
      core_(LimitsOf(model_->decoder().options(), embeddings_.whole_texts, options_)),
      thread_([this] { Run(); }) {}

Scheduler::~Scheduler() { Stop(absl::UnavailableError("the model is no longer loaded")); }

absl::Status Scheduler::Submit(GenerationRequest request, Sampler sampler,
                               std::shared_ptr<GenerationSink> sink) {
  SchedulerCore::Request entry{.id = request.id,
                               .prompt = request.prompt,
                               .max_tokens = request.max_tokens,
                               .deadline = request.deadline,
                               .generated = request.generated};
  auto generation = std::make_unique<Generation>(std::move(request), std::move(sampler), model_->tokenizer(),
                                                 metrics_, std::move(sink));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<EndReason> end, generation->Repeat());
  if (end) {
    const absl::Time now = absl::Now();
    generation->Start(0, now);
    generation->End(*end, now);
    return absl::OkStatus();
  }
  entry.max_tokens -= static_cast<uint32_t>(entry.generated.size());
  return Add(std::move(entry), std::move(generation));
}

absl::Status Scheduler::Submit(EmbeddingRequest request, std::shared_ptr<EmbeddingSink> sink) {
  SchedulerCore::Request entry{
      .id = request.id, .prompt = request.tokens, .deadline = request.deadline, .embed = true};
  auto embedding =
      std::make_unique<Embedding>(std::move(request), embeddings_.dimensions, metrics_, std::move(sink));
  return Add(std::move(entry), std::move(embedding));
}

absl::Status Scheduler::Add(SchedulerCore::Request entry, std::unique_ptr<Job> job) {
  MutexLock lock(&mutex_);
  HEARTH_RETURN_IF_ERROR(stopped_);
  if (absl::Status status = core_.Submit(std::move(entry)); !status.ok()) {
    metrics_.Refused();
    return status;
  }
  const RequestId id = job->id();
  HEARTH_CHECK(jobs_.emplace(id, std::move(job)).second);
  changed_.Signal();
  return absl::OkStatus();
}

absl::Status Scheduler::CheckGenerates() const {
  if (!embeddings_.whole_texts) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(
      "the model '", model_->name(),
      "' makes embeddings only and cannot continue text; choose another one, or ask for embeddings"));
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
  const DecoderOptions& decoder = model_->decoder().options();
  return {core_.waiting(),   core_.running(),
          core_.evaluated(), uint64_t{decoder.sequences} * decoder.context_length,
          core_.drafted(),   metrics_.generated_tokens()};
}

void Scheduler::Run() {
  while (AwaitWork()) {
    absl::Status status = Prepare();
    if (status.ok()) Draft();
    FormBatch(status.ok());
    if (status.ok() && !batch_->rows.empty()) status = Evaluate();
    if (!status.ok()) AwaitPlan(status);
  }
  MutexLock lock(&mutex_);
  const Jobs left = Take(core_.EndAll());
  const absl::Status reason = stopped_;
  lock.Unlock();
  FailEach(left, reason);
}

bool Scheduler::AwaitWork() {
  MutexLock lock(&mutex_);
  for (;;) {
    if (!stopped_.ok()) return false;
    if (model_->NewPlanWaits() || (draft_ != nullptr && draft_->model()->NewPlanWaits())) return true;
    const absl::Time now = absl::Now();
    UpdateBlocked(now);
    const absl::Time next = core_.NextEvent(now);
    if (next <= now) return true;
    outage_since_ = absl::InfiniteFuture();  // nobody waits for a step
    if (next == absl::InfiniteFuture()) {
      changed_.Wait(&mutex_);
    } else {
      changed_.WaitFor(&mutex_, absl::ToChronoNanoseconds(next - now));
    }
  }
}

void Scheduler::UpdateBlocked(absl::Time now) {
  for (const auto& [id, job] : jobs_) core_.SetBlocked(id, job->Blocked(), now);
}

absl::Status Scheduler::Prepare() {
  HEARTH_RETURN_IF_ERROR(model_->PrepareStep());
  Decoder& decoder = model_->decoder();
  MutexLock lock(&mutex_);
  for (uint32_t slot = 0; slot < decoder.options().sequences; ++slot) {
    core_.Recompute(slot, decoder.SequenceLength(slot));
  }
  core_.SetReuse(model_->reuse());
  return absl::OkStatus();
}

void Scheduler::Draft() {
  const std::shared_ptr<ServedModel> model = model_->draft();
  if (model == nullptr) return draft_.reset();
  if (draft_ == nullptr || draft_->model() != model)
    draft_ = std::make_unique<DraftModel>(model, vocab_size());
  if (!draft_->Prepare()) return;
  MutexLock lock(&mutex_);
  const std::vector<SchedulerCore::DraftWish> wishes = core_.WantedDrafts();
  lock.Unlock();
  if (wishes.empty()) return;
  std::vector<std::vector<TokenId>> guesses = draft_->Guess(wishes);
  lock.Lock();
  for (size_t i = 0; i < wishes.size(); ++i) core_.Offer(wishes[i].id, std::move(guesses[i]));
  if (draft_->token_took() > absl::ZeroDuration()) core_.NoteDraftToken(draft_->token_took());
}

void Scheduler::FormBatch(bool ready) {
  const absl::Time now = absl::Now();
  MutexLock lock(&mutex_);
  batch_ = ready ? &core_.Next(now) : &core_.Expire(now);
  std::vector<std::pair<std::unique_ptr<Job>, EndReason>> ended;
  for (const auto& [id, reason] : batch_->ended) {
    ended.emplace_back(std::move(jobs_.extract(id).mapped()), reason);
  }
  std::vector<std::pair<Job*, uint32_t>> started;
  for (const SchedulerCore::Admitted& admitted : batch_->admitted) {
    if (!admitted.resumed) started.emplace_back(Find<Job>(admitted.id), admitted.kept);
  }
  lock.Unlock();

  for (const auto& [job, reason] : ended) job->End(reason, now);
  for (const auto& [job, kept] : started) job->Start(kept, now);
}

void Scheduler::CutSequences() {
  Decoder& decoder = model_->decoder();
  std::optional<uint32_t> last;
  for (const BatchRow& row : batch_->rows) {
    if (row.sequence == last) continue;
    last = row.sequence;
    HEARTH_CHECK(decoder.Truncate(row.sequence, row.position).ok());
  }
}

absl::Status Scheduler::Evaluate() {
  const size_t vocab = model_->vocab_size();  // of a row, which may be padded
  size_t with_logits = 0;
  for (const SchedulerCore::Sampled& sampled : batch_->sampled) with_logits += sampled.rows;
  if (logits_.size() < with_logits * vocab) logits_.resize(with_logits * vocab);
  CutSequences();
  const absl::Time start = absl::Now();
  const absl::Status status = Compute(absl::MakeSpan(logits_.data(), with_logits * vocab));
  if (absl::IsUnavailable(status)) {
    outage_since_ = std::min(outage_since_, start);
    model_->ReportLostDevice(status);
    return status;
  }
  const absl::Time now = absl::Now();
  EndOutage(now);
  if (status.ok()) metrics_.Step(batch_->rows.size() > with_logits, now - start);
  if (status.ok()) NoteStep(with_logits, now - start);

  MutexLock lock(&mutex_);
  if (!status.ok()) {
    const Jobs failed = Take(core_.FailBatch());
    lock.Unlock();
    FailEach(failed, status);
    return absl::OkStatus();
  }
  core_.Complete(now - start);
  std::vector<Generation*> generations;
  for (const SchedulerCore::Sampled& sampled : batch_->sampled)
    generations.push_back(Find<Generation>(sampled.id));
  lock.Unlock();
  float* logits = logits_.data();
  for (size_t i = 0; i < generations.size(); ++i) {
    AdvanceRows(batch_->sampled[i], *generations[i], logits);
    logits += batch_->sampled[i].rows * vocab;
  }
  TakeStates();
  return absl::OkStatus();
}

absl::Status Scheduler::Compute(absl::Span<float> logits) {
  const bool generates =
      !batch_->sampled.empty() &&
      std::none_of(batch_->rows.begin(), batch_->rows.end(), [](const BatchRow& row) { return row.prompt; });
  if (!generates || ++unrecorded_ < kRecordedOf) return model_->decoder().Step(batch_->rows, logits);
  unrecorded_ = 0;
  Timeline timeline;
  RecordedStep step;
  step.rows = static_cast<uint32_t>(batch_->rows.size());
  step.begin = Timeline::Clock::now();
  {
    const Timeline::Scope scope(&timeline);
    HEARTH_RETURN_IF_ERROR(model_->decoder().Step(batch_->rows, logits));
  }
  step.end = Timeline::Clock::now();
  step.events = timeline.events();
  MutexLock lock(&mutex_);
  recorded_ = std::move(step);
  return absl::OkStatus();
}

std::optional<Scheduler::RecordedStep> Scheduler::recorded_step() const {
  MutexLock lock(&mutex_);
  return recorded_;
}

// A step that is of one kind; where prompts are read few rows give logits.
void Scheduler::NoteStep(size_t with_logits, absl::Duration took) {
  const auto rows = static_cast<uint32_t>(batch_->rows.size());
  if (rows == batch_->sampled.size()) model_->NoteStep(rows, took);
  if (with_logits <= rows / 16) model_->NotePromptStep(rows, took);
}

void Scheduler::AwaitPlan(const absl::Status& reason) {
  const absl::Time now = absl::Now();
  outage_since_ = std::min(outage_since_, now);
  const bool on_its_way = model_->PlanIsOnItsWay();
  if (on_its_way) moved_until_ = now;
  if (on_its_way || now - std::max(outage_since_, moved_until_) < options_.replan_wait)
    return model_->AwaitReady(kAwaitReadyMs);
  MutexLock lock(&mutex_);
  const Jobs failed = Take(core_.EndAll());
  lock.Unlock();
  FailEach(failed, absl::UnavailableError(absl::StrCat(
                       "no step could be computed for ", absl::FormatDuration(options_.replan_wait), ": ",
                       reason.message(), "; send the request again once that is mended")));
}

void Scheduler::EndOutage(absl::Time now) {
  if (outage_since_ == absl::InfiniteFuture()) return;
  const Usage waited = usage();
  spdlog::info("model {}: {} running and {} waiting requests go on after {} without a step", model_->name(),
               waited.running, waited.waiting,
               absl::FormatDuration(absl::Trunc(now - outage_since_, absl::Milliseconds(1))));
  outage_since_ = absl::InfiniteFuture();
}

void Scheduler::AdvanceRows(const SchedulerCore::Sampled& sampled, Generation& generation, float* logits) {
  const auto vocab = static_cast<size_t>(model_->vocab_size());
  generation.NoteDraft(sampled.rows - 1);
  for (uint32_t row = 0; row < sampled.rows; ++row, logits += vocab) {
    if (!Advance(generation, absl::MakeSpan(logits, vocab_size()))) return;
  }
}

bool Scheduler::Advance(Generation& generation, absl::Span<float> logits) {
  const absl::Time now = absl::Now();
  const absl::Status usable = CheckLogits(logits);
  const absl::StatusOr<Generation::Choice> choice =
      usable.ok() ? generation.Advance(logits, now) : absl::StatusOr<Generation::Choice>(usable);
  if (!choice.ok()) {
    Discard(generation, choice.status());
    return false;
  }
  auto [token, end] = *choice;
  MutexLock lock(&mutex_);
  const SchedulerCore::After after = core_.Accept(generation.id(), token);
  if (after == SchedulerCore::After::kEnds && !end) end = EndReason::kLength;
  if (!end) {
    lock.Unlock();
    generation.Emit();
    if (after != SchedulerCore::After::kNextRow) return false;
    generation.NoteAcceptedDraftToken();
    return true;
  }
  core_.End(generation.id());
  const Jobs ended = Take({generation.id()});
  lock.Unlock();
  generation.End(*end, now);
  return false;
}

void Scheduler::TakeStates() {
  if (batch_->read.empty()) return;
  std::vector<Embedding*> embeddings;
  {
    MutexLock lock(&mutex_);
    for (const SchedulerCore::Read& read : batch_->read) embeddings.push_back(Find<Embedding>(read.id));
  }
  absl::Span<const float> states = model_->decoder().states();
  const size_t width = embeddings_.dimensions;
  for (size_t i = 0; i < embeddings.size(); ++i) {
    const size_t values = batch_->read[i].rows * width;
    HEARTH_CHECK(states.size() >= values);
    Read(*embeddings[i], batch_->read[i], states.first(values));
    states.remove_prefix(values);
  }
}

void Scheduler::Read(Embedding& embedding, const SchedulerCore::Read& read, absl::Span<const float> states) {
  if (const absl::Status status = embedding.Read(read.first, states); !status.ok()) {
    return Discard(embedding, status);
  }
  if (!read.last) return;
  MutexLock lock(&mutex_);
  core_.End(read.id);
  const Jobs ended = Take({read.id});
  lock.Unlock();
  embedding.End(EndReason::kEmbedded, absl::Now());
}

void Scheduler::Discard(Job& job, const absl::Status& status) {
  MutexLock lock(&mutex_);
  core_.Discard(job.id());
  const Jobs ended = Take({job.id()});
  lock.Unlock();
  FailEach(ended, status);
}

template <class Kind>
Kind* Scheduler::Find(RequestId id) {
  const auto found = jobs_.find(id);
  HEARTH_CHECK(found != jobs_.end());
  return static_cast<Kind*>(found->second.get());
}

Scheduler::Jobs Scheduler::Take(const std::vector<RequestId>& ids) {
  Jobs taken;
  for (RequestId id : ids) taken.push_back(std::move(jobs_.extract(id).mapped()));
  return taken;
}

void Scheduler::FailEach(const Jobs& jobs, const absl::Status& status) {
  for (const auto& job : jobs) job->Fail(status);
}

}  // namespace hearth
