#ifndef HEARTH_DAEMON_OPENAI_RESPONSE_REQUEST_H_
#define HEARTH_DAEMON_OPENAI_RESPONSE_REQUEST_H_

#include <nlohmann/json.hpp>

#include "absl/status/statusor.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// POST /v1/responses: a conversation as OpenAI's newer API has it, with functions as tools. Nothing is kept
// between requests: whoever goes on with a conversation sends all of it.
struct ResponseRequest {
  bool stream = false;
  v1::ChatRequest chat;
  nlohmann::ordered_json settings;  // the fields of the request that the answer repeats
};

// INVALID_ARGUMENT names the parameter that is wrong or that Hearth does not have. `text` and `tools` are the
// fields of these names with their keys in their order, which is that of the answer's; null: none.
absl::StatusOr<ResponseRequest> ReadResponseRequest(const nlohmann::json& body,
                                                    const nlohmann::ordered_json& text = nullptr,
                                                    const nlohmann::ordered_json& tools = nullptr);

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_RESPONSE_REQUEST_H_
