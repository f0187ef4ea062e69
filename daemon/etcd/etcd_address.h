#ifndef HEARTH_DAEMON_ETCD_ETCD_ADDRESS_H_
#define HEARTH_DAEMON_ETCD_ETCD_ADDRESS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace hearth {

// Where state is kept: etcd's members, and what all keys of one home begin with.
struct EtcdAddress {
  std::vector<std::string> endpoints;  // HOST:PORT each, at least one
  std::string prefix;                  // ends with '/'
};

// Reads etcd://HOST:PORT[,HOST:PORT...][/PREFIX]; the prefix is "hearth" where there is none.
// INVALID_ARGUMENT says in one line what is wrong.
absl::StatusOr<EtcdAddress> ParseEtcdAddress(absl::string_view text);

}  // namespace hearth

#endif  // HEARTH_DAEMON_ETCD_ETCD_ADDRESS_H_
