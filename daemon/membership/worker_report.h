#ifndef HEARTH_DAEMON_MEMBERSHIP_WORKER_REPORT_H_
#define HEARTH_DAEMON_MEMBERSHIP_WORKER_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/capacity/capacity.h"
#include "daemon/membership/host_identity.h"
#include "daemon/network_card.h"
#include "daemon/term.h"
#include "daemon/weights/bundle_store.h"
#include "daemon/weights/session_token.h"
#include "daemon/weights/shard_description.h"
#include "daemon/weights/shard_status.h"

namespace hearth {

// hearth.v1.WorkerState as a struct.
struct WorkerReport {
  std::string host;
  std::string version;
  std::string tensor_address;
  HostCapacity capacity;
  uint64_t revision = 0;
  std::vector<ShardStatus> shards;
  BundleStoreCounters store;
  HostIdentity identity;
  std::string problem;
  int64_t clock_unix_ms = 0;
  std::vector<NetworkCard> network_cards = {};  // at most kMostNetworkCards
};

// hearth.v1.DesiredState as a struct.
struct DesiredShards {
  uint64_t revision = 0;
  bool unchanged = false;
  uint32_t sync_interval_ms = 0;
  uint32_t lost_after_ms = 0;
  SessionToken token{};
  std::vector<ShardDescription> shards;
  std::vector<std::string> coordinators = {};  // said each time, unchanged or not, ...
  Term term = {};                              // ... and this
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_WORKER_REPORT_H_
