#ifndef HEARTH_DAEMON_OPENAI_COMPLETION_REQUEST_H_
#define HEARTH_DAEMON_OPENAI_COMPLETION_REQUEST_H_

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/http/json_input.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// Most answers of one request: its prompts times n.
inline constexpr int64_t kMaxChoices = 128;

// How an answer is to be sent; the same for completions and chats.
struct AnswerOptions {
  bool stream = false;
  bool include_usage = false;  // of a stream: a last chunk with it
};
absl::StatusOr<AnswerOptions> ReadAnswerOptions(const JsonFields& fields);

// The fields that completions and chats have in common, in the terms of gRPC: model, sampling, stop strings.
// What gRPC checks is left to it. `Request` has them under the same names.
template <class Request>
absl::Status ReadGenerationFields(const JsonFields& fields, Request& request);

// Token ids out of the list that the parameter holds; ParamErrors.
absl::StatusOr<v1::TokenIds> ReadTokenIds(absl::string_view param, const nlohmann::json& ids);

// The field n: how often each of `prompts` prompts, of so many `bytes` together, is answered.
absl::StatusOr<size_t> ReadChoiceCount(const JsonFields& fields, size_t prompts, size_t bytes);

// Adds the request n times; each draws by a seed of its own.
template <class Request>
void AddChoices(const Request& request, size_t n, std::vector<Request>& to) {
  for (size_t i = 0; i < n; ++i) {
    v1::Sampling& sampling = *to.emplace_back(request).mutable_sampling();
    if (sampling.has_seed()) sampling.set_seed(sampling.seed() + i);
  }
}

// POST /v1/completions. Absent fields have the defaults of generation.proto, but max_tokens, which is 16.
struct CompletionRequest {
  AnswerOptions answer;
  std::vector<v1::GenerateRequest> choices;  // n for each prompt, one prompt's after the other's
  size_t n = 1;
  std::vector<std::string> echo;  // of each choice: what its text begins with; empty: nothing
};
// INVALID_ARGUMENT names the parameter that is wrong or that Hearth does not have.
absl::StatusOr<CompletionRequest> ReadCompletionRequest(const nlohmann::json& body);

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_COMPLETION_REQUEST_H_
