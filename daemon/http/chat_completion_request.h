#ifndef HEARTH_DAEMON_HTTP_CHAT_COMPLETION_REQUEST_H_
#define HEARTH_DAEMON_HTTP_CHAT_COMPLETION_REQUEST_H_

#include <nlohmann/json.hpp>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/http/completion_request.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// POST /v1/chat/completions. Absent fields have the defaults of generation.proto. Tools go to the model's own
// template; what the model writes to call one is part of its text.
struct ChatCompletionRequest {
  AnswerOptions answer;
  std::vector<v1::ChatRequest> choices;  // n times the conversation
};
// INVALID_ARGUMENT names the parameter that is wrong or that Hearth does not have.
absl::StatusOr<ChatCompletionRequest> ReadChatCompletionRequest(const nlohmann::json& body);

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_CHAT_COMPLETION_REQUEST_H_
