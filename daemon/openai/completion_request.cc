#include "daemon/openai/completion_request.h"

#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr int64_t kMaxCount = std::numeric_limits<uint32_t>::max();
constexpr int64_t kMaxInt = std::numeric_limits<int32_t>::max();
constexpr size_t kMaxPromptBytes = size_t{16} << 20;  // of all choices together
constexpr uint32_t kDefaultMaxTokens = 16;            // as OpenAI has it

absl::Status SetPrompt(const json& prompt, v1::GenerateRequest& request) {
  if (prompt.is_string()) {
    request.set_text(prompt.get<std::string>());
    return absl::OkStatus();
  }
  if (!prompt.is_array()) {
    return ParamError("prompt", absl::StrCat("must hold texts or lists of token ids, not ", KindOf(prompt)));
  }
  HEARTH_ASSIGN_OR_RETURN(*request.mutable_tokens(), ReadTokenIds("prompt", prompt));
  return absl::OkStatus();
}

// A text, a list of texts, a list of token ids, or a list of such lists.
absl::StatusOr<std::vector<v1::GenerateRequest>> ReadPrompts(const JsonFields& fields) {
  const json* prompt = fields.Find("prompt");
  if (prompt == nullptr) return ParamError("prompt", "is missing; give a text or token ids");
  if (prompt->is_array() && prompt->empty()) return ParamError("prompt", "is an empty list");
  const bool many = prompt->is_array() && !prompt->front().is_number();
  const size_t count = many ? prompt->size() : 1;
  if (count > static_cast<size_t>(kMaxChoices)) {
    return ParamError(
        "prompt", absl::StrCat("holds ", count, " prompts; at most ", kMaxChoices, " are answered at once"));
  }
  std::vector<v1::GenerateRequest> requests(count);
  for (size_t i = 0; i < count; ++i) {
    HEARTH_RETURN_IF_ERROR(SetPrompt(many ? (*prompt)[i] : *prompt, requests[i]));
  }
  return requests;
}

absl::Status ReadLogitBias(const JsonFields& fields, v1::Sampling& sampling) {
  HEARTH_ASSIGN_OR_RETURN(const json* bias, fields.Object("logit_bias"));
  if (bias == nullptr) return absl::OkStatus();
  const JsonFields entries(*bias);
  for (const auto& [key, value] : bias->items()) {
    int32_t token = 0;
    if (!absl::SimpleAtoi(key, &token)) {
      return ParamError("logit_bias", absl::StrCat("has the key \"", Printable(key, kMaxNameBytes),
                                                   "\", which is no token id"));
    }
    const auto number = entries.Number(key.c_str());
    if (!number.ok() || !*number) {
      return ParamError("logit_bias", absl::StrCat("must have numbers as values, not ", KindOf(value)));
    }
    v1::LogitBias* entry = sampling.add_logit_bias();
    entry->set_token(token);
    entry->set_bias(**number);
  }
  return absl::OkStatus();
}

absl::Status ReadSampling(const JsonFields& fields, v1::Sampling& sampling) {
  HEARTH_ASSIGN_OR_RETURN(const auto temperature, fields.Number("temperature"));
  if (temperature) sampling.set_temperature(*temperature);
  HEARTH_ASSIGN_OR_RETURN(const auto top_p, fields.Number("top_p"));
  if (top_p) sampling.set_top_p(*top_p);
  HEARTH_ASSIGN_OR_RETURN(const auto min_p, fields.Number("min_p"));
  if (min_p) sampling.set_min_p(*min_p);
  HEARTH_ASSIGN_OR_RETURN(const auto top_k, fields.Whole("top_k", 0, kMaxCount));
  if (top_k) sampling.set_top_k(static_cast<uint32_t>(*top_k));
  HEARTH_ASSIGN_OR_RETURN(const auto repetition, fields.Number("repetition_penalty"));
  if (repetition) sampling.set_repetition_penalty(*repetition);
  HEARTH_ASSIGN_OR_RETURN(const auto frequency, fields.Number("frequency_penalty"));
  if (frequency) sampling.set_frequency_penalty(*frequency);
  HEARTH_ASSIGN_OR_RETURN(const auto presence, fields.Number("presence_penalty"));
  if (presence) sampling.set_presence_penalty(*presence);
  constexpr auto kLimits = std::numeric_limits<int64_t>();
  HEARTH_ASSIGN_OR_RETURN(const auto seed, fields.Whole("seed", kLimits.min(), kLimits.max()));
  if (seed) sampling.set_seed(static_cast<uint64_t>(*seed));
  return ReadLogitBias(fields, sampling);
}

template <class Request>
absl::Status ReadStops(const JsonFields& fields, Request& request) {
  const json* stop = fields.Find("stop");
  if (stop == nullptr) return absl::OkStatus();
  const json list = stop->is_array() ? *stop : json::array({*stop});
  for (const json& text : list) {
    if (!text.is_string()) {
      return ParamError("stop", absl::StrCat("must be a text or a list of texts, not ", KindOf(text)));
    }
    request.add_stop(text.get<std::string>());
  }
  return absl::OkStatus();
}

