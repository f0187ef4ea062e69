#include "daemon/serving/generation_metrics.h"

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

const char* OutcomeName(EndReason reason) {
  switch (reason) {
    case EndReason::kStopToken:
    case EndReason::kStopString:
      return "stop";
    case EndReason::kLength:
      return "length";
    case EndReason::kCancelled:
      return "cancelled";
    case EndReason::kDeadline:
      return "deadline";
    case EndReason::kSlowReader:
      return "slow_reader";
  }
  return "failed";
}

const char* OutcomeName(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kCancelled:
      return OutcomeName(EndReason::kCancelled);
    case absl::StatusCode::kDeadlineExceeded:
      return OutcomeName(EndReason::kDeadline);
    case absl::StatusCode::kResourceExhausted:
      return OutcomeName(EndReason::kSlowReader);
    default:
      return "failed";
  }
}

}  // namespace

GenerationMetrics::GenerationMetrics()
    : requests_(BuildCounter()
                    .Name("hearth_requests_total")
                    .Help("Requests to generate that have ended, by how they did")
                    .Register(*registry_)),
      prompt_tokens_(BuildCounter()
                         .Name("hearth_prompt_tokens_total")
                         .Help("Tokens of the prompts of requests that got a slot")
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
                          .Register(*registry_)) {}

GenerationMetrics::OfModel::OfModel(GenerationMetrics& all, const std::string& model)
    : all_(all),
      model_(model),
      prompt_tokens_(all.prompt_tokens_.Add({{"model", model}})),
      generated_tokens_(all.generated_tokens_.Add({{"model", model}})),
      queued_(all.queued_.Add({{"model", model}}, WaitBuckets())),
      first_token_(all.first_token_.Add({{"model", model}}, WaitBuckets())),
      between_tokens_(all.between_tokens_.Add({{"model", model}}, TokenBuckets())) {}

void GenerationMetrics::OfModel::Started(uint32_t prompt_tokens, absl::Duration queued) {
  prompt_tokens_.Increment(prompt_tokens);
  queued_.Observe(absl::ToDoubleSeconds(queued));
}

void GenerationMetrics::OfModel::FirstToken(absl::Duration since_arrival) {
  generated_tokens_.Increment();
  first_token_.Observe(absl::ToDoubleSeconds(since_arrival));
}

void GenerationMetrics::OfModel::NextToken(absl::Duration since_the_last) {
  generated_tokens_.Increment();
  between_tokens_.Observe(absl::ToDoubleSeconds(since_the_last));
}

void GenerationMetrics::OfModel::Finished(EndReason reason) { Count(OutcomeName(reason)); }

void GenerationMetrics::OfModel::Failed(const absl::Status& status) { Count(OutcomeName(status)); }

void GenerationMetrics::OfModel::Count(const char* outcome) {
  all_.requests_.Add({{"model", model_}, {"outcome", outcome}}).Increment();
}

}  // namespace hearth
