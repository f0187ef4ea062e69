#include "daemon/identity/join_code.h"

#include <arpa/inet.h>

#include <algorithm>
#include <optional>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "daemon/identity/base32.h"
#include "engine/base/check.h"
#include "engine/base/sha256.h"

namespace hearth {
namespace {

// Version, bytes in all, number of addresses; each address as its length (4 or 16), its bytes and its port;
// authority, secret, check sum. Numbers are big-endian.
constexpr absl::string_view kPrefix = "HEARTH";
constexpr uint8_t kVersion = 1;
constexpr size_t kHeaderBytes = 3;
constexpr size_t kCheckBytes = 4;
constexpr size_t kPortBytes = 2;

using Bytes = std::vector<uint8_t>;

Bytes CheckSum(absl::Span<const uint8_t> bytes) {
  const Sha256Digest digest = Sha256Of(bytes);
  return Bytes(digest.begin(), digest.begin() + kCheckBytes);
}

void AppendAddress(const std::string& address, Bytes& bytes) {
  const size_t colon = address.rfind(':');
  HEARTH_CHECK(colon != std::string::npos && colon > 0);
  uint32_t port = 0;
  HEARTH_CHECK(absl::SimpleAtoi(address.substr(colon + 1), &port) && port <= 65535);
  const bool v6 = address.front() == '[';
  const std::string host = v6 ? address.substr(1, colon - 2) : address.substr(0, colon);
  std::array<uint8_t, 16> in_numbers;
  HEARTH_CHECK(inet_pton(v6 ? AF_INET6 : AF_INET, host.c_str(), in_numbers.data()) == 1);
  const size_t size = v6 ? 16 : 4;
  bytes.push_back(static_cast<uint8_t>(size));
  bytes.insert(bytes.end(), in_numbers.begin(), in_numbers.begin() + size);
  bytes.push_back(static_cast<uint8_t>(port >> 8));
  bytes.push_back(static_cast<uint8_t>(port));
}

// Takes `count` bytes from the front; nullopt where there are fewer.
std::optional<absl::Span<const uint8_t>> Take(absl::Span<const uint8_t>& bytes, size_t count) {
  if (bytes.size() < count) return std::nullopt;
  const absl::Span<const uint8_t> taken = bytes.first(count);
  bytes.remove_prefix(count);
  return taken;
}

std::optional<std::string> TakeAddress(absl::Span<const uint8_t>& bytes) {
  const auto size = Take(bytes, 1);
  if (!size || ((*size)[0] != 4 && (*size)[0] != 16)) return std::nullopt;
  const auto host = Take(bytes, (*size)[0]);
  const auto port = Take(bytes, kPortBytes);
  if (!host || !port) return std::nullopt;
  std::array<char, INET6_ADDRSTRLEN> text;
  const bool v6 = host->size() == 16;
  inet_ntop(v6 ? AF_INET6 : AF_INET, host->data(), text.data(), text.size());
  const int number = (*port)[0] << 8 | (*port)[1];
  return v6 ? absl::StrCat("[", text.data(), "]:", number) : absl::StrCat(text.data(), ":", number);
}

// What lies between header and check sum.
std::optional<JoinCode> ParseBody(size_t addresses, absl::Span<const uint8_t> bytes) {
  if (addresses == 0 || addresses > JoinCode::kMaxAddresses) return std::nullopt;
  JoinCode code;
  for (size_t i = 0; i < addresses; ++i) {
    std::optional<std::string> address = TakeAddress(bytes);
    if (!address) return std::nullopt;
    code.addresses.push_back(*std::move(address));
  }
  HostId::Digest authority;
  if (bytes.size() != authority.size() + code.secret.size()) return std::nullopt;
  std::copy_n(bytes.begin(), authority.size(), authority.begin());
  std::copy_n(bytes.begin() + authority.size(), code.secret.size(), code.secret.begin());
  code.authority = HostId(authority);
  return code;
}

size_t DigitsOf(size_t bytes) { return (bytes * 8 + 4) / 5; }

absl::Status Altered() {
  return absl::InvalidArgumentError(
      "the join code was altered: copy it once more as `hearth invite` printed it");
}

}  // namespace

std::string FormatJoinCode(const JoinCode& code) {
  HEARTH_CHECK(!code.addresses.empty() && code.addresses.size() <= JoinCode::kMaxAddresses);
  Bytes bytes = {kVersion, 0, static_cast<uint8_t>(code.addresses.size())};
  for (const std::string& address : code.addresses) AppendAddress(address, bytes);
  bytes.insert(bytes.end(), code.authority.digest().begin(), code.authority.digest().end());
  bytes.insert(bytes.end(), code.secret.begin(), code.secret.end());
  bytes[1] = static_cast<uint8_t>(bytes.size() + kCheckBytes);
  const Bytes check = CheckSum(bytes);
  bytes.insert(bytes.end(), check.begin(), check.end());
  return absl::StrCat("hearth", EncodeBase32(bytes));
}

absl::StatusOr<JoinCode> ParseJoinCode(absl::string_view text) {
  const std::optional<std::string> letters = NormalBase32(text);
  if (!letters && LooksLikeJoinCode(text)) return Altered();
  if (!letters || !absl::StartsWith(*letters, kPrefix)) {
    return absl::InvalidArgumentError("this is no join code: `hearth invite` on the coordinator prints one");
  }
  const absl::string_view digits = absl::string_view(*letters).substr(kPrefix.size());
  const Bytes bytes = DecodeBase32(digits);
  const size_t wanted = bytes.size() < 2 ? kHeaderBytes : bytes[1];
  if (!bytes.empty() && bytes[0] != kVersion) return Altered();
  if (digits.size() < DigitsOf(wanted)) {
    return absl::InvalidArgumentError("the join code was cut short: copy all of it");
  }
  if (digits.size() != DigitsOf(wanted) || wanted < kHeaderBytes + kCheckBytes) return Altered();
  const absl::Span<const uint8_t> all(bytes);
  const absl::Span<const uint8_t> checked = all.first(wanted - kCheckBytes);
  if (CheckSum(checked) != Bytes(checked.end(), checked.end() + kCheckBytes)) return Altered();
  std::optional<JoinCode> code = ParseBody(bytes[2], checked.subspan(kHeaderBytes));
  if (!code) return Altered();
  return *std::move(code);
}

bool LooksLikeJoinCode(absl::string_view text) {
  return absl::StartsWithIgnoreCase(text, kPrefix) && text.find(':') == absl::string_view::npos;
}

}  // namespace hearth
