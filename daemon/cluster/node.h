#ifndef HEARTH_DAEMON_CLUSTER_NODE_H_
#define HEARTH_DAEMON_CLUSTER_NODE_H_

#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/cluster_view.h"
#include "daemon/host_control.h"
#include "daemon/identity/host_id.h"
#include "daemon/model_host.h"
#include "daemon/node_options.h"

namespace grpc {
class ServerBuilder;
}

namespace hearth {

// The cluster half of a daemon: the coordinator, which keeps the members, plans and models, or a worker,
// which holds shards for a coordinator elsewhere. Life: Create, RegisterServices, (the gRPC server starts),
// Start, ..., Stop, (the gRPC server shuts down). The accessors may be called from any thread at any time
// between Create and destruction.
class Node {
 public:
  // Measures what this host can do (about a second). INVALID_ARGUMENT for options that cannot be, UNAVAILABLE
  // when the tensor port cannot be opened, each with a line for the user.
  static absl::StatusOr<std::unique_ptr<Node>> Create(const NodeOptions& options);
  virtual ~Node() = default;

  // Adds this node's gRPC services (a coordinator's; a worker has none). Before Start.
  virtual void RegisterServices(grpc::ServerBuilder& builder) = 0;
  // Starts the threads: from now on members are watched, models load, a worker calls its coordinator.
  virtual void Start() = 0;
  // After Start: waits until a worker has called its coordinator for the first time, some seconds at most.
  // The coordinator's words when it refuses this host for good; OK when it takes it or cannot be reached yet.
  virtual absl::Status AwaitAccepted() = 0;
  // The same words where the coordinator came later and refused this host then, which ought to end it.
  virtual absl::Status Refusal() const = 0;
  // Ends all streams with workers (so that a gRPC server shutdown does not wait for them) and all threads.
  // Models stay valid until destruction, but their steps fail with UNAVAILABLE. Idempotent.
  virtual void Stop() = 0;

  // Somebody was removed from the coordinator's home: if it is a host it is lost at once.
  virtual void Forget(const HostId& id) = 0;

  // Null on a worker.
  virtual ModelHost* model_host() = 0;
  // Null on a worker.
  virtual HostControl* host_control() = 0;
  // On a worker it shows this host alone.
  virtual ClusterView& cluster_view() = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_NODE_H_
