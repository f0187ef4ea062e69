#ifndef HEARTH_DAEMON_CLUSTER_LOSS_BACKOFF_H_
#define HEARTH_DAEMON_CLUSTER_LOSS_BACKOFF_H_

#include <map>
#include <string>

#include "absl/time/time.h"

namespace hearth {

// Leaves hosts out of plans that are lost in the middle of a step again and again, for example because they
// answer syncs and never a request: each loss costs every stream the time until it is noticed. The first loss
// is forgiven; after that a host sits out 2 s, 4 s, 8 s, ... up to 5 minutes. Ten minutes without a loss
// clear its record. Pure: time is passed in. Not thread-safe.
class LossBackoff {
 public:
  // The host was lost at `now`.
  void NoteLoss(const std::string& host, absl::Time now);
  // From when on the host may be in plans: a time in the past for most.
  absl::Time UsableFrom(const std::string& host) const;

 private:
  struct Record {
    int losses = 0;
    absl::Time last;
    absl::Time usable_from = absl::InfinitePast();
  };
  std::map<std::string, Record> records_;  // by host; as many as membership admits
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_LOSS_BACKOFF_H_
