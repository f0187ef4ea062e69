#ifndef HEARTH_DAEMON_SERVING_CHAT_REQUEST_H_
#define HEARTH_DAEMON_SERVING_CHAT_REQUEST_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/chat/chat_templates.h"
#include "engine/token/tokenizer.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// The conversation of a request, as templates see it. INVALID_ARGUMENT names the field that cannot be used.
absl::StatusOr<Conversation> ToConversation(const v1::ChatRequest& request);

// The request to continue what `chat` makes of the conversation: its tokens and the options of `request`.
// Errors as ToConversation and ChatTemplates::Render. Takes time (a second at worst): not for a thread that
// others wait for.
absl::StatusOr<v1::GenerateRequest> ToGenerateRequest(const v1::ChatRequest& request,
                                                      const ChatTemplates& chat, const Tokenizer& tokenizer,
                                                      absl::Time now);

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_CHAT_REQUEST_H_
