#include "daemon/openai/response_items.h"

#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/http/json_input.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using nlohmann::json;

constexpr char kAssistant[] = "assistant";

// The text of a part of a message, a tool's output or a thought.
absl::StatusOr<std::string> PartText(const char* param, const json& part) {
  if (!part.is_object()) return ParamError(param, absl::StrCat("must hold objects, not ", KindOf(part)));
  const JsonFields fields(part);
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> type, fields.Text("type"));
  HEARTH_ASSIGN_OR_RETURN(std::optional<std::string> text, fields.Text("text"));
  if (!text || !type || type->find("text") == std::string::npos) {
    return ParamError(param, "has a part that is no text; images, sound and files are not supported");
  }
  return *std::move(text);
}

// A text, or a list of parts one after the other; empty where the field is absent.
absl::StatusOr<std::string> JoinedText(const JsonFields& fields, const char* name) {
  const json* value = fields.Find(name);
  std::string joined;
  if (value == nullptr) return joined;
  if (value->is_string()) return value->get<std::string>();
  if (!value->is_array()) {
    return ParamError(name, absl::StrCat("must be a text or a list of parts, not ", KindOf(*value)));
  }
  for (const json& part : *value) {
    HEARTH_ASSIGN_OR_RETURN(const std::string text, PartText(name, part));
    joined += text;
  }
  return joined;
}

// Adds items to a conversation one after the other.
class ItemReader {
 public:
  explicit ItemReader(v1::ChatRequest& chat) : chat_(chat) {}

  absl::Status Read(const json& item) {
    if (!item.is_object()) {
      return absl::InvalidArgumentError(absl::StrCat("it must be an object, not ", KindOf(item)));
    }
    const JsonFields fields(item);
    HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> type, fields.Text("type"));
    if (!type || *type == "message") return ReadMessage(fields);
    if (*type == "reasoning") return ReadReasoning(fields);
    if (*type == "function_call") return ReadCall(fields);
    if (*type == "function_call_output") return ReadOutput(fields);
    if (*type == "item_reference") {
      return ParamError("type", "is item_reference, but answers are not stored; send the item itself");
    }
    return ParamError("type", absl::StrCat("is ", Printable(*type, kMaxNameBytes),
                                           "; message, reasoning, function_call and function_call_output are "
                                           "supported"));
  }

 private:
  absl::Status ReadMessage(const JsonFields& fields) {
    std::string role;
    HEARTH_RETURN_IF_ERROR(SetText(fields, "role", &role));
    if (role.empty()) return ParamError("role", "is missing");
    const json* content = fields.Find("content");
    if (content == nullptr) return ParamError("content", "is missing");
    // Templates know the older name.
    v1::ChatMessage& message = role == kAssistant ? Assistant(/*says=*/true) : *chat_.add_messages();
    message.set_role(role == "developer" ? "system" : role);
    if (!content->is_array()) return SetText(fields, "content", message.mutable_content());
    for (const json& part : *content) {
      HEARTH_ASSIGN_OR_RETURN(*message.add_parts()->mutable_text(), PartText("content", part));
    }
    return absl::OkStatus();
  }

  absl::Status ReadReasoning(const JsonFields& fields) {
    HEARTH_ASSIGN_OR_RETURN(std::string text, JoinedText(fields, "content"));
    if (text.empty()) {
      HEARTH_ASSIGN_OR_RETURN(text, JoinedText(fields, "summary"));
    }
    reasoning_ += text;
    return absl::OkStatus();
  }

  absl::Status ReadCall(const JsonFields& fields) {
    v1::ToolCall& call = *Assistant(/*says=*/false).add_tool_calls();
    HEARTH_RETURN_IF_ERROR(SetText(fields, "call_id", call.mutable_id()));
    HEARTH_RETURN_IF_ERROR(SetText(fields, "name", call.mutable_name()));
    if (call.name().empty()) return ParamError("name", "is missing");
    return SetText(fields, "arguments", call.mutable_arguments());
  }

  absl::Status ReadOutput(const JsonFields& fields) {
    v1::ChatMessage& message = *chat_.add_messages();
    message.set_role("tool");
    HEARTH_RETURN_IF_ERROR(SetText(fields, "call_id", message.mutable_tool_call_id()));
    HEARTH_ASSIGN_OR_RETURN(*message.mutable_content(), JoinedText(fields, "output"));
    for (const v1::ChatMessage& before : chat_.messages()) {
      for (const v1::ToolCall& call : before.tool_calls()) {
        if (call.id() == message.tool_call_id()) message.set_name(call.name());
      }
    }
    return absl::OkStatus();
  }

  // The message of the assistant's turn that goes on, or a new one: what was called stands behind what was
  // said.
  v1::ChatMessage& Assistant(bool says) {
    const int count = chat_.messages_size();
    v1::ChatMessage* last = count == 0 ? nullptr : chat_.mutable_messages(count - 1);
    if (says || !reasoning_.empty() || last == nullptr || last->role() != kAssistant) {
      last = chat_.add_messages();
      last->set_role(kAssistant);
      last->set_reasoning(std::exchange(reasoning_, ""));
    }
    return *last;
  }

  v1::ChatRequest& chat_;
  std::string reasoning_;  // of the assistant's next message
};

}  // namespace

absl::Status ReadResponseInput(const json& input, v1::ChatRequest& chat) {
  if (input.is_string()) {
    v1::ChatMessage& message = *chat.add_messages();
    message.set_role("user");
    message.set_content(input.get<std::string>());
    return absl::OkStatus();
  }
  if (!input.is_array() || input.empty()) {
    return ParamError("input", absl::StrCat("must be a text or a list of at least one item, not ",
                                            input.is_array() ? "an empty list" : KindOf(input)));
  }
  ItemReader reader(chat);
  for (size_t i = 0; i < input.size(); ++i) {
    const absl::Status status = reader.Read(input[i]);
    if (!status.ok()) return Within(absl::StrCat("input[", i, "]"), status);
  }
  return absl::OkStatus();
}

}  // namespace hearth
