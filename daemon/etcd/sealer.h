#ifndef HEARTH_DAEMON_ETCD_SEALER_H_
#define HEARTH_DAEMON_ETCD_SEALER_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hearth {

// Encrypts what hosts leave where others can read, with a secret that they have in a file each: AES-256-GCM,
// a random nonce each time. A text belongs to its name: under another one it does not open. A value.
class Sealer {
 public:
  using Secret = std::array<uint8_t, 32>;

  explicit Sealer(const Secret& secret);
  // The file has 64 hexadecimal digits and is nobody else's to read. NOT_FOUND, INVALID_ARGUMENT or
  // PERMISSION_DENIED say in one line what is wrong.
  static absl::StatusOr<Sealer> FromFile(const std::string& path);

  std::string Seal(absl::string_view name, absl::string_view text) const;
  // FAILED_PRECONDITION for what was not sealed with this secret and name.
  absl::StatusOr<std::string> Open(absl::string_view name, absl::string_view sealed) const;
  // 32 digits that stand for a text, and do not show it to those without the secret.
  std::string Pseudonym(absl::string_view text) const;

 private:
  Secret sealing_key_;
  Secret naming_key_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_ETCD_SEALER_H_
