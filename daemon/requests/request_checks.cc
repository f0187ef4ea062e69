#include "daemon/requests/request_checks.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr int kMaxStops = 16;
constexpr size_t kMaxStopBytes = 256;
constexpr uint32_t kMaxLogprobs = 20;

absl::StatusOr<std::vector<TokenId>> PromptTokens(const v1::GenerateRequest& request,
                                                  const Tokenizer& tokenizer, int32_t vocab_size) {
  std::vector<TokenId> tokens;
  switch (request.prompt_case()) {
    case v1::GenerateRequest::kText:
      tokens =
          tokenizer.Encode(request.text(), {.add_special = true, .parse_special = request.parse_special()});
      break;
    case v1::GenerateRequest::kTokens:
      tokens.assign(request.tokens().ids().begin(), request.tokens().ids().end());
      HEARTH_RETURN_IF_ERROR(CheckTokens(tokens, vocab_size));
      break;
    case v1::GenerateRequest::PROMPT_NOT_SET:
      return absl::InvalidArgumentError("the request has no prompt; set `text` or `tokens`");
  }
  if (tokens.empty()) return absl::InvalidArgumentError("the prompt is empty; it needs at least one token");
  return tokens;
}

absl::StatusOr<std::vector<std::string>> Stops(const v1::GenerateRequest& request) {
  if (request.stop_size() > kMaxStops) {
    return absl::InvalidArgumentError(absl::StrCat("the request has ", request.stop_size(),
                                                   " stop strings; at most ", kMaxStops, " are allowed"));
  }
  for (const std::string& stop : request.stop()) {
    if (stop.empty() || stop.size() > kMaxStopBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("a stop string has ", stop.size(), " bytes; 1 to ", kMaxStopBytes, " are allowed"));
    }
  }
  return std::vector<std::string>(request.stop().begin(), request.stop().end());
}

absl::StatusOr<uint32_t> MaxTokens(const v1::GenerateRequest& request, size_t prompt_tokens,
                                   uint32_t context_length) {
  if (request.has_max_tokens() && request.max_tokens() == 0) {
    return absl::InvalidArgumentError("max_tokens is 0; it must be at least 1, or be left out");
  }
  const char* const advice =
      "; shorten the prompt, or start the daemon with a larger --context if the model was trained for more";
  if (prompt_tokens >= context_length) {
    return absl::OutOfRangeError(absl::StrCat("the prompt has ", prompt_tokens,
                                              " tokens and leaves no room to generate in the context of ",
                                              context_length, " tokens", advice));
  }
  const auto room = static_cast<uint32_t>(context_length - prompt_tokens);
  if (!request.has_max_tokens()) return room;
  if (request.max_tokens() > room) {
    return absl::OutOfRangeError(absl::StrCat(
        "the prompt's ", prompt_tokens, " tokens leave room for ", room, " more in the context of ",
        context_length, ", but max_tokens is ", request.max_tokens(), "; ask for fewer tokens", advice));
  }
  return request.max_tokens();
}

SamplingOptions ToSamplingOptions(const v1::Sampling& sampling) {
  SamplingOptions options;
  if (sampling.has_temperature()) options.temperature = sampling.temperature();
  if (sampling.has_top_k()) options.top_k = sampling.top_k();
  if (sampling.has_top_p()) options.top_p = sampling.top_p();
  if (sampling.has_min_p()) options.min_p = sampling.min_p();
  if (sampling.has_repetition_penalty()) options.repetition_penalty = sampling.repetition_penalty();
  if (sampling.has_frequency_penalty()) options.frequency_penalty = sampling.frequency_penalty();
  if (sampling.has_presence_penalty()) options.presence_penalty = sampling.presence_penalty();
  if (sampling.has_penalty_window()) options.penalty_window = sampling.penalty_window();
  for (const v1::LogitBias& bias : sampling.logit_bias())
    options.logit_bias.emplace_back(bias.token(), bias.bias());
  options.seed = sampling.has_seed() ? sampling.seed() : RandomSeed();
  return options;
}

absl::StatusOr<std::shared_ptr<const grammar::TokenMasks>> Masks(const v1::GenerateRequest& request,
                                                                 GrammarCache& grammars) {
  switch (request.constraint_case()) {
    case v1::GenerateRequest::kGrammar:
      return grammars.Get(GrammarCache::Kind::kGbnf, request.grammar());
    case v1::GenerateRequest::kJsonSchema:
      return grammars.Get(GrammarCache::Kind::kJsonSchema, request.json_schema());
    case v1::GenerateRequest::CONSTRAINT_NOT_SET:
      break;
  }
  return nullptr;
}

}  // namespace

absl::Status CheckTokens(absl::Span<const TokenId> tokens, int32_t vocab_size) {
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (tokens[i] >= 0 && tokens[i] < vocab_size) continue;
    return absl::InvalidArgumentError(absl::StrCat("token ", tokens[i], " at position ", i,
                                                   " is outside the vocabulary of 0 to ", vocab_size - 1));
  }
  return absl::OkStatus();
}

absl::StatusOr<CheckedRequest> CheckRequest(const v1::GenerateRequest& request, const Tokenizer& tokenizer,
                                            int32_t vocab_size, uint32_t context_length,
                                            GrammarCache& grammars) {
  GenerationRequest checked;
  HEARTH_ASSIGN_OR_RETURN(checked.prompt, PromptTokens(request, tokenizer, vocab_size));
  HEARTH_ASSIGN_OR_RETURN(checked.stops, Stops(request));
  HEARTH_ASSIGN_OR_RETURN(checked.max_tokens, MaxTokens(request, checked.prompt.size(), context_length));
  checked.ignore_eos = request.ignore_eos();
  if (request.has_logprobs()) {
    if (request.logprobs() > kMaxLogprobs) {
      return absl::InvalidArgumentError(
          absl::StrCat("logprobs is ", request.logprobs(), "; at most ", kMaxLogprobs, " are reported"));
    }
    checked.logprobs = request.logprobs();
  }
  HEARTH_ASSIGN_OR_RETURN(Sampler sampler,
                          Sampler::Create(ToSamplingOptions(request.sampling()), vocab_size));
  HEARTH_ASSIGN_OR_RETURN(checked.masks, Masks(request, grammars));
  return CheckedRequest{std::move(checked), std::move(sampler)};
}

}  // namespace hearth
