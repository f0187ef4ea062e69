#ifndef HEARTH_DAEMON_STANDBY_STANDBY_ROLE_H_
#define HEARTH_DAEMON_STANDBY_STANDBY_ROLE_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/statusor.h"
#include "daemon/coordinator_addresses.h"
#include "daemon/etcd/sealer.h"
#include "daemon/identity/live_key.h"
#include "proto/hearth/v1/standby.pb.h"
#include "proto/hearth/v1/stored.pb.h"

namespace hearth {

// What a daemon does beside its work so that its home outlives its coordinator, where hosts share no store. A
// coordinator gives standbys the state of the home, tells workers of them, and gives way to one that has
// taken the lead meanwhile. A worker that is a standby keeps that state, and takes the lead when it is told
// to. Thread-safe.
class StandbyRole {
 public:
  using Promoted = std::function<void(absl::StatusOr<v1::PromoteResponse>)>;

  virtual ~StandbyRole() = default;

  // Whether it leads; a coordinator that does not any more gives no tokens.
  virtual bool Leads() const = 0;
  // Whether the daemon is to become something else: what, the file of its succession says.
  virtual bool IsOver() const = 0;
  // Where this host is reached as a coordinator, now or once it is one.
  virtual void Stand(const v1::Leader& place) = 0;
  // What workers are told.
  virtual PlacesToLead Places() const = 0;

  // ---- The calls of standby.proto.

  virtual v1::Lead WhoLeads(const v1::WhoLeadsRequest& request) = 0;
  virtual absl::StatusOr<v1::SealedHomeState> HomeState(const v1::HomeStateRequest& request) = 0;
  // Calls `promoted` from another thread, some seconds later, or at once with an error.
  virtual void Promote(bool force, Promoted promoted) = 0;
};

struct StandbyOptions {
  std::string host;  // this one's name
  std::string state_dir;
  std::optional<Sealer> sealer;  // nullopt: it is no standby, or has none
  LiveKey key;                   // with which it calls others; empty: plain
  // Where this host would open the file that the home knows under a path.
  std::function<std::string(const std::string& path)> find_model = [](const std::string& path) {
    return path;
  };
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_STANDBY_STANDBY_ROLE_H_
