#include "daemon/identity/api_key.h"

#include <openssl/rand.h>

#include <array>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "daemon/identity/base32.h"
#include "engine/base/check.h"
#include "engine/base/sha256.h"

namespace hearth {
namespace {

constexpr absl::string_view kKeyPrefix = "hearth-";
constexpr size_t kKeySecretBytes = 20;
constexpr size_t kKeyBytes = kKeyPrefix.size() + kKeySecretBytes * 8 / 5;

}  // namespace

std::string MakeApiKey() {
  std::array<uint8_t, kKeySecretBytes> secret;
  HEARTH_CHECK(RAND_bytes(secret.data(), static_cast<int>(secret.size())) == 1);
  return absl::StrCat(kKeyPrefix, absl::AsciiStrToLower(EncodeBase32(secret)));
}

std::optional<HostId> IdOfApiKey(absl::string_view key) {
  // What does not begin so might have the hash of something that is no secret, such as a public key.
  if (key.size() != kKeyBytes || !absl::StartsWith(key, kKeyPrefix)) return std::nullopt;
  return HostId(Sha256Of(key));
}

}  // namespace hearth
