#ifndef HEARTH_DAEMON_JOINING_JOIN_PROTOCOL_H_
#define HEARTH_DAEMON_JOINING_JOIN_PROTOCOL_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/identity/join_code.h"
#include "daemon/joining/short_code.h"
#include "engine/base/sha256.h"

namespace hearth {

// What a new host and its coordinator say to each other, within TLS. With a join code: one message each, a
// request and its answer. Without: a commitment, a nonce, what the host has committed to, that it waits, and,
// once a person has decided, the answer (see short_code.h). A message is its length in four bytes, then its
// fields, each with its length in two; numbers are big-endian. Pure.

inline constexpr size_t kJoinLengthBytes = 4;
inline constexpr size_t kMaxJoinBytes = 16 << 10;  // after the length
inline constexpr size_t kMaxJoinFields = 8;

// Whole messages, the length in front.
std::string EncodeJoinFields(const std::vector<std::string>& fields);
// The length of what follows; INVALID_ARGUMENT where it is 0 or more than kMaxJoinBytes.
absl::StatusOr<size_t> DecodeJoinLength(absl::Span<const uint8_t> bytes);
// What follows. INVALID_ARGUMENT where the lengths do not add up or there are too many fields.
absl::StatusOr<std::vector<std::string>> DecodeJoinFields(absl::Span<const uint8_t> bytes);

// From the new host.
struct JoinRequest {
  JoinSecret secret{};
  std::string signing_request_pem;
};
std::string EncodeJoinRequest(const JoinRequest& request);
// From one that has no code: CommitmentTo what it reveals later.
std::string EncodeJoinCommitment(const Sha256Digest& commitment);
// The first message, either of the two. FAILED_PRECONDITION for another version of the protocol,
// INVALID_ARGUMENT for what is neither.
using JoinOpening = std::variant<JoinRequest, Sha256Digest>;
absl::StatusOr<JoinOpening> DecodeJoinOpening(absl::Span<const uint8_t> bytes);

// Where there is no code, from the coordinator: its nonce, or its refusal.
std::string EncodeJoinNonce(const absl::StatusOr<JoinNonce>& nonce);
absl::StatusOr<JoinNonce> DecodeJoinNonce(absl::Span<const uint8_t> bytes);
// From the host.
std::string EncodeJoinReveal(const JoinReveal& reveal);
absl::StatusOr<JoinReveal> DecodeJoinReveal(absl::Span<const uint8_t> bytes);
// From the coordinator: that the host waits, or its refusal.
std::string EncodeJoinWaiting(const absl::Status& waiting);
absl::Status DecodeJoinWaiting(absl::Span<const uint8_t> bytes);

// From the coordinator: a certificate and the port of its encrypted gRPC, or its refusal.
struct JoinAnswer {
  std::string certificate_pem;
  uint16_t port = 0;
};
std::string EncodeJoinAnswer(const absl::StatusOr<JoinAnswer>& answer);
// The refusal as it was given; INVALID_ARGUMENT for what is no answer.
absl::StatusOr<JoinAnswer> DecodeJoinAnswer(absl::Span<const uint8_t> bytes);

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_JOIN_PROTOCOL_H_
