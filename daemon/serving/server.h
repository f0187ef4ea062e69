#ifndef HEARTH_DAEMON_SERVING_SERVER_H_
#define HEARTH_DAEMON_SERVING_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "daemon/cluster_view.h"
#include "daemon/coordinator_addresses.h"
#include "daemon/host_control.h"
#include "daemon/identity/home.h"
#include "daemon/model_host.h"
#include "daemon/scheduling/models_on_demand.h"
#include "daemon/scheduling/scheduler.h"
#include "daemon/state/kept_requests.h"
#include "daemon/state/state_store.h"

namespace grpc {
class Channel;
class ServerBuilder;
}  // namespace grpc
namespace prometheus {
class Collectable;
}  // namespace prometheus

namespace hearth {

struct ServerOptions {
  std::string listen = "127.0.0.1:7770";  // HOST:PORT; port 0 takes any free one
  bool limits_callers = false;            // other machines reach this port: those who call too often wait
  SchedulerOptions scheduler;
  // Where requests with an id outlive the server, which it outlives; null: nowhere.
  StateStore* state = nullptr;
  KeptRequestsLimits kept;
  // Of a coordinator that others may follow: whether it still leads. Where not it gives no tokens. Asked
  // before each message; empty: always.
  std::function<bool()> leads;
  bool may_lead = false;           // of a worker: it may be the next coordinator
  OnDemandOptions on_demand;       // of a coordinator
  HostControl* control = nullptr;  // of a coordinator, whose server it outlives; null: nobody listens
  std::string host;                // of this daemon: what a worker says who passes calls on
  // Adds further services; called for each port, before it opens.
  std::function<void(grpc::ServerBuilder&)> register_services;
};

// hearthd's gRPC port: the public API, Health v1 and reflection. On a coordinator the services answer
// themselves, on a worker calls go on to its coordinator.
class Server {
 public:
  // A coordinator's. `models` and `cluster` outlive the server. UNAVAILABLE when the port cannot be had.
  static absl::StatusOr<std::unique_ptr<Server>> Start(const ServerOptions& options, ModelHost& models,
                                                       ClusterView& cluster);
  // A worker's.
  static absl::StatusOr<std::unique_ptr<Server>> StartForwarding(const ServerOptions& options,
                                                                 const CoordinatorAddresses& coordinator,
                                                                 const LiveKey& key = {});
  // Shuts down at once.
  virtual ~Server() = default;

  // Opens a second port, for those who belong to `home`, which outlives the server: hosts, clients and
  // admins, each with what its role may call; see encrypted_port.h. Returns HOST:PORT with the real port.
  // Once, and a coordinator's only. UNAVAILABLE when the port cannot be had.
  virtual absl::StatusOr<std::string> OpenEncryptedPort(const std::string& listen, const Home& home) = 0;
  // Ends all calls of somebody who was removed from the home.
  virtual void EndCallsOf(const HostId& id) = 0;

  // HOST:PORT with the port that is really in use.
  virtual const std::string& address() const = 0;
  // To the same services within this process, without a network. Calls are to end before the server does.
  virtual std::shared_ptr<grpc::Channel> InProcessChannel() = 0;
  // Figures of requests and of the cluster for /metrics; not to be asked after the server's end. A worker's
  // are its coordinator's to tell.
  virtual std::vector<std::shared_ptr<prometheus::Collectable>> Metrics() = 0;
  // Ends all generations with UNAVAILABLE, as well as those to come.
  virtual void EndGenerations() = 0;
  // Takes no more calls, ends generations and, after `grace`, the other calls.
  virtual void Shutdown(absl::Duration grace) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_SERVING_SERVER_H_
