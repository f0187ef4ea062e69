#ifndef HEARTH_DAEMON_IDENTITY_KEPT_HOSTS_H_
#define HEARTH_DAEMON_IDENTITY_KEPT_HOSTS_H_

#include <map>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace hearth {

// Where a coordinator keeps which hosts of its home it can wake. Thread-safe; calls block. Errors: see
// StateStore.
class KeptHosts {
 public:
  virtual ~KeptHosts() = default;

  // What was put, by the hosts' ids.
  virtual absl::StatusOr<std::map<std::string, std::string>> Hosts() = 0;
  virtual absl::Status PutHost(const std::string& id, const std::string& content) = 0;
  virtual absl::Status RemoveHost(const std::string& id) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_IDENTITY_KEPT_HOSTS_H_
