#ifndef HEARTH_DAEMON_IDENTITY_HOST_ID_H_
#define HEARTH_DAEMON_IDENTITY_HOST_ID_H_

#include <compare>
#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/sha256.h"

namespace hearth {

// What a host, or whoever else has a key, is told apart by, whatever it is called: the SHA-256 of its public
// key. People see it as base32 in eight groups of seven, each pair of groups with a check digit at its end,
// so that a typing error is found and told where.
class HostId {
 public:
  using Digest = Sha256Digest;

  HostId() = default;  // nobody's
  explicit HostId(const Digest& digest) : digest_(digest) {}

  // All of it, "ABCDEFG-...", and the first group, by which the hosts of a home can be told apart.
  std::string Text() const;
  std::string Short() const { return Text().substr(0, 7); }
  const Digest& digest() const { return digest_; }

  auto operator<=>(const HostId&) const = default;

 private:
  Digest digest_{};
};

// Reads the long form as a person may write it (see NormalBase32). INVALID_ARGUMENT says what is missing, or
// which groups hold the error.
absl::StatusOr<HostId> ParseHostId(absl::string_view text);

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_HOST_ID_H_
