#include "daemon/openai/response_request.h"

#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/http/json_input.h"
#include "daemon/openai/chat_completion_request.h"
#include "daemon/openai/completion_request.h"
#include "daemon/openai/response_items.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// What would change the answer, or what a later request hopes to find, and is not there.
absl::Status RefuseUnsupportedResponseFields(const JsonFields& fields) {
  for (const char* name : {"previous_response_id", "conversation"}) {
    if (fields.Find(name) == nullptr) continue;
    return ParamError(name, "is not supported: answers are not stored; send the whole conversation as input");
  }
  HEARTH_ASSIGN_OR_RETURN(const auto store, fields.Bool("store"));
  if (store.value_or(false)) {
    return ParamError("store", "must be false or left out: answers are not stored");
  }
  HEARTH_ASSIGN_OR_RETURN(const auto background, fields.Bool("background"));
  if (background.value_or(false)) return ParamError("background", "is not supported; use a stream");
  if (fields.Find("prompt") != nullptr) {
    return ParamError("prompt", "is not supported: prompts are not stored; send instructions and input");
  }
  HEARTH_ASSIGN_OR_RETURN(const auto truncation, fields.Text("truncation"));
  if (truncation.value_or("disabled") != "disabled") {
    return ParamError("truncation", "must be disabled: what does not fit the context is refused, never cut");
  }
  HEARTH_ASSIGN_OR_RETURN(const auto top_logprobs, fields.Whole("top_logprobs", 0, 20));
  if (top_logprobs.value_or(0) > 0) {
    return ParamError("top_logprobs", "is not supported here; chat completions have them");
  }
  const json* include = fields.Find("include");
  for (const json& what : include == nullptr ? json::array() : *include) {
    if (what == "reasoning.encrypted_content") continue;  // reasoning is not encrypted, and always there
    return ParamError("include", absl::StrCat("asks for ", Printable(what.dump(), kMaxNameBytes),
                                              ", which is not supported"));
  }
  return absl::OkStatus();
}

absl::Status ReadToolChoice(const JsonFields& fields, v1::ChatRequest& chat) {
  const json* choice = fields.Find("tool_choice");
  if (choice == nullptr || *choice == "auto" || *choice == "none") return absl::OkStatus();
  if (*choice == "required") {
    chat.set_required_tool("*");
    return absl::OkStatus();
  }
  const json name = choice->is_object() && choice->value("type", json()) == "function"
                        ? choice->value("name", json())
                        : json();
  if (!name.is_string() || name == "" || name == "*") {
    return ParamError("tool_choice",
                      "must be auto, none, required or {\"type\": \"function\", \"name\": ...}");
  }
  chat.set_required_tool(name.get<std::string>());
  return absl::OkStatus();
}

// Functions stand flat here; templates know them as chat completions have them.
absl::StatusOr<ordered_json> ToChatTool(const ordered_json& tool) {
  if (!tool.is_object()) return ParamError("tools", absl::StrCat("must hold objects, not ", KindOf(tool)));
  const ordered_json type = tool.value("type", ordered_json());
  if (type != "function") {
    return ParamError("tools", absl::StrCat("has one of type ", Printable(type.dump(), kMaxNameBytes),
                                            "; only those of type \"function\" are supported"));
  }
  ordered_json function = tool;
  function.erase("type");
  return ordered_json{{"type", "function"}, {"function", std::move(function)}};
}

absl::Status ReadFlatTools(const JsonFields& fields, const ordered_json& in_order, v1::ChatRequest& chat) {
  HEARTH_RETURN_IF_ERROR(ReadToolChoice(fields, chat));
  const json* tools = fields.Find("tools");
  const json* choice = fields.Find("tool_choice");
  if (tools == nullptr || (choice != nullptr && *choice == "none")) return absl::OkStatus();
  if (!tools->is_array()) return ParamError("tools", absl::StrCat("must be a list, not ", KindOf(*tools)));
  ordered_json converted = ordered_json::array();
  for (const ordered_json& tool : in_order.is_null() ? ordered_json(*tools) : in_order) {
    HEARTH_ASSIGN_OR_RETURN(ordered_json chat_tool, ToChatTool(tool));
    converted.push_back(std::move(chat_tool));
  }
  if (!converted.empty()) chat.set_tools(converted.dump());
  return absl::OkStatus();
}

