#include "engine/chat/tool_calls.h"

#include <algorithm>
#include <array>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/chat/json_text.h"

namespace hearth {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMaxFunctionBytes = 256;
// What may stand before, between and behind calls.
constexpr std::array<std::string_view, 8> kBetween = {"```json",
                                                      "```",
                                                      "[TOOL_CALLS]",
                                                      "<|tool_call|>",
                                                      "<|/tool_call|>",
                                                      "<｜tool▁call▁begin｜>",
                                                      "<｜tool▁call▁end｜>",
                                                      "<|constrain|>json"};
// What may stand between a name and its arguments.
constexpr std::string_view kArguments = "[ARGS]";
constexpr std::string_view kCallId = "[CALL_ID]";
constexpr std::string_view kDeepSeek = "<｜tool▁sep｜>";

void SkipBetween(std::string_view& text) {
  for (;;) {
    while (!text.empty() &&
           (absl::ascii_isspace(static_cast<unsigned char>(text[0])) || text[0] == ';' || text[0] == ',')) {
      text.remove_prefix(1);
    }
    const auto found = std::find_if(kBetween.begin(), kBetween.end(),
                                    [&](std::string_view mark) { return text.starts_with(mark); });
    if (found == kBetween.end()) return;
    text.remove_prefix(found->size());
  }
}

// Where the JSON object or array that `text` begins with ends; npos where it does not.
size_t JsonEnd(std::string_view text) {
  size_t depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string && c == '\\') {
      ++i;
    } else if (c == '"') {
      in_string = !in_string;
    } else if (!in_string && (c == '{' || c == '[')) {
      ++depth;
    } else if (!in_string && (c == '}' || c == ']') && --depth == 0) {
      return i + 1;
    }
  }
  return std::string_view::npos;
}

// Takes the JSON that the text begins with.
std::optional<Json> TakeJson(std::string_view& text) {
  const size_t end = text.starts_with('{') || text.starts_with('[') ? JsonEnd(text) : std::string_view::npos;
  if (end == std::string_view::npos) return std::nullopt;
  absl::StatusOr<Json> json = ParseJson("call", text.substr(0, end));
  text.remove_prefix(end);
  if (!json.ok()) return std::nullopt;
  return *std::move(json);
}

const Json* Member(const Json& object, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (const auto found = object.find(name); found != object.end()) return &*found;
  }
  return nullptr;
}

bool AddCall(const Json& value, std::vector<ToolCall>& calls) {
  if (!value.is_object()) return false;
  const Json* function = Member(value, {"function"});
  const Json& call = function != nullptr && function->is_object() ? *function : value;
  const Json* name = Member(call, {"name", "tool_name", "function"});
  if (name == nullptr || !name->is_string() || name->get_ref<const std::string&>().empty()) return false;
  const Json* given = Member(call, {"arguments", "parameters"});
  Json arguments = given == nullptr || given->is_null() ? Json::object() : *given;
  if (arguments.is_string()) {
    const absl::StatusOr<Json> parsed = ParseJson("arguments", arguments.get_ref<const std::string&>());
    if (parsed.ok()) arguments = *parsed;
  }
  if (!arguments.is_object()) return false;
  calls.push_back({name->get<std::string>(), arguments.dump()});
  return true;
}

bool AddCalls(const Json& value, std::vector<ToolCall>& calls) {
  if (!value.is_array()) return AddCall(value, calls);
  return std::all_of(value.begin(), value.end(), [&](const Json& call) { return AddCall(call, calls); });
}

bool IsName(std::string_view name) {
  return !name.empty() && name.size() <= kMaxFunctionBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '_' || c == '-' || c == '.' ||
                  c == ':';
         });
}

