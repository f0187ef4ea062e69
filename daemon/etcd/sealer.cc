#include "daemon/etcd/sealer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// A sealed text: this, the nonce, as many bytes as the text, the tag.
constexpr absl::string_view kForm = "HS1\n";
constexpr size_t kNonceBytes = 12;
constexpr size_t kTagBytes = 16;
constexpr uint64_t kMostFileBytes = 4096;

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

const unsigned char* Bytes(absl::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}
int Size(absl::string_view text) { return static_cast<int>(text.size()); }

Sealer::Secret Hmac(const Sealer::Secret& key, absl::string_view text) {
  Sealer::Secret hash;
  HEARTH_CHECK(HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), Bytes(text), text.size(),
                    hash.data(), nullptr) != nullptr);
  return hash;
}

}  // namespace

Sealer::Sealer(const Secret& secret)
    : sealing_key_(Hmac(secret, "hearth sealing 1")), naming_key_(Hmac(secret, "hearth naming 1")) {}

absl::StatusOr<Sealer> Sealer::FromFile(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::string text, ReadInputFile(path, kMostFileBytes));
  struct stat info {};
  if (::stat(path.c_str(), &info) == 0 && (info.st_mode & S_IRWXO) != 0) {
    return absl::PermissionDeniedError(
        absl::StrCat(Printable(path), " can be read by others: chmod 600 ", Printable(path)));
  }
  const absl::string_view digits = absl::StripAsciiWhitespace(text);
  Secret secret;
  bool sound = digits.size() == 2 * secret.size();
  for (const unsigned char digit : digits) sound &= absl::ascii_isxdigit(digit);
  if (!sound) {
    return absl::InvalidArgumentError(
        absl::StrCat(Printable(path),
                     " has not 64 hexadecimal digits: make one with `openssl rand -hex 32` and copy it to "
                     "each host that may lead"));
  }
  const std::string bytes = absl::HexStringToBytes(digits);
  std::copy(bytes.begin(), bytes.end(), secret.begin());
  return Sealer(secret);
}

std::string Sealer::Seal(absl::string_view name, absl::string_view text) const {
  std::string sealed(kForm.size() + kNonceBytes + text.size() + kTagBytes, '\0');
  kForm.copy(sealed.data(), kForm.size());
  auto* const nonce = reinterpret_cast<unsigned char*>(sealed.data()) + kForm.size();
  auto* const body = nonce + kNonceBytes;
  HEARTH_CHECK(RAND_bytes(nonce, kNonceBytes) == 1);
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int written = 0;
  HEARTH_CHECK(EVP_EncryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, sealing_key_.data(), nonce) == 1);
  HEARTH_CHECK(EVP_EncryptUpdate(cipher.get(), nullptr, &written, Bytes(name), Size(name)) == 1);
  HEARTH_CHECK(EVP_EncryptUpdate(cipher.get(), body, &written, Bytes(text), Size(text)) == 1);
  HEARTH_CHECK(EVP_EncryptFinal_ex(cipher.get(), body + text.size(), &written) == 1);
  HEARTH_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_GET_TAG, kTagBytes, body + text.size()) == 1);
  return sealed;
}

absl::StatusOr<std::string> Sealer::Open(absl::string_view name, absl::string_view sealed) const {
  const absl::Status refused = absl::FailedPreconditionError(absl::StrCat(
      Printable(name),
      " was sealed with another --state-store-secret, or changed by somebody: give all hosts the same "
      "file, or choose another prefix to begin anew"));
  if (!absl::StartsWith(sealed, kForm) || sealed.size() < kForm.size() + kNonceBytes + kTagBytes)
    return refused;
  const absl::string_view nonce = sealed.substr(kForm.size(), kNonceBytes);
  const absl::string_view body =
      sealed.substr(kForm.size() + kNonceBytes, sealed.size() - kForm.size() - kNonceBytes - kTagBytes);
  std::string tag(sealed.substr(sealed.size() - kTagBytes));
  std::string text(body.size(), '\0');
  auto* const out = reinterpret_cast<unsigned char*>(text.data());
  const Cipher cipher(EVP_CIPHER_CTX_new());
  int written = 0;
  HEARTH_CHECK(
      EVP_DecryptInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, sealing_key_.data(), Bytes(nonce)) == 1);
  HEARTH_CHECK(EVP_DecryptUpdate(cipher.get(), nullptr, &written, Bytes(name), Size(name)) == 1);
  HEARTH_CHECK(EVP_DecryptUpdate(cipher.get(), out, &written, Bytes(body), Size(body)) == 1);
  HEARTH_CHECK(EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_GCM_SET_TAG, kTagBytes, tag.data()) == 1);
  if (EVP_DecryptFinal_ex(cipher.get(), out + body.size(), &written) != 1) return refused;
  return text;
}

std::string Sealer::Pseudonym(absl::string_view text) const {
  const Secret hash = Hmac(naming_key_, text);
  return absl::BytesToHexString({reinterpret_cast<const char*>(hash.data()), 16});
}

}  // namespace hearth
