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

constexpr char kVersion[] = "1";
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
  return EncodeJoinFields(
      {kVersion, std::string(request.secret.begin(), request.secret.end()), request.signing_request_pem});
}

absl::StatusOr<JoinRequest> DecodeJoinRequest(absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<std::string> fields, DecodeJoinFields(bytes));
  if (fields.empty()) return Malformed();
  if (fields[0] != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat("this host joins by version ", Printable(fields[0], 20),
                                                      " and the coordinator by ", kVersion,
                                                      ": install the same hearthd on both"));
  }
  JoinRequest request;
  if (fields.size() != 3 || fields[1].size() != request.secret.size()) return Malformed();
  std::copy(fields[1].begin(), fields[1].end(), request.secret.begin());
  request.signing_request_pem = std::move(fields[2]);
  return request;
}

std::string EncodeJoinAnswer(const absl::StatusOr<JoinAnswer>& answer) {
  const std::string code = absl::StrCat(static_cast<int>(answer.status().code()));
  if (!answer.ok()) return EncodeJoinFields({code, Printable(answer.status().message())});
  return EncodeJoinFields({code, answer->certificate_pem, absl::StrCat(answer->port)});
}

absl::StatusOr<JoinAnswer> DecodeJoinAnswer(absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<std::string> fields, DecodeJoinFields(bytes));
  int code = 0;
  uint32_t port = 0;
  if (fields.size() < 2 || !absl::SimpleAtoi(fields[0], &code)) return Malformed();
  if (code != 0) return absl::Status(static_cast<absl::StatusCode>(code), Printable(fields[1]));
  if (fields.size() != 3 || !absl::SimpleAtoi(fields[2], &port) || port == 0 || port > 65535)
    return Malformed();
  return JoinAnswer{std::move(fields[1]), static_cast<uint16_t>(port)};
}

}  // namespace hearth
