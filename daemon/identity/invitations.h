#ifndef HEARTH_DAEMON_IDENTITY_INVITATIONS_H_
#define HEARTH_DAEMON_IDENTITY_INVITATIONS_H_

#include <deque>
#include <optional>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/identity/host_id.h"
#include "daemon/identity/join_code.h"

namespace hearth {

// The secrets that a coordinator has given out, as their hashes: each admits one key until it expires. Pure:
// time is an argument. Not thread-safe.
class Invitations {
 public:
  static constexpr size_t kMost = 256;  // the oldest make room

  void Add(const JoinSecret& secret, absl::Time expires);
  // A host with this key shows a secret. The same key may do so again, in case the answer was lost.
  // PERMISSION_DENIED with one line: unknown, expired, or used by another.
  absl::Status Claim(const JoinSecret& secret, const HostId& key, absl::Time now);
  // What this key has claimed admits nobody any more, itself neither.
  void Forget(const HostId& key);

 private:
  struct Invitation {
    Sha256Digest hash;
    absl::Time expires;
    std::optional<HostId> claimed_by;
  };

  std::deque<Invitation> invitations_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_INVITATIONS_H_