absl::Status ReadText(const ordered_json& text, v1::ChatRequest& chat) {
  if (text.is_null()) return absl::OkStatus();
  if (!text.is_object()) return ParamError("text", absl::StrCat("must be an object, not ", KindOf(text)));
  return ReadTextFormat("text.format", text.value("format", ordered_json()), "", chat);
}

absl::Status ReadInstructions(const JsonFields& fields, v1::ChatRequest& chat) {
  HEARTH_ASSIGN_OR_RETURN(std::optional<std::string> instructions, fields.Text("instructions"));
  if (!instructions) return absl::OkStatus();
  v1::ChatMessage& message = *chat.add_messages();
  message.set_role("system");
  message.set_content(*std::move(instructions));
  return absl::OkStatus();
}

// As OpenAI repeats them: all of them, with their defaults.
ordered_json Settings(const JsonFields& fields, const ordered_json& text, const ordered_json& tools) {
  const auto given = [&](const char* name, ordered_json otherwise) {
    const json* value = fields.Find(name);
    return value == nullptr ? std::move(otherwise) : ordered_json(*value);
  };
  ordered_json format = {{"format", {{"type", "text"}}}};
  return {{"instructions", given("instructions", nullptr)},
          {"max_output_tokens", given("max_output_tokens", nullptr)},
          {"metadata", given("metadata", ordered_json::object())},
          {"parallel_tool_calls", given("parallel_tool_calls", true)},
          {"previous_response_id", nullptr},
          {"reasoning", given("reasoning", {{"effort", nullptr}, {"summary", nullptr}})},
          {"store", false},
          {"temperature", given("temperature", nullptr)},
          {"text", text.is_null() ? std::move(format) : text},
          {"tool_choice", given("tool_choice", "auto")},
          {"tools", tools.is_null() ? given("tools", ordered_json::array()) : tools},
          {"top_p", given("top_p", nullptr)},
          {"truncation", "disabled"},
          {"user", given("user", nullptr)}};
}

}  // namespace

absl::StatusOr<ResponseRequest> ReadResponseRequest(const json& body, const ordered_json& text,
                                                    const ordered_json& tools) {
  const JsonFields fields(body);
  ResponseRequest request;
  v1::ChatRequest& chat = request.chat;
  chat.set_parsed(true);
  HEARTH_RETURN_IF_ERROR(RefuseUnsupportedResponseFields(fields));
  HEARTH_ASSIGN_OR_RETURN(const auto stream, fields.Bool("stream"));
  request.stream = stream.value_or(false);
  HEARTH_RETURN_IF_ERROR(ReadInstructions(fields, chat));
  const json* input = fields.Find("input");
  if (input == nullptr) return ParamError("input", "is missing; give a text or a list of items");
  HEARTH_RETURN_IF_ERROR(ReadResponseInput(*input, chat));
  HEARTH_RETURN_IF_ERROR(ReadFlatTools(fields, tools, chat));
  HEARTH_RETURN_IF_ERROR(ReadText(text, chat));
  HEARTH_ASSIGN_OR_RETURN(const json* reasoning, fields.Object("reasoning"));
  std::optional<std::string> effort;
  if (reasoning != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(effort, JsonFields(*reasoning).Text("effort"));
  }
  HEARTH_RETURN_IF_ERROR(ReadVariables(fields, effort, chat));
  HEARTH_ASSIGN_OR_RETURN(const auto max_tokens,
                          fields.Whole("max_output_tokens", 1, std::numeric_limits<uint32_t>::max()));
  if (max_tokens) chat.set_max_tokens(static_cast<uint32_t>(*max_tokens));
  HEARTH_RETURN_IF_ERROR(ReadGenerationFields(fields, chat));
  request.settings = Settings(fields, text, tools);
  return request;
}

}  // namespace hearth
