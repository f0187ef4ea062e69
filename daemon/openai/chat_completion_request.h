#ifndef HEARTH_DAEMON_OPENAI_CHAT_COMPLETION_REQUEST_H_
#define HEARTH_DAEMON_OPENAI_CHAT_COMPLETION_REQUEST_H_

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "daemon/openai/completion_request.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// The field chat_template_kwargs and how hard the model is to think, which templates know as variables.
absl::Status ReadVariables(const JsonFields& fields, const std::optional<std::string>& effort,
                           v1::ChatRequest& request);

// What the text is to be: anything, JSON ("json_object", what older programs ask for), or JSON that fits the
// schema ("json_schema") in the field `holder` of the format, or in the format itself where that is empty.
// `param` names it in errors.
absl::Status ReadTextFormat(absl::string_view param, const nlohmann::ordered_json& format,
                            const std::string& holder, v1::ChatRequest& request);

// POST /v1/chat/completions. response_format makes the text JSON, or JSON that fits a schema. Absent fields
// have the defaults of generation.proto. Tools go to the model's own template.
struct ChatCompletionRequest {
  AnswerOptions answer;
  std::vector<v1::ChatRequest> choices;  // n times the conversation
};
// INVALID_ARGUMENT names the parameter that is wrong or that Hearth does not have. `response_format` and
// `tools` are the fields of these names with their keys in their order, which is that of the answer's; null:
// none, or (tools) any order.
absl::StatusOr<ChatCompletionRequest> ReadChatCompletionRequest(
    const nlohmann::json& body, const nlohmann::ordered_json& response_format = nullptr,
    const nlohmann::ordered_json& tools = nullptr);

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_CHAT_COMPLETION_REQUEST_H_
