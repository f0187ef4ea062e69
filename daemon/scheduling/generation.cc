#include "daemon/scheduling/generation.h"

#include <utility>

#include "absl/strings/str_cat.h"
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

absl::StatusOr<std::optional<EndReason>> Generation::Repeat() {
  std::optional<EndReason> end;
  for (TokenId token : request_.generated) {
    if (end) {
      return absl::InvalidArgumentError(absl::StrCat("`generated` has ", request_.generated.size(),
                                                     " tokens, but the request ends after ", generated_,
                                                     "; resume it by the tokens that its own stream gave"));
    }
    HEARTH_RETURN_IF_ERROR(RepeatToken(token));
    if (generated_ == request_.cut && !delta_.empty()) repeated_.push_back(std::exchange(delta_, {}));
    end = Take(token);
    if (!end && generated_ == request_.max_tokens) end = EndReason::kLength;
    if (end) TakeRest();
  }
  return end;
}

absl::Status Generation::RepeatToken(TokenId token) {
  sampler_.Repeat(token);
  if (!constraint_) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(const grammar::TokenMask* allowed, constraint_->Allowed());
  if (!allowed->Contains(token)) {
    return absl::InvalidArgumentError(absl::StrCat("token ", generated_, " of `generated`, ", token,
                                                   ", does not fit the request's grammar"));
  }
  constraint_->Accept(token);
  return absl::OkStatus();
}

void Generation::Start(uint32_t cached_tokens, absl::Time now) {
  started_ = now;
  cached_tokens_ = cached_tokens;
  metrics_.Started(static_cast<uint32_t>(request_.prompt.size()), cached_tokens, now - request_.arrived);
  sink_->Started();
  for (GenerationDelta& delta : repeated_) sink_->Delta(std::move(delta));
  repeated_.clear();
  if (!delta_.empty()) Emit();
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
  if (first_token_) {
    metrics_.NextToken(now - last_token_);
  } else {
    first_token_ = now;
    metrics_.FirstToken(now - request_.arrived);
  }
  last_token_ = now;

  if (request_.logprobs) {
    GenerationDelta::Logprobs logprobs{Described({token, LogprobOf(distribution, token)}), {}};
    for (const TokenLogprob& other : top) logprobs.top.push_back(Described(other));
    delta_.logprobs.push_back(std::move(logprobs));
  }
  return Choice{token, Take(token)};
}

std::optional<EndReason> Generation::Take(TokenId token) {
  if (delta_.empty()) delta_.offset = generated_;
  ++generated_;
  delta_.tokens.push_back(token);
  if (!request_.ignore_eos && tokenizer_.IsEndOfGeneration(token)) return EndReason::kStopToken;
  delta_.text += text_.Push(token);
  if (text_.matched_stop() != nullptr) return EndReason::kStopString;
  if (constraint_ && constraint_->MustEnd()) return EndReason::kStopToken;
  return std::nullopt;
}

void Generation::TakeRest() {
  if (delta_.empty()) delta_.offset = generated_;
  delta_.text += text_.Flush();
  delta_.last = true;
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
  TakeRest();
  // Bytes that were still missing may have completed a stop string.
  if (text_.matched_stop() != nullptr) reason = EndReason::kStopString;
  if (!delta_.empty()) Emit();
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
  summary.drafted_tokens = drafted_tokens_;
  summary.accepted_draft_tokens = accepted_draft_tokens_;
  const absl::Time started = started_.value_or(now);
  summary.queued = started - request_.arrived;
  summary.reading_prompt = first_token_.value_or(now) - started;
  summary.generating = now - first_token_.value_or(now);
  return summary;
}

}  // namespace hearth
