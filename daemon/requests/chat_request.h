#ifndef HEARTH_DAEMON_REQUESTS_CHAT_REQUEST_H_
#define HEARTH_DAEMON_REQUESTS_CHAT_REQUEST_H_

#include <optional>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/chat/answer_parser.h"
#include "engine/chat/chat_templates.h"
#include "engine/token/tokenizer.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// The conversation of a request, as templates see it. INVALID_ARGUMENT names the field that cannot be used.
absl::StatusOr<Conversation> ToConversation(const v1::ChatRequest& request);

struct ChatPrompt {
  v1::GenerateRequest request;         // to continue the conversation
  std::optional<AnswerSyntax> syntax;  // how the answer is taken apart, where that is asked for
};

// What `chat` makes of the conversation: its tokens, and the options of `request`. Errors as ToConversation
// and ChatTemplates::Render, or INVALID_ARGUMENT for a required tool that is none. Takes time (a second at
// worst): not for a thread that others wait for.
absl::StatusOr<ChatPrompt> ToChatPrompt(const v1::ChatRequest& request, const ChatTemplates& chat,
                                        const Tokenizer& tokenizer, absl::Time now);

}  // namespace hearth

#endif  // HEARTH_DAEMON_REQUESTS_CHAT_REQUEST_H_
