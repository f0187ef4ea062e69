#ifndef HEARTH_DAEMON_REQUESTS_REQUEST_CHECKS_H_
#define HEARTH_DAEMON_REQUESTS_REQUEST_CHECKS_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/scheduling/generation.h"
#include "daemon/scheduling/grammar_cache.h"
#include "engine/sample/sampler.h"
#include "engine/token/tokenizer.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

struct CheckedRequest {
  GenerationRequest request;  // id, arrived and deadline are the caller's to set
  Sampler sampler;
};

// What a client asks for, with its text as tokens and all defaults filled in. INVALID_ARGUMENT names what is
// wrong; OUT_OF_RANGE says by how much the request is larger than the context.
// Tokens are ids below `vocab_size`. Grammars are compiled here, which takes as long as GrammarCache says.
absl::StatusOr<CheckedRequest> CheckRequest(const v1::GenerateRequest& request, const Tokenizer& tokenizer,
                                            int32_t vocab_size, uint32_t context_length,
                                            GrammarCache& grammars);

// INVALID_ARGUMENT names the first id that is outside the vocabulary.
absl::Status CheckTokens(absl::Span<const TokenId> tokens, int32_t vocab_size);

}  // namespace hearth

#endif  // HEARTH_DAEMON_REQUESTS_REQUEST_CHECKS_H_
