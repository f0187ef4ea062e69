#include "daemon/joining/join_protocol.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr char kByCode[] = "1", kByApproval[] = "2";  // versions
constexpr size_t kFieldLengthBytes = 2;

void AppendNumber(uint64_t number, size_t bytes, std::string& out) {
  for (size_t i = bytes; i-- > 0;) out += static_cast<char>(number >> (8 * i));
}

uint64_t NumberOf(absl::Span<const uint8_t> bytes) {
  uint64_t number = 0;
  for (const uint8_t byte : bytes) number = number << 8 | byte;
  return number;
}

absl::Status Malformed() { return absl::InvalidArgumentError("the message makes no sense"); }

template <class Array>
std::string TextOf(const Array& bytes) {
  return std::string(bytes.begin(), bytes.end());
}

// False where the field has another length.
template <class Array>
bool Fill(const std::string& field, Array& bytes) {
  if (field.size() != bytes.size()) return false;
  std::copy(field.begin(), field.end(), bytes.begin());
  return true;
}

// What a coordinator says: fields, or its refusal.
std::string EncodeReply(const absl::Status& status, std::vector<std::string> fields) {
  const std::string code = absl::StrCat(static_cast<int>(status.code()));
  if (!status.ok()) return EncodeJoinFields({code, Printable(status.message())});
  fields.insert(fields.begin(), code);
  return EncodeJoinFields(fields);
}

absl::StatusOr<std::vector<std::string>> DecodeReply(absl::Span<const uint8_t> bytes, size_t count) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<std::string> fields, DecodeJoinFields(bytes));
  int code = 0;
  if (fields.empty() || !absl::SimpleAtoi(fields[0], &code)) return Malformed();
  if (code != 0 && fields.size() >= 2)
    return absl::Status(static_cast<absl::StatusCode>(code), Printable(fields[1]));
  if (code != 0 || fields.size() != 1 + count) return Malformed();
  fields.erase(fields.begin());
  return fields;
}

}  // namespace

std::string EncodeJoinFields(const std::vector<std::string>& fields) {
  HEARTH_CHECK(fields.size() <= kMaxJoinFields);
  std::string body;
  for (const std::string& field : fields) {
    HEARTH_CHECK(field.size() <= 0xffff);
    AppendNumber(field.size(), kFieldLengthBytes, body);
    body += field;
  }
  HEARTH_CHECK(body.size() <= kMaxJoinBytes);
  std::string message;
  AppendNumber(body.size(), kJoinLengthBytes, message);
  return message + body;
}

absl::StatusOr<size_t> DecodeJoinLength(absl::Span<const uint8_t> bytes) {
  HEARTH_CHECK(bytes.size() == kJoinLengthBytes);
  const uint64_t length = NumberOf(bytes);
  if (length == 0 || length > kMaxJoinBytes) return Malformed();
  return static_cast<size_t>(length);
}

absl::StatusOr<std::vector<std::string>> DecodeJoinFields(absl::Span<const uint8_t> bytes) {
  std::vector<std::string> fields;
  while (!bytes.empty()) {
    if (bytes.size() < kFieldLengthBytes || fields.size() == kMaxJoinFields) return Malformed();
    const size_t length = NumberOf(bytes.first(kFieldLengthBytes));
    bytes.remove_prefix(kFieldLengthBytes);
    if (bytes.size() < length) return Malformed();
    fields.emplace_back(bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(length));
    bytes.remove_prefix(length);
  }
  return fields;
}

std::string EncodeJoinRequest(const JoinRequest& request) {
  return EncodeJoinFields({kByCode, TextOf(request.secret), request.signing_request_pem});
}

std::string EncodeJoinCommitment(const Sha256Digest& commitment) {
  return EncodeJoinFields({kByApproval, TextOf(commitment)});
}

absl::StatusOr<JoinOpening> DecodeJoinOpening(absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<std::string> fields, DecodeJoinFields(bytes));
  if (fields.empty()) return Malformed();
  if (fields[0] == kByApproval) {
    Sha256Digest commitment;
    if (fields.size() != 2 || !Fill(fields[1], commitment)) return Malformed();
    return commitment;
  }
  if (fields[0] != kByCode) {
    return absl::FailedPreconditionError(absl::StrCat("this host joins by version ", Printable(fields[0], 20),
                                                      " and the coordinator by ", kByCode, " or ",
                                                      kByApproval, ": install the same hearthd on both"));
  }
  JoinRequest request;
  if (fields.size() != 3 || !Fill(fields[1], request.secret)) return Malformed();
  request.signing_request_pem = std::move(fields[2]);
  return request;
}

std::string EncodeJoinNonce(const absl::StatusOr<JoinNonce>& nonce) {
  return EncodeReply(nonce.status(), {nonce.ok() ? TextOf(*nonce) : ""});
}

absl::StatusOr<JoinNonce> DecodeJoinNonce(absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<std::string> fields, DecodeReply(bytes, 1));
  JoinNonce nonce;
  if (!Fill(fields[0], nonce)) return Malformed();
  return nonce;
}

std::string EncodeJoinReveal(const JoinReveal& reveal) {
  return EncodeJoinFields({TextOf(reveal.nonce), reveal.signing_request_pem});
}

absl::StatusOr<JoinReveal> DecodeJoinReveal(absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<std::string> fields, DecodeJoinFields(bytes));
  JoinReveal reveal;
  if (fields.size() != 2 || !Fill(fields[0], reveal.nonce)) return Malformed();
  reveal.signing_request_pem = std::move(fields[1]);
  return reveal;
}

std::string EncodeJoinWaiting(const absl::Status& waiting) { return EncodeReply(waiting, {}); }

absl::Status DecodeJoinWaiting(absl::Span<const uint8_t> bytes) { return DecodeReply(bytes, 0).status(); }

std::string EncodeJoinAnswer(const absl::StatusOr<JoinAnswer>& answer) {
  if (!answer.ok()) return EncodeReply(answer.status(), {});
  return EncodeReply(absl::OkStatus(), {answer->certificate_pem, absl::StrCat(answer->port)});
}

absl::StatusOr<JoinAnswer> DecodeJoinAnswer(absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<std::string> fields, DecodeReply(bytes, 2));
  uint32_t port = 0;
  if (!absl::SimpleAtoi(fields[1], &port) || port == 0 || port > 65535) return Malformed();
  return JoinAnswer{std::move(fields[0]), static_cast<uint16_t>(port)};
}

}  // namespace hearth
