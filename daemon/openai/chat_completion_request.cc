#include "daemon/openai/chat_completion_request.h"

#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr int64_t kMostTopLogprobs = 20;

absl::Status ReadPart(const json& part, v1::ChatMessage& message) {
  if (!part.is_object()) return ParamError("content", absl::StrCat("must hold objects, not ", KindOf(part)));
  const JsonFields fields(part);
  HEARTH_ASSIGN_OR_RETURN(const auto type, fields.Text("type"));
  if (type.value_or("text") != "text") {
    return ParamError("content", "has a part that is no text; images and sound are not supported");
  }
  return SetText(fields, "text", message.add_parts()->mutable_text());
}

absl::Status ReadContent(const JsonFields& fields, v1::ChatMessage& message) {
  const json* content = fields.Find("content");
  if (content == nullptr) return absl::OkStatus();
  if (!content->is_array()) return SetText(fields, "content", message.mutable_content());
  for (const json& part : *content) HEARTH_RETURN_IF_ERROR(ReadPart(part, message));
  return absl::OkStatus();
}

absl::Status ReadToolCall(const json& value, v1::ToolCall& call) {
  if (!value.is_object())
    return ParamError("tool_calls", absl::StrCat("must hold objects, not ", KindOf(value)));
  const JsonFields fields(value);
  HEARTH_RETURN_IF_ERROR(SetText(fields, "id", call.mutable_id()));
  HEARTH_ASSIGN_OR_RETURN(const json* function, fields.Object("function"));
  if (function == nullptr) return ParamError("tool_calls", "must name a function in each call");
  HEARTH_RETURN_IF_ERROR(SetText(JsonFields(*function), "name", call.mutable_name()));
  return SetText(JsonFields(*function), "arguments", call.mutable_arguments());
}

absl::Status ReadMessage(const json& value, v1::ChatMessage& message) {
  if (!value.is_object())
    return absl::InvalidArgumentError(absl::StrCat("it must be an object, not ", KindOf(value)));
  const JsonFields fields(value);
  HEARTH_RETURN_IF_ERROR(SetText(fields, "role", message.mutable_role()));
  if (message.role() == "developer") message.set_role("system");  // templates know the older name
  HEARTH_RETURN_IF_ERROR(ReadContent(fields, message));
  HEARTH_RETURN_IF_ERROR(SetText(fields, "name", message.mutable_name()));
  HEARTH_RETURN_IF_ERROR(SetText(fields, "tool_call_id", message.mutable_tool_call_id()));
  HEARTH_RETURN_IF_ERROR(SetText(fields, "reasoning_content", message.mutable_reasoning()));
  const json* calls = fields.Find("tool_calls");
  if (calls == nullptr) return absl::OkStatus();
  if (!calls->is_array())
    return ParamError("tool_calls", absl::StrCat("must be a list, not ", KindOf(*calls)));
  for (const json& call : *calls) HEARTH_RETURN_IF_ERROR(ReadToolCall(call, *message.add_tool_calls()));
  return absl::OkStatus();
}

absl::Status ReadMessages(const JsonFields& fields, v1::ChatRequest& request) {
  const json* messages = fields.Find("messages");
  if (messages == nullptr || !messages->is_array() || messages->empty()) {
    return ParamError("messages", "must be a list of at least one message");
  }
  for (size_t i = 0; i < messages->size(); ++i) {
    const absl::Status status = ReadMessage((*messages)[i], *request.add_messages());
    if (!status.ok()) return Within(absl::StrCat("messages[", i, "]"), status);
  }
  return absl::OkStatus();
}

absl::Status ReadToolChoice(const json& choice, v1::ChatRequest& request) {
  if (choice == "auto" || choice == "none") return absl::OkStatus();
  if (choice == "required") {
    request.set_required_tool("*");
    return absl::OkStatus();
  }
  const json name = choice.is_object() && choice.contains("function") && choice["function"].is_object()
                        ? choice["function"].value("name", json())
                        : json();
  if (!name.is_string() || name == "" || name == "*") {
    return ParamError(
        "tool_choice",
        "must be auto, none, required or {\"type\": \"function\", \"function\": {\"name\": ...}}");
  }
  request.set_required_tool(name.get<std::string>());
  return absl::OkStatus();
}

absl::Status ReadTools(const JsonFields& fields, const nlohmann::ordered_json& in_order,
                       v1::ChatRequest& request) {
  const json* choice = fields.Find("tool_choice");
  if (choice != nullptr) HEARTH_RETURN_IF_ERROR(ReadToolChoice(*choice, request));
  const json* tools = fields.Find("tools");
  if (tools == nullptr || (choice != nullptr && *choice == "none")) return absl::OkStatus();
  if (!tools->is_array()) return ParamError("tools", absl::StrCat("must be a list, not ", KindOf(*tools)));
  if (!tools->empty()) request.set_tools(in_order.is_null() ? tools->dump() : in_order.dump());
  return absl::OkStatus();
}

