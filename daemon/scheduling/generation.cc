#include "daemon/scheduling/generation.h"

#include <utility>

#include "engine/base/status_macros.h"

namespace hearth {

Generation::Generation(GenerationRequest request, Sampler sampler, const Tokenizer& tokenizer,
                       GenerationMetrics::OfModel& metrics, std::shared_ptr<GenerationSink> sink)
    : request_(std::move(request)),
      sampler_(std::move(sampler)),
      tokenizer_(tokenizer),
      metrics_(metrics),
      text_(tokenizer, request_.stops, request_.shown),
      sink_(std::move(sink)) {
  for (TokenId token : request_.prompt) sampler_.Accept(token);
  if (request_.masks != nullptr) constraint_.emplace(request_.masks);
}

void Generation::Start(uint32_t cached_tokens, absl::Time now) {
  started_ = now;
  cached_tokens_ = cached_tokens;
  metrics_.Started(static_cast<uint32_t>(request_.prompt.size()), cached_tokens, now - request_.arrived);
  sink_->Started();
}

absl::StatusOr<TokenId> Generation::ChooseToken(absl::Span<float> logits) {
  if (!constraint_) return sampler_.Sample(logits);
  HEARTH_ASSIGN_OR_RETURN(const grammar::TokenMask* allowed, constraint_->Allowed());
  allowed->ForbidOthers(logits);
  const TokenId token = sampler_.Sample(logits);
  if (!allowed->Contains(token)) {
    return absl::FailedPreconditionError(
        "logit_bias forbids every token that fits the grammar here; allow one of them");
  }
  constraint_->Accept(token);
  return token;
}

absl::StatusOr<Generation::Choice> Generation::Advance(absl::Span<float> logits, absl::Time now) {
  std::vector<TokenLogprob> top;
  std::vector<float> distribution;
  // Sample overwrites the logits, but what is reported is the model's own distribution.
  if (request_.logprobs) {
    distribution.assign(logits.begin(), logits.end());
    top = TopLogprobs(distribution, *request_.logprobs);
  }
  HEARTH_ASSIGN_OR_RETURN(const TokenId token, ChooseToken(logits));
  sampler_.Accept(token);
  ++generated_;
  if (first_token_) {
    metrics_.NextToken(now - last_token_);
  } else {
    first_token_ = now;
    metrics_.FirstToken(now - request_.arrived);
  }
  last_token_ = now;

  delta_.tokens.push_back(token);
  if (request_.logprobs) {
    GenerationDelta::Logprobs logprobs{Described({token, LogprobOf(distribution, token)}), {}};
    for (const TokenLogprob& other : top) logprobs.top.push_back(Described(other));
    delta_.logprobs.push_back(std::move(logprobs));
  }
  if (!request_.ignore_eos && tokenizer_.IsEndOfGeneration(token))
    return Choice{token, EndReason::kStopToken};
  delta_.text += text_.Push(token);
  if (text_.matched_stop() != nullptr) return Choice{token, EndReason::kStopString};
  if (constraint_ && constraint_->MustEnd()) return Choice{token, EndReason::kStopToken};
  return Choice{token, std::nullopt};
}

void Generation::Emit() { sink_->Delta(std::exchange(delta_, {})); }

void Generation::End(EndReason reason, absl::Time now) {
  switch (reason) {
    case EndReason::kCancelled:
      return Fail(absl::CancelledError("the request was cancelled"));
    case EndReason::kSlowReader:
      return Fail(
          absl::ResourceExhaustedError("the client has not read its stream for too long and its place was "
                                       "given to others; read faster or ask for "
                                       "fewer tokens"));
    case EndReason::kDeadline:
      if (started_) break;
      return Fail(absl::DeadlineExceededError(
          "the deadline passed while the request waited in the queue; allow more time or try again later"));
    default:
      break;
  }
  delta_.text += text_.Flush();
  // Bytes that were still missing may have completed a stop string.
  if (text_.matched_stop() != nullptr) reason = EndReason::kStopString;
  if (!delta_.tokens.empty() || !delta_.text.empty()) Emit();
  metrics_.Finished(reason);
  sink_->Finished(Summary(reason, now));
}

void Generation::Fail(const absl::Status& status) {
  metrics_.Failed(status);
  sink_->Failed(status);
}

GenerationDelta::Token Generation::Described(const TokenLogprob& logprob) const {
  return {logprob.token, logprob.logprob, tokenizer_.TokenBytes(logprob.token, /*special=*/true)};
}

GenerationSummary Generation::Summary(EndReason reason, absl::Time now) const {
  GenerationSummary summary;
  summary.reason = reason;
  if (const std::string* stop = text_.matched_stop()) summary.stop = *stop;
  summary.prompt_tokens = static_cast<uint32_t>(request_.prompt.size());
  summary.cached_tokens = cached_tokens_;
  summary.generated_tokens = generated_;
  const absl::Time started = started_.value_or(now);
  summary.queued = started - request_.arrived;
  summary.reading_prompt = first_token_.value_or(now) - started;
  summary.generating = now - first_token_.value_or(now);
  return summary;
}

}  // namespace hearth
