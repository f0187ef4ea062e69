#ifndef HEARTH_CLIENT_COMMAND_CHAT_HISTORY_H_
#define HEARTH_CLIENT_COMMAND_CHAT_HISTORY_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// A conversation as it grows: what `hearth chat` sends with every turn.
class ChatHistory {
 public:
  // The system message in front; empty: none. Stays when the conversation is begun anew.
  void SetSystem(std::string text) { system_ = std::move(text); }
  // Appends a message.
  void Add(const std::string& role, const std::string& content);
  // Drops all but the first `size` messages (the system message does not count), or all.
  void Truncate(size_t size);
  void Reset() { Truncate(0); }
  size_t size() const { return static_cast<size_t>(messages_.messages_size()); }

  // Everything, as the messages of `*request`.
  void CopyTo(v1::ChatRequest* request) const;
  // Everything as JSON, one message per line, in the form that `hearth-model render --messages` reads.
  std::string ToJsonText() const;

 private:
  std::string system_;
  v1::ChatRequest messages_;  // its messages alone
};

// A line that a person types in a chat: something to say, or a command.
struct ChatLine {
  enum class Kind { kText, kSystem, kReset, kSave, kHelp, kUnknown };
  Kind kind = Kind::kText;
  std::string argument;  // what is said, or what stands behind the command
};
// Commands begin with '/' and a word: "/system TEXT", "/reset", "/save FILE", "/help".
ChatLine ParseChatLine(std::string_view line);

}  // namespace hearth

#endif  // HEARTH_CLIENT_COMMAND_CHAT_HISTORY_H_
