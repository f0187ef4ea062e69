#ifndef HEARTH_DAEMON_JOINING_RENEWAL_H_
#define HEARTH_DAEMON_JOINING_RENEWAL_H_

#include <functional>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "daemon/identity/live_key.h"

namespace hearth {

// When a certificate is renewed: as soon as IsRenewalDue, and where that fails again and again, after pauses
// that become longer. Pure but for the log. Not thread-safe.
class Renewal {
 public:
  static constexpr absl::Duration kFirstPause = absl::Minutes(1);
  static constexpr absl::Duration kLongestPause = absl::Hours(6);

  // `renew` puts the new certificate into `key`.
  Renewal(LiveKey key, std::function<absl::Status(absl::Time now)> renew)
      : key_(std::move(key)), renew_(std::move(renew)) {}

  // To be called now and then.
  void Look(absl::Time now);

 private:
  const LiveKey key_;
  const std::function<absl::Status(absl::Time)> renew_;
  absl::Time tried_ = absl::InfinitePast();  // the last time
  absl::Duration pause_;                     // after it
};

// Asks the coordinator at HOST:PORT, with the certificate of `key`, for the next one; `save` keeps it before
// it is in use. Errors are the coordinator's or `save`'s; UNAVAILABLE where the coordinator is away,
// FAILED_PRECONDITION where the two clocks do not agree. `key` is unchanged then.
absl::Status RenewAtCoordinator(const std::string& coordinator, const LiveKey& key,
                                const std::function<absl::Status(const ConnectionKey&)>& save,
                                absl::Time now);

}  // namespace hearth

#endif  // HEARTH_DAEMON_JOINING_RENEWAL_H_