absl::Status RefuseUnsupportedChatFields(const JsonFields& fields) {
  for (const char* name : {"functions", "function_call"}) {
    if (fields.Find(name) != nullptr) return ParamError(name, "is not supported; use tools");
  }
  if (fields.Find("audio") != nullptr) return ParamError("audio", "is not supported");
  return absl::OkStatus();
}

absl::Status ReadLogprobs(const JsonFields& fields, v1::ChatRequest& request) {
  HEARTH_ASSIGN_OR_RETURN(const auto logprobs, fields.Bool("logprobs"));
  HEARTH_ASSIGN_OR_RETURN(const auto top, fields.Whole("top_logprobs", 0, kMostTopLogprobs));
  if (top && !logprobs.value_or(false)) return ParamError("top_logprobs", "needs logprobs to be true");
  if (logprobs.value_or(false)) request.set_logprobs(static_cast<uint32_t>(top.value_or(0)));
  return absl::OkStatus();
}

absl::Status ReadMaxTokens(const JsonFields& fields, v1::ChatRequest& request) {
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {  // the newer name wins
    HEARTH_ASSIGN_OR_RETURN(const auto tokens, fields.Whole(name, 0, std::numeric_limits<uint32_t>::max()));
    if (tokens) request.set_max_tokens(static_cast<uint32_t>(*tokens));
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status ReadVariables(const JsonFields& fields, const std::optional<std::string>& effort,
                           v1::ChatRequest& request) {
  HEARTH_ASSIGN_OR_RETURN(const json* given, fields.Object("chat_template_kwargs"));
  json variables = given == nullptr ? json::object() : *given;
  if (effort) variables["reasoning_effort"] = *effort;
  if (!variables.empty()) request.set_variables(variables.dump());
  return absl::OkStatus();
}

absl::Status ReadTextFormat(absl::string_view param, const nlohmann::ordered_json& format,
                            const std::string& holder, v1::ChatRequest& request) {
  if (format.is_null()) return absl::OkStatus();
  const nlohmann::ordered_json type =
      format.is_object() ? format.value("type", nlohmann::ordered_json()) : nlohmann::ordered_json();
  if (type == "text") return absl::OkStatus();
  if (type == "json_object") {
    request.set_json_schema(R"({"type": "object"})");
    return absl::OkStatus();
  }
  if (type != "json_schema") {
    return ParamError(param, "must be an object whose type is text, json_object or json_schema");
  }
  const nlohmann::ordered_json held =
      holder.empty() ? format : format.value(holder, nlohmann::ordered_json());
  if (!held.is_object() || !held.contains("schema")) {
    return ParamError(param,
                      holder.empty() ? "needs a schema" : absl::StrCat("needs a ", holder, " with a schema"));
  }
  request.set_json_schema(held["schema"].dump());
  return absl::OkStatus();
}

absl::StatusOr<ChatCompletionRequest> ReadChatCompletionRequest(const json& body,
                                                                const nlohmann::ordered_json& response_format,
                                                                const nlohmann::ordered_json& tools) {
  const JsonFields fields(body);
  ChatCompletionRequest request;
  v1::ChatRequest chat;
  chat.set_parsed(true);
  HEARTH_RETURN_IF_ERROR(RefuseUnsupportedChatFields(fields));
  HEARTH_ASSIGN_OR_RETURN(request.answer, ReadAnswerOptions(fields));
  HEARTH_RETURN_IF_ERROR(ReadMessages(fields, chat));
  HEARTH_RETURN_IF_ERROR(ReadTools(fields, tools, chat));
  HEARTH_RETURN_IF_ERROR(ReadTextFormat("response_format", response_format, "json_schema", chat));
  HEARTH_ASSIGN_OR_RETURN(const auto effort, fields.Text("reasoning_effort"));
  HEARTH_RETURN_IF_ERROR(ReadVariables(fields, effort, chat));
  HEARTH_RETURN_IF_ERROR(ReadLogprobs(fields, chat));
  HEARTH_RETURN_IF_ERROR(ReadMaxTokens(fields, chat));
  HEARTH_RETURN_IF_ERROR(ReadGenerationFields(fields, chat));
  HEARTH_ASSIGN_OR_RETURN(const size_t n, ReadChoiceCount(fields, 1, chat.ByteSizeLong()));
  AddChoices(chat, n, request.choices);
  return request;
}

}  // namespace hearth
