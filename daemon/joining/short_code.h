#ifndef HEARTH_DAEMON_JOINING_SHORT_CODE_H_
#define HEARTH_DAEMON_JOINING_SHORT_CODE_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "daemon/identity/host_id.h"
#include "engine/base/sha256.h"

namespace hearth {

// The six digits by which a person sees that a new host and a coordinator speak to each other, and not both
// to somebody between them: a hash of a nonce of each side, the home's authority and the host's signing
// request. The host commits to its part before it learns the coordinator's, so whoever stands between has
// chosen its own by then and has one guess in a million for each try. The person types them at the
// coordinator: that shows it who the host is, and the host nothing, unless the coordinator's lack of such a
// host makes the person stop it. Pure but for MakeJoinNonce.

using JoinNonce = std::array<uint8_t, 32>;
JoinNonce MakeJoinNonce();

// What a host commits to.
struct JoinReveal {
  JoinNonce nonce{};
  std::string signing_request_pem;
};
Sha256Digest CommitmentTo(const JoinReveal& reveal);

// Six digits.
std::string ShortCodeOf(const JoinReveal& host, const JoinNonce& coordinator, const HostId& authority);

// As people see it: "123 456".
std::string ShownCode(absl::string_view code);
// The six digits of a code as a person may write it, with blanks and dashes. nullopt where there are others.
std::optional<std::string> ReadShortCode(absl::string_view text);

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_SHORT_CODE_H_
