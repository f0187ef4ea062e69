#ifndef HEARTH_DAEMON_REQUESTS_EMBED_REQUEST_H_
#define HEARTH_DAEMON_REQUESTS_EMBED_REQUEST_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/model_host.h"
#include "engine/model/pooling.h"
#include "engine/token/tokenizer.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

inline constexpr int kMaxEmbedInputs = 2048;
inline constexpr uint64_t kMaxEmbedValues = uint64_t{4} << 20;  // of one response, 16 MiB

// What a client asks for, with its texts as tokens and all defaults filled in.
struct CheckedEmbedRequest {
  std::vector<std::vector<TokenId>> inputs;
  EmbeddingOptions options;
};

// INVALID_ARGUMENT names what is wrong, and which input; OUT_OF_RANGE says by how much an input is longer
// than `most_tokens`. Tokens are ids below `vocab_size`.
absl::StatusOr<CheckedEmbedRequest> CheckEmbedRequest(const v1::EmbedRequest& request,
                                                      const EmbeddingTraits& traits,
                                                      const Tokenizer& tokenizer, int32_t vocab_size,
                                                      uint32_t most_tokens);

}  // namespace hearth

#endif  // HEARTH_DAEMON_REQUESTS_EMBED_REQUEST_H_