// "NAME[ARGS]{...}" and its like.
bool TakeNamed(std::string_view& text, std::vector<ToolCall>& calls) {
  if (const size_t kind = text.find(kDeepSeek);
      kind != std::string_view::npos && text.substr(0, kind) == "function") {
    text.remove_prefix(kind + kDeepSeek.size());
  }
  const size_t end = std::min({text.find(kArguments), text.find(kCallId), text.find(kDeepSeek),
                               text.find('{'), text.find('\n'), text.size()});
  const std::string name(absl::StripAsciiWhitespace(AbslView(text.substr(0, end))));
  const size_t arguments = text.find('{', end);
  if (!IsName(name) || arguments == std::string_view::npos) return false;
  text.remove_prefix(arguments);
  const std::optional<Json> json = TakeJson(text);
  if (!json) return false;
  calls.push_back({name, json->dump()});
  return true;
}

const Json& FunctionOf(const Json& tool) {
  const auto function = tool.find("function");
  return function != tool.end() && function->is_object() ? *function : tool;
}

std::string NameOf(const Json& tool) {
  const Json& function = FunctionOf(tool);
  const auto name = function.find("name");
  return name != function.end() && name->is_string() ? name->get<std::string>() : "";
}

}  // namespace

std::optional<std::vector<ToolCall>> ReadToolCalls(std::string_view text) {
  std::vector<ToolCall> calls;
  for (SkipBetween(text); !text.empty(); SkipBetween(text)) {
    if (text[0] == '{' || text[0] == '[') {
      const std::optional<Json> json = TakeJson(text);
      if (!json || !AddCalls(*json, calls)) return std::nullopt;
    } else if (!TakeNamed(text, calls)) {
      return std::nullopt;
    }
  }
  if (calls.empty()) return std::nullopt;
  return calls;
}

std::vector<std::string> ToolNames(const Json& tools) {
  std::vector<std::string> names;
  for (const Json& tool : tools) {
    if (std::string name = NameOf(tool); !name.empty()) names.push_back(std::move(name));
  }
  return names;
}

namespace {

// References within a schema that stands at `place` of another one.
void MoveReferences(Json& schema, const std::string& place) {
  if (schema.is_object() && schema.contains("$ref") && schema["$ref"].is_string()) {
    const std::string to = schema["$ref"].get<std::string>();
    if (to.starts_with('#')) schema["$ref"] = absl::StrCat("#", place, to.substr(1));
  }
  if (!schema.is_structured()) return;
  for (Json& part : schema) MoveReferences(part, place);
}

}  // namespace

absl::StatusOr<Json> ToolCallSchema(const Json& tools, std::string_view name) {
  // A function without parameters takes none.
  const Json none = {{"type", "object"}, {"properties", Json::object()}, {"additionalProperties", false}};
  Json calls = Json::array();
  for (const Json& tool : tools) {
    const std::string tool_name = NameOf(tool);
    if (tool_name.empty() || (name != "*" && name != tool_name)) continue;
    const Json& function = FunctionOf(tool);
    const auto parameters = function.find("parameters");
    const bool any = parameters == function.end() || !parameters->is_object() || parameters->empty();
    calls.push_back(
        {{"type", "object"},
         {"properties", {{"name", {{"const", tool_name}}}, {"arguments", any ? none : *parameters}}},
         {"required", {"name", "arguments"}},
         {"additionalProperties", false}});
  }
  if (calls.empty()) {
    return absl::InvalidArgumentError(
        name == "*" ? std::string("a call is required, but there are no tools to call")
                    : absl::StrCat("there is no tool called \"", Printable(AbslView(name), kMaxNameBytes),
                                   "\" to call"));
  }
  constexpr char kArguments[] = "/properties/arguments";
  for (size_t i = 0; i < calls.size(); ++i) {
    MoveReferences(calls[i]["properties"]["arguments"],
                   calls.size() == 1 ? kArguments : absl::StrCat("/anyOf/", i, kArguments));
  }
  return calls.size() == 1 ? calls[0] : Json{{"anyOf", std::move(calls)}};
}

}  // namespace hearth
