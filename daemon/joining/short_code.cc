#include "daemon/joining/short_code.h"

#include <openssl/rand.h>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/types/span.h"
#include "engine/base/check.h"

namespace hearth {
namespace {

constexpr size_t kDigits = 6;
constexpr uint64_t kCodes = 1000000;

// The parts have the same lengths each time, so nothing else has the same hash.
Sha256Digest HashOf(absl::string_view purpose, absl::Span<const absl::Span<const uint8_t>> parts) {
  Sha256 hash;
  hash.Update({reinterpret_cast<const uint8_t*>(purpose.data()), purpose.size()});
  for (const absl::Span<const uint8_t> part : parts) hash.Update(part);
  return hash.Finish();
}

}  // namespace

JoinNonce MakeJoinNonce() {
  JoinNonce nonce;
  HEARTH_CHECK(RAND_bytes(nonce.data(), static_cast<int>(nonce.size())) == 1);
  return nonce;
}

Sha256Digest CommitmentTo(const JoinReveal& reveal) {
  return HashOf("hearth join 2 commitment", {reveal.nonce, Sha256Of(reveal.signing_request_pem)});
}

std::string ShortCodeOf(const JoinReveal& host, const JoinNonce& coordinator, const HostId& authority) {
  const Sha256Digest hash = HashOf("hearth join 2 code", {host.nonce, Sha256Of(host.signing_request_pem),
                                                          coordinator, authority.digest()});
  uint64_t number = 0;
  for (size_t i = 0; i < sizeof(number); ++i) number = number << 8 | hash[i];
  return absl::StrFormat("%06d", number % kCodes);
}

std::string ShownCode(absl::string_view code) {
  HEARTH_CHECK(code.size() == kDigits);
  return absl::StrCat(code.substr(0, kDigits / 2), " ", code.substr(kDigits / 2));
}

std::optional<std::string> ReadShortCode(absl::string_view text) {
  std::string code;
  for (const char c : text) {
    if (c == ' ' || c == '-') continue;
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c)) || code.size() == kDigits) return std::nullopt;
    code += c;
  }
  if (code.size() != kDigits) return std::nullopt;
  return code;
}

}  // namespace hearth
