#ifndef HEARTH_DAEMON_MEMBERSHIP_KNOWN_HOST_H_
#define HEARTH_DAEMON_MEMBERSHIP_KNOWN_HOST_H_

#include <string>

#include "absl/status/statusor.h"
#include "daemon/membership/worker_report.h"
#include "placement/cluster.h"

namespace hearth {

// A host as it was when it last joined: what it takes to wake it, and to know what it would be good for.
struct KnownHost {
  WorkerReport report;   // under its name in the cluster; without shards and counters
  placement::Link link;  // measured
};

// As it is kept (hearth.v1.StoredHost).
std::string ToStored(const KnownHost& host);
// DATA_LOSS for what is no such host: one with a name, an id, a network card, and figures that can be.
absl::StatusOr<KnownHost> FromStored(const std::string& content);

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_KNOWN_HOST_H_
