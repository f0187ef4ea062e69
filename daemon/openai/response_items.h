#ifndef HEARTH_DAEMON_OPENAI_RESPONSE_ITEMS_H_
#define HEARTH_DAEMON_OPENAI_RESPONSE_ITEMS_H_

#include <nlohmann/json.hpp>

#include "absl/status/status.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// Adds the input of POST /v1/responses to a conversation: a text, which the user says, or a list of items
// (message, reasoning, function_call, function_call_output). What an assistant thinks, says and calls in turn
// is one message. ParamErrors name the item.
absl::Status ReadResponseInput(const nlohmann::json& input, v1::ChatRequest& chat);

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_RESPONSE_ITEMS_H_
