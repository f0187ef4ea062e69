#ifndef HEARTH_DAEMON_OPENAI_EMBEDDING_REQUEST_H_
#define HEARTH_DAEMON_OPENAI_EMBEDDING_REQUEST_H_

#include <nlohmann/json.hpp>
#include <string>

#include "absl/status/statusor.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// POST /v1/embeddings: one input or a list of them, each a text or token ids. Beside OpenAI's fields
// `pooling` is taken: mean, cls or last.
struct EmbeddingApiRequest {
  v1::EmbedRequest request;
  bool base64 = false;  // vectors are sent as the bytes of little-endian float32 values
};
// INVALID_ARGUMENT names the parameter that is wrong. What gRPC checks is left to it.
absl::StatusOr<EmbeddingApiRequest> ReadEmbeddingRequest(const nlohmann::json& body);

// The answer's body.
std::string EmbeddingAnswer(const v1::EmbedResponse& response, bool base64);

}  // namespace hearth

#endif  // HEARTH_DAEMON_OPENAI_EMBEDDING_REQUEST_H_
