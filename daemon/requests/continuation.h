#ifndef HEARTH_DAEMON_REQUESTS_CONTINUATION_H_
#define HEARTH_DAEMON_REQUESTS_CONTINUATION_H_

#include <grpcpp/grpcpp.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/state/state_store.h"
#include "engine/token/tokenizer.h"
#include "proto/hearth/v1/generation.pb.h"

namespace hearth {

// How a request begins: anew, or behind what it has given before.
struct Continuation {
  std::optional<KeptRequest>
      kept;                    // it has a name: what is to be kept of it, or is; none: it ends with its call
  uint32_t offset = 0;         // tokens that its client has
  std::vector<TokenId> given;  // these, where the client says so
};

// Whose calls these are: the id of the key that was shown. Hosts pass on the calls of others, so theirs are,
// as those of a plain port, anybody's who knows a request's id.
std::string CallerOf(const grpc::CallbackServerContext& context);

// Of what a client sends. INVALID_ARGUMENT for a request_id that is none.
absl::StatusOr<Continuation> ContinuationOf(const v1::GenerateRequest& request, const std::string& caller);
absl::StatusOr<Continuation> ContinuationOf(const v1::ChatRequest& request, const std::string& caller);
// INVALID_ARGUMENT where `generated` are not `offset` tokens.
absl::StatusOr<Continuation> ContinuationOf(const v1::ResumeRequest& request, KeptRequest kept);

// The tokens behind which it goes on: those that are kept, unless the client has others. With logprobs, which
// nobody keeps, those that the client has and no more.
std::vector<TokenId> TokensSoFar(const Continuation& continuation, const std::vector<TokenId>& kept,
                                 bool logprobs);

}  // namespace hearth

#endif  // HEARTH_DAEMON_REQUESTS_CONTINUATION_H_