// What would change the answer and is not there yet, unless it asks for what is done anyway.
absl::Status RefuseWhatIsMissing(const JsonFields& fields) {
  const json* best_of = fields.Find("best_of");
  if (best_of != nullptr && *best_of != 1) {
    return ParamError("best_of", "is not supported; ask for n answers and choose among them");
  }
  const json* suffix = fields.Find("suffix");
  if (suffix != nullptr && *suffix != "") {
    return ParamError("suffix", "is not supported: text is only continued at its end");
  }
  return absl::OkStatus();
}

absl::StatusOr<bool> ReadEcho(const JsonFields& fields, const std::vector<v1::GenerateRequest>& prompts) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<bool> echo, fields.Bool("echo"));
  if (!echo.value_or(false)) return false;
  if (!prompts.front().has_text()) {
    return ParamError("echo", "needs a prompt in text; one of token ids is not written out");
  }
  if (fields.Find("logprobs") != nullptr) {
    return ParamError("echo", "cannot be had with logprobs: those of the prompt are not computed");
  }
  return true;
}

}  // namespace

absl::StatusOr<AnswerOptions> ReadAnswerOptions(const JsonFields& fields) {
  AnswerOptions options;
  HEARTH_ASSIGN_OR_RETURN(const auto stream, fields.Bool("stream"));
  options.stream = stream.value_or(false);
  HEARTH_ASSIGN_OR_RETURN(const json* stream_options, fields.Object("stream_options"));
  if (stream_options == nullptr) return options;
  if (!options.stream) return ParamError("stream_options", "is for streams; set stream to true");
  HEARTH_ASSIGN_OR_RETURN(const auto include_usage, JsonFields(*stream_options).Bool("include_usage"));
  options.include_usage = include_usage.value_or(false);
  return options;
}

template <class Request>
absl::Status ReadGenerationFields(const JsonFields& fields, Request& request) {
  HEARTH_ASSIGN_OR_RETURN(const auto model, fields.Text("model"));
  if (model) request.set_model(*model);
  HEARTH_ASSIGN_OR_RETURN(const auto ignore_eos, fields.Bool("ignore_eos"));
  request.set_ignore_eos(ignore_eos.value_or(false));
  HEARTH_RETURN_IF_ERROR(ReadStops(fields, request));
  return ReadSampling(fields, *request.mutable_sampling());
}

template absl::Status ReadGenerationFields(const JsonFields& fields, v1::GenerateRequest& request);
template absl::Status ReadGenerationFields(const JsonFields& fields, v1::ChatRequest& request);

absl::StatusOr<v1::TokenIds> ReadTokenIds(absl::string_view param, const json& ids) {
  v1::TokenIds tokens;
  for (const json& id : ids) {
    if (!id.is_number_integer() || id < 0 || id > kMaxInt) {
      return ParamError(param, absl::StrCat("must hold token ids only, not ", KindOf(id)));
    }
    tokens.add_ids(id.get<int32_t>());
  }
  return tokens;
}

absl::StatusOr<size_t> ReadChoiceCount(const JsonFields& fields, size_t prompts, size_t bytes) {
  HEARTH_ASSIGN_OR_RETURN(const auto given, fields.Whole("n", 1, kMaxChoices));
  const auto n = static_cast<size_t>(given.value_or(1));
  if (prompts * n > static_cast<size_t>(kMaxChoices)) {
    return ParamError("n", absl::StrCat("times the prompts is ", prompts * n, "; at most ", kMaxChoices,
                                        " answers are given at once"));
  }
  if (bytes * n > kMaxPromptBytes) {
    return ParamError("n", absl::StrCat("times the prompts' size is ", bytes * n, " bytes; at most ",
                                        kMaxPromptBytes, " are taken at once"));
  }
  return n;
}

absl::StatusOr<CompletionRequest> ReadCompletionRequest(const json& body) {
  const JsonFields fields(body);
  CompletionRequest request;
  HEARTH_RETURN_IF_ERROR(RefuseWhatIsMissing(fields));
  HEARTH_ASSIGN_OR_RETURN(request.answer, ReadAnswerOptions(fields));
  HEARTH_ASSIGN_OR_RETURN(std::vector<v1::GenerateRequest> prompts, ReadPrompts(fields));
  size_t bytes = 0;
  for (const v1::GenerateRequest& prompt : prompts) bytes += prompt.ByteSizeLong();
  HEARTH_ASSIGN_OR_RETURN(request.n, ReadChoiceCount(fields, prompts.size(), bytes));
  HEARTH_ASSIGN_OR_RETURN(const auto max_tokens, fields.Whole("max_tokens", 0, kMaxCount));
  HEARTH_ASSIGN_OR_RETURN(const auto logprobs, fields.Whole("logprobs", 0, kMaxCount));
  HEARTH_ASSIGN_OR_RETURN(const bool echo, ReadEcho(fields, prompts));
  for (v1::GenerateRequest& prompt : prompts) {
    HEARTH_RETURN_IF_ERROR(ReadGenerationFields(fields, prompt));
    prompt.set_max_tokens(max_tokens ? static_cast<uint32_t>(*max_tokens) : kDefaultMaxTokens);
    if (logprobs) prompt.set_logprobs(static_cast<uint32_t>(*logprobs));
    AddChoices(prompt, request.n, request.choices);
  }
  request.echo.resize(request.choices.size());
  for (size_t i = 0; echo && i < request.echo.size(); ++i) request.echo[i] = request.choices[i].text();
  return request;
}

}  // namespace hearth
