#include "daemon/identity/host_id.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_cat.h"
#include "daemon/identity/base32.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

constexpr size_t kGroup = 7;
constexpr size_t kDigits = 52;          // of the digest
constexpr size_t kPart = 13;            // of them share a check digit
constexpr size_t kChecked = kPart + 1;  // the part with it: two groups

// Luhn's algorithm in base 32: finds every wrong digit and nearly every exchange of two neighbours.
char CheckDigit(absl::string_view part) {
  uint32_t sum = 0, factor = 2;
  for (auto digit = part.rbegin(); digit != part.rend(); ++digit) {
    const uint32_t product = Base32Value(*digit) * factor;
    sum += product / 32 + product % 32;
    factor = 3 - factor;
  }
  return Base32Digit((32 - sum % 32) % 32);
}

}  // namespace

std::string HostId::Text() const {
  const std::string digits = EncodeBase32(digest_);
  std::string checked, text;
  for (size_t i = 0; i < kDigits; i += kPart) {
    const std::string part = digits.substr(i, kPart);
    checked += part + CheckDigit(part);
  }
  for (size_t i = 0; i < checked.size(); i += kGroup) {
    absl::StrAppend(&text, i == 0 ? "" : "-", checked.substr(i, kGroup));
  }
  return text;
}

absl::StatusOr<HostId> ParseHostId(absl::string_view text) {
  const std::optional<std::string> checked = NormalBase32(text);
  if (!checked)
    return absl::InvalidArgumentError(absl::StrCat("\"", Printable(text, 80), "\" is no host id"));
  if (checked->size() != kDigits / kPart * kChecked) {
    return absl::InvalidArgumentError(
        absl::StrCat("a host id has 8 groups of 7 letters and digits; this has ", checked->size(), " of 56"));
  }
  std::string digits;
  for (size_t i = 0; i < checked->size(); i += kChecked) {
    const std::string part = checked->substr(i, kPart);
    if (CheckDigit(part) != (*checked)[i + kPart]) {
      return absl::InvalidArgumentError(
          absl::StrCat("group ", i / kGroup + 1, " or ", i / kGroup + 2, " of the host id is mistyped"));
    }
    digits += part;
  }
  const std::vector<uint8_t> bytes = DecodeBase32(digits);
  HostId::Digest digest;
  std::copy_n(bytes.begin(), digest.size(), digest.begin());
  return HostId(digest);
}

}  // namespace hearth
