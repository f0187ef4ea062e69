#include "client/command/chat_history.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "engine/base/absl_view.h"

namespace hearth {
namespace {

constexpr std::pair<std::string_view, ChatLine::Kind> kCommands[] = {
    {"/system", ChatLine::Kind::kSystem},
    {"/reset", ChatLine::Kind::kReset},
    {"/save", ChatLine::Kind::kSave},
    {"/help", ChatLine::Kind::kHelp},
};

}  // namespace

void ChatHistory::Add(const std::string& role, const std::string& content) {
  v1::ChatMessage* const message = messages_.add_messages();
  message->set_role(role);
  message->set_content(content);
}

void ChatHistory::Truncate(size_t size) {
  const auto kept = static_cast<int>(size);
  messages_.mutable_messages()->DeleteSubrange(kept, messages_.messages_size() - kept);
}

void ChatHistory::CopyTo(v1::ChatRequest* request) const {
  request->clear_messages();
  if (!system_.empty()) {
    v1::ChatMessage* const message = request->add_messages();
    message->set_role("system");
    message->set_content(system_);
  }
  request->mutable_messages()->MergeFrom(messages_.messages());
}

std::string ChatHistory::ToJsonText() const {
  v1::ChatRequest all;
  CopyTo(&all);
  std::string text = "[";
  for (const v1::ChatMessage& message : all.messages()) {
    const nlohmann::ordered_json json = {{"role", message.role()}, {"content", message.content()}};
    text += text.size() > 1 ? ",\n " : "";
    text += json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }
  return text + "]\n";
}

ChatLine ParseChatLine(std::string_view line) {
  if (!line.starts_with('/')) return {ChatLine::Kind::kText, std::string(line)};
  const size_t space = std::min(line.find(' '), line.size());
  const std::string argument(absl::StripAsciiWhitespace(AbslView(line.substr(space))));
  for (const auto& [command, kind] : kCommands) {
    if (line.substr(0, space) == command) return {kind, argument};
  }
  return {ChatLine::Kind::kUnknown, std::string(line.substr(0, space))};
}

}  // namespace hearth
