#ifndef HEARTH_DAEMON_MEMBERSHIP_HOST_IDENTITY_H_
#define HEARTH_DAEMON_MEMBERSHIP_HOST_IDENTITY_H_

#include <string>

#include "absl/status/statusor.h"

namespace hearth {

// What a daemon is told apart by, whatever it is called.
struct HostIdentity {
  std::string id;       // of the host's key (HostId), which is kept in the state directory
  std::string machine;  // the running machine: the same for all its daemons, another after it has booted
  std::string home;     // of the machine's state directories: a copy of one has the same id and another home

  bool operator==(const HostIdentity&) const = default;
};

// The identity of the daemon that has this state directory; makes its key where there is none. Errors: those
// of IdentityFiles; UNAVAILABLE when the directory cannot be read.
absl::StatusOr<HostIdentity> ReadHostIdentity(const std::string& state_dir);

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_HOST_IDENTITY_H_
