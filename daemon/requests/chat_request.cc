#include "daemon/requests/chat_request.h"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/chat/chat_tokens.h"
#include "engine/chat/json_text.h"
#include "engine/chat/tool_calls.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

absl::Status Invalid(const std::string& field, std::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(field, " ", AbslView(problem)));
}

absl::StatusOr<Json> ToolCallJson(const v1::ToolCall& call, const std::string& field) {
  if (call.name().empty()) return Invalid(field + ".name", "is empty; it names the function that was called");
  Json arguments = Json::object();
  if (!call.arguments().empty()) {
    HEARTH_ASSIGN_OR_RETURN(arguments, ParseJson(field + ".arguments", call.arguments()));
    if (!arguments.is_object()) return Invalid(field + ".arguments", "is no JSON object");
  }
  Json json = Json::object();
  if (!call.id().empty()) json["id"] = call.id();
  json["type"] = "function";
  json["function"] = {{"name", call.name()}, {"arguments", std::move(arguments)}};
  return json;
}

Json PartsJson(const v1::ChatMessage& message) {
  Json parts = Json::array();
  for (const v1::ContentPart& part : message.parts())
    parts.push_back({{"type", "text"}, {"text", part.text()}});
  return parts;
}

absl::StatusOr<Json> MessageJson(const v1::ChatMessage& message, const std::string& field) {
  if (message.role().empty()) return Invalid(field + ".role", "is empty; it is for example \"user\"");
  if (message.has_content() && message.parts_size() > 0) {
    return Invalid(field, "has both `content` and `parts`; set one of them");
  }
  if (!message.has_content() && message.parts_size() == 0 && message.tool_calls_size() == 0) {
    return Invalid(field, "has no `content`");
  }
  Json json = {{"role", message.role()}, {"content", nullptr}};
  if (message.has_content()) json["content"] = message.content();
  if (message.parts_size() > 0) json["content"] = PartsJson(message);
  if (!message.reasoning().empty()) json["reasoning_content"] = message.reasoning();
  if (!message.name().empty()) json["name"] = message.name();
  if (!message.tool_call_id().empty()) json["tool_call_id"] = message.tool_call_id();
  for (int i = 0; i < message.tool_calls_size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(Json call,
                            ToolCallJson(message.tool_calls(i), absl::StrCat(field, ".tool_calls[", i, "]")));
    json["tool_calls"].push_back(std::move(call));
  }
  return json;
}

absl::StatusOr<Json> Variables(const std::string& text) {
  if (text.empty()) return Json::object();
  HEARTH_ASSIGN_OR_RETURN(Json variables, ParseJson("variables", text));
  if (!variables.is_object()) return Invalid("variables", "is no JSON object");
  for (const char* name : {"messages", "tools", "add_generation_prompt", "bos_token", "eos_token"}) {
    if (variables.contains(name)) return Invalid("variables", absl::StrCat("must not set '", name, "'"));
  }
  return variables;
}

absl::StatusOr<Json> Tools(const std::string& text) {
  if (text.empty()) return Json();
  HEARTH_ASSIGN_OR_RETURN(Json tools, ParseJson("tools", text));
  if (!tools.is_array()) return Invalid("tools", "is no JSON array");
  for (const Json& tool : tools) {
    if (!tool.is_object()) return Invalid("tools", "must hold objects");
  }
  return tools.empty() ? Json() : tools;
}

// For templates that know texts only: parts one after the other.
void JoinParts(Json& messages) {
  for (Json& message : messages) {
    if (!message["content"].is_array()) continue;
    std::string text;
    for (const Json& part : message["content"]) text += part["text"].get_ref<const std::string&>();
    message["content"] = std::move(text);
  }
}

