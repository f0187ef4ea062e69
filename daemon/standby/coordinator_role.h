#ifndef HEARTH_DAEMON_STANDBY_COORDINATOR_ROLE_H_
#define HEARTH_DAEMON_STANDBY_COORDINATOR_ROLE_H_

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "daemon/model_host.h"
#include "daemon/standby/standby_role.h"
#include "proto/connection_key.h"
#include "proto/hearth/v1/standby.pb.h"
#include "proto/hearth/v1/stored.pb.h"

namespace hearth {

// The role of who leads in the term of `succession`. `models`: those that it has now. A thread asks the
// standbys that it knows whether one of them has taken the lead, and tells them that it leads; who asks it
// and leads as well is asked in its turn.
std::unique_ptr<StandbyRole> MakeCoordinatorRole(StandbyOptions options, v1::Succession succession,
                                                 std::function<std::vector<ModelInfo>()> models);

// What has become of a succession by which this host leads, where one of its standbys does by now; nullopt:
// none does, as far as they can be reached. Takes `patience` at most twice. `request`: says where
// this host is reached, if it leads by now.
std::optional<v1::Succession> FindSuccessor(const v1::Succession& succession, const std::string& host,
                                            const ConnectionKey& key, absl::Duration patience,
                                            const v1::WhoLeadsRequest& request = {});

}  // namespace hearth

#endif  // HEARTH_DAEMON_STANDBY_COORDINATOR_ROLE_H_
