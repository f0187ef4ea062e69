#include "daemon/requests/continuation.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/identity/certificate.h"
#include "daemon/peer_certificate.h"
#include "daemon/state/kept_requests.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

std::vector<TokenId> ToVector(const v1::TokenIds& tokens) {
  return {tokens.ids().begin(), tokens.ids().end()};
}

template <class Request>
absl::StatusOr<Continuation> Of(RequestKind kind, Request request, const std::string& caller) {
  Continuation continuation;
  continuation.given = ToVector(request.generated());
  continuation.offset = static_cast<uint32_t>(continuation.given.size());
  if (request.request_id().empty()) return continuation;
  HEARTH_RETURN_IF_ERROR(KeptRequests::CheckId(request.request_id()));
  KeptRequest& kept = continuation.kept.emplace();
  kept.name = {caller, request.request_id()};
  kept.kind = kind;
  request.clear_request_id();
  request.clear_generated();
  if (request.sampling().has_seed()) kept.seed = request.sampling().seed();
  request.mutable_sampling()->clear_seed();
  kept.content = request.SerializeAsString();
  return continuation;
}

}  // namespace

std::string CallerOf(const grpc::CallbackServerContext& context) {
  const std::string pem = PeerCertificate(*context.auth_context());
  if (pem.empty()) return "";
  const absl::StatusOr<Certificate> certificate = ParseCertificate(pem);
  const bool passed_on =
      certificate.ok() && (certificate->role == Role::kHost || certificate->role == Role::kCoordinator);
  if (!certificate.ok() || passed_on) return "";
  return certificate->id.Text();
}

absl::StatusOr<Continuation> ContinuationOf(const v1::GenerateRequest& request, const std::string& caller) {
  return Of(RequestKind::kGenerate, request, caller);
}

absl::StatusOr<Continuation> ContinuationOf(const v1::ChatRequest& request, const std::string& caller) {
  return Of(RequestKind::kChat, request, caller);
}

absl::StatusOr<Continuation> ContinuationOf(const v1::ResumeRequest& request, KeptRequest kept) {
  Continuation continuation;
  continuation.offset = request.offset();
  continuation.given = ToVector(request.generated());
  if (!continuation.given.empty() && continuation.given.size() != continuation.offset) {
    return absl::InvalidArgumentError(absl::StrCat("`generated` has ", continuation.given.size(),
                                                   " tokens, but `offset` is ", continuation.offset,
                                                   "; both say what the client has"));
  }
  continuation.kept = std::move(kept);
  return continuation;
}

std::vector<TokenId> TokensSoFar(const Continuation& continuation, const std::vector<TokenId>& kept,
                                 bool logprobs) {
  const std::vector<TokenId>& given = continuation.given;
  const bool agree = given.size() <= kept.size() && std::equal(given.begin(), given.end(), kept.begin());
  std::vector<TokenId> tokens = agree ? kept : given;
  if (logprobs && tokens.size() > continuation.offset) tokens.resize(continuation.offset);
  return tokens;
}

}  // namespace hearth