// The answer is a call of the tool, and nothing else.
absl::Status RequireTool(const std::string& name, const Json& tools, v1::GenerateRequest& generate) {
  if (name.empty()) return absl::OkStatus();
  if (generate.constraint_case() != v1::GenerateRequest::CONSTRAINT_NOT_SET) {
    return Invalid("required_tool", "cannot stand beside a grammar or a schema; leave one of them out");
  }
  HEARTH_ASSIGN_OR_RETURN(const Json schema, ToolCallSchema(tools, name));
  generate.set_json_schema(schema.dump());
  return absl::OkStatus();
}

AnswerSyntax SyntaxOf(const v1::ChatRequest& request, const Json& tools, std::string_view prompt,
                      const Tokenizer& tokenizer) {
  constexpr std::string_view kOpened = "<think>";
  const size_t end = prompt.find_last_not_of(" \t\r\n") + 1;
  AnswerSyntax syntax{ToolNames(tools),
                      prompt.substr(0, end).ends_with(kOpened) && request.required_tool().empty()};
  syntax.frames.emplace();
  for (const std::string_view mark : AnswerParser::Markers(/*tools=*/false)) {
    const auto tokens = tokenizer.Encode(mark, {.add_special = false, .parse_special = true});
    if (tokens.size() == 1) syntax.frames->emplace_back(mark);
  }
  return syntax;
}

// Whether the answer is kept to a grammar of the client's own: it is given as it comes.
bool IsConstrained(const v1::ChatRequest& request) {
  return request.has_grammar() || request.has_json_schema();
}

}  // namespace

absl::StatusOr<Conversation> ToConversation(const v1::ChatRequest& request) {
  if (request.messages().empty()) return Invalid("messages", "is empty; it needs at least one message");
  Conversation conversation;
  conversation.messages = Json::array();
  for (int i = 0; i < request.messages_size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(Json message,
                            MessageJson(request.messages(i), absl::StrCat("messages[", i, "]")));
    conversation.messages.push_back(std::move(message));
  }
  HEARTH_ASSIGN_OR_RETURN(conversation.tools, Tools(request.tools()));
  HEARTH_ASSIGN_OR_RETURN(conversation.variables, Variables(request.variables()));
  conversation.template_name = request.template_name();
  if (request.has_add_generation_prompt())
    conversation.add_generation_prompt = request.add_generation_prompt();
  return conversation;
}

absl::StatusOr<ChatPrompt> ToChatPrompt(const v1::ChatRequest& request, const ChatTemplates& chat,
                                        const Tokenizer& tokenizer, absl::Time now) {
  HEARTH_ASSIGN_OR_RETURN(Conversation conversation, ToConversation(request));
  if (!chat.TakesParts(conversation)) JoinParts(conversation.messages);
  HEARTH_ASSIGN_OR_RETURN(const jinja::Rendered rendered,
                          chat.Render(conversation, now, absl::LocalTimeZone()));
  const std::vector<TokenId> tokens = ChatTokens(tokenizer, rendered);
  ChatPrompt prompt;
  v1::GenerateRequest& generate = prompt.request;
  generate.set_model(request.model());
  generate.mutable_tokens()->mutable_ids()->Assign(tokens.begin(), tokens.end());
  *generate.mutable_stop() = request.stop();
  if (request.has_max_tokens()) generate.set_max_tokens(request.max_tokens());
  if (request.has_sampling()) *generate.mutable_sampling() = request.sampling();
  generate.set_ignore_eos(request.ignore_eos());
  if (request.has_logprobs()) generate.set_logprobs(request.logprobs());
  if (request.has_grammar()) generate.set_grammar(request.grammar());
  if (request.has_json_schema()) generate.set_json_schema(request.json_schema());
  HEARTH_RETURN_IF_ERROR(RequireTool(request.required_tool(), conversation.tools, generate));
  if (request.parsed() && !IsConstrained(request)) {
    prompt.syntax = SyntaxOf(request, conversation.tools, rendered.text, tokenizer);
  }
  return prompt;
}

}  // namespace hearth
