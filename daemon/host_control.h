#ifndef HEARTH_DAEMON_HOST_CONTROL_H_
#define HEARTH_DAEMON_HOST_CONTROL_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/cluster_view.h"
#include "daemon/identity/host_id.h"

namespace hearth {

// Hosts that were sent magic packets, and the broadcast addresses to which these went.
struct WokenHosts {
  std::vector<AwayHostView> hosts;
  std::vector<std::string> broadcasts;
};

// Who lets hosts pause and wakes them: the border between the halves of the daemon, like ModelHost.
// Thread-safe.
class HostControl {
 public:
  virtual ~HostControl() = default;

  // The host gives its share to the others, without a stream's end, and takes none until `until`
  // (InfiniteFuture: until it is resumed). `caller`: the id of the certificate that the caller has shown, if
  // any: a host pauses and resumes none but itself (PERMISSION_DENIED). The coordinator
  // leads on, and keeps its share where the others cannot hold it. NOT_FOUND for a host that is not there
  // lists the names; UNAVAILABLE where it cannot be written down.
  virtual absl::Status Pause(const std::string& host, absl::Time until,
                             const std::optional<HostId>& caller) = 0;
  // The same; FAILED_PRECONDITION where the host is not paused.
  virtual absl::Status Resume(const std::string& host, const std::optional<HostId>& caller) = 0;

  // Wakes a host that is away; an empty name: each of them that can be woken. The errors of
  // hearth.v1.Cluster.Wake.
  virtual absl::StatusOr<WokenHosts> Wake(const std::string& host) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_HOST_CONTROL_H_
