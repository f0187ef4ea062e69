#include "daemon/scheduling/generation_metrics.h"

#include <array>

namespace hearth {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildHistogram;
using Buckets = prometheus::Histogram::BucketBoundaries;

// Seconds. Tokens come after some milliseconds from a card and after seconds from a large model on
// processors.
const Buckets& TokenBuckets() {
  static const Buckets buckets = {0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1, 2, 5, 10};
  return buckets;
}

// Seconds. Long prompts and queues take minutes.
const Buckets& WaitBuckets() {
  static const Buckets buckets = {0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 60, 180};
  return buckets;
}

enum Outcome { kStop, kLength, kEmbedded, kCancelled, kDeadline, kSlowReader, kRefused, kFailed };
constexpr std::array kOutcomes = {"stop",     "length",      "embedded", "cancelled",
                                  "deadline", "slow_reader", "refused",  "failed"};

Outcome OutcomeOf(EndReason reason) {
  switch (reason) {
    case EndReason::kStopToken:
    case EndReason::kStopString:
      return kStop;
    case EndReason::kLength:
      return kLength;
    case EndReason::kCancelled:
      return kCancelled;
    case EndReason::kDeadline:
      return kDeadline;
    case EndReason::kSlowReader:
      return kSlowReader;
    case EndReason::kEmbedded:
      return kEmbedded;
  }
  return kFailed;
}

Outcome OutcomeOf(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return kCancelled;
    case absl::StatusCode::kDeadlineExceeded:
      return kDeadline;
    case absl::StatusCode::kResourceExhausted:
      return kSlowReader;
    default:
      return kFailed;
  }
}

}  // namespace

// What the registry holds of one model.
struct GenerationMetrics::Series {
  Series(GenerationMetrics& all, const std::string& model)
      : prompt_tokens(all.prompt_tokens_.Add({{"model", model}})),
        cached_tokens(all.cached_tokens_.Add({{"model", model}})),
        generated_tokens(all.generated_tokens_.Add({{"model", model}})),
        queued(all.queued_.Add({{"model", model}}, WaitBuckets())),
        first_token(all.first_token_.Add({{"model", model}}, WaitBuckets())),
        between_tokens(all.between_tokens_.Add({{"model", model}}, TokenBuckets())),
        reading_steps(all.steps_.Add({{"model", model}, {"phase", "prompt"}}, TokenBuckets())),
        generating_steps(all.steps_.Add({{"model", model}, {"phase", "generate"}}, TokenBuckets())) {
    for (size_t i = 0; i < kOutcomes.size(); ++i) {
      requests[i] = &all.requests_.Add({{"model", model}, {"outcome", kOutcomes[i]}});
    }
  }

  void RemoveFrom(GenerationMetrics& all) {
    all.prompt_tokens_.Remove(&prompt_tokens);
    all.cached_tokens_.Remove(&cached_tokens);
    all.generated_tokens_.Remove(&generated_tokens);
    all.queued_.Remove(&queued);
    all.first_token_.Remove(&first_token);
    all.between_tokens_.Remove(&between_tokens);
    all.steps_.Remove(&reading_steps);
    all.steps_.Remove(&generating_steps);
    for (prometheus::Counter* counter : requests) all.requests_.Remove(counter);
  }

  prometheus::Counter& prompt_tokens;
  prometheus::Counter& cached_tokens;
  prometheus::Counter& generated_tokens;
  prometheus::Histogram& queued;
  prometheus::Histogram& first_token;
  prometheus::Histogram& between_tokens;
  prometheus::Histogram& reading_steps;
  prometheus::Histogram& generating_steps;
  std::array<prometheus::Counter*, kOutcomes.size()> requests;  // by Outcome
  int users = 0;
};

GenerationMetrics::GenerationMetrics()
    : requests_(BuildCounter()
                    .Name("hearth_requests_total")
                    .Help("Requests to generate or embed that have ended, by how they did")
                    .Register(*registry_)),
      prompt_tokens_(BuildCounter()
                         .Name("hearth_prompt_tokens_total")
                         .Help("Tokens of the prompts of requests that got a slot")
                         .Register(*registry_)),
      cached_tokens_(
          BuildCounter()
              .Name("hearth_cached_tokens_total")
              .Help("Tokens of prompts that were not computed again, since another request began alike")
              .Register(*registry_)),
      generated_tokens_(
          BuildCounter().Name("hearth_generated_tokens_total").Help("Tokens generated").Register(*registry_)),
      queued_(BuildHistogram()
                  .Name("hearth_queue_seconds")
                  .Help("From a request's arrival to its slot")
                  .Register(*registry_)),
      first_token_(BuildHistogram()
                       .Name("hearth_first_token_seconds")
                       .Help("From a request's arrival to its first token")
                       .Register(*registry_)),
      between_tokens_(BuildHistogram()
                          .Name("hearth_between_tokens_seconds")
                          .Help("From one token of a request to the next")
                          .Register(*registry_)),
      steps_(BuildHistogram()
                 .Name("hearth_step_seconds")
                 .Help("What a step takes that reads prompts (and generates for others), or generates alone")
                 .Register(*registry_)) {}

GenerationMetrics::~GenerationMetrics() = default;

GenerationMetrics::Series& GenerationMetrics::Take(const std::string& model) {
  MutexLock lock(&mutex_);
  std::unique_ptr<Series>& series = series_[model];
  if (series == nullptr) series = std::make_unique<Series>(*this, model);
  ++series->users;
  return *series;
}

void GenerationMetrics::GiveBack(const std::string& model) {
  MutexLock lock(&mutex_);
  const auto found = series_.find(model);
  if (--found->second->users > 0) return;
  found->second->RemoveFrom(*this);
  series_.erase(found);
}

GenerationMetrics::OfModel::OfModel(GenerationMetrics& all, const std::string& model)
    : all_(all), model_(model), series_(all.Take(model)) {}

GenerationMetrics::OfModel::~OfModel() { all_.GiveBack(model_); }

void GenerationMetrics::OfModel::Refused() { series_.requests[kRefused]->Increment(); }

void GenerationMetrics::OfModel::Started(uint32_t prompt_tokens, uint32_t cached_tokens,
                                         absl::Duration queued) {
  series_.prompt_tokens.Increment(prompt_tokens);
  series_.cached_tokens.Increment(cached_tokens);
  series_.queued.Observe(absl::ToDoubleSeconds(queued));
}

void GenerationMetrics::OfModel::FirstToken(absl::Duration since_arrival) {
  series_.generated_tokens.Increment();
  series_.first_token.Observe(absl::ToDoubleSeconds(since_arrival));
}

void GenerationMetrics::OfModel::NextToken(absl::Duration since_the_last) {
  series_.generated_tokens.Increment();
  series_.between_tokens.Observe(absl::ToDoubleSeconds(since_the_last));
}

void GenerationMetrics::OfModel::Finished(EndReason reason) {
  series_.requests[OutcomeOf(reason)]->Increment();
}

void GenerationMetrics::OfModel::Failed(const absl::Status& status) {
  series_.requests[OutcomeOf(status)]->Increment();
}

void GenerationMetrics::OfModel::Step(bool reads, absl::Duration took) {
  (reads ? series_.reading_steps : series_.generating_steps).Observe(absl::ToDoubleSeconds(took));
}

uint64_t GenerationMetrics::OfModel::generated_tokens() const {
  return static_cast<uint64_t>(series_.generated_tokens.Value());
}

}  // namespace hearth
