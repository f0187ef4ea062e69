#ifndef HEARTH_DAEMON_CLUSTER_NODE_H_
#define HEARTH_DAEMON_CLUSTER_NODE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/cluster_view.h"
#include "daemon/model_host.h"
#include "daemon/planning/device_option.h"
#include "engine/kernel/attention.h"
#include "engine/neuron/ffn_spec.h"

namespace grpc {
class ServerBuilder;
}

namespace hearth {

// What the cluster half of the daemon needs to know.
struct NodeOptions {
  std::string name;                           // of this host, unique in the cluster
  std::string state_dir;                      // exists and is writable; the node keeps its cache in it
  std::string join;                           // HOST:PORT of the coordinator; empty: this host is it
  std::string tensor_listen = "127.0.0.1:0";  // HOST:PORT of a worker's tensor channel
  std::string version;                        // of this daemon

  std::vector<DeviceOption> devices;  // empty: one CPU device with all cores
  uint32_t threads = 0;               // of all CPU devices together; 0: one per core
  uint64_t cache_bytes = 0;  // most bytes of fetched weights kept on disk; 0: half of what the disk has free

  // How models are loaded; of no meaning for a worker.
  uint32_t context_length = 4096;  // positions per sequence, at most what the model was made for
  uint32_t slots = 8;              // sequences at the same time
  uint32_t max_rows = 512;         // rows of one step
  KvType kv_type = KvType::kF16;
  std::optional<SparsityMode> sparsity;  // nullopt: the best that the file allows
  bool use_every_host = false;           // gives every host a share even where that is slower
};

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
  // Ends all streams with workers (so that a gRPC server shutdown does not wait for them) and all threads.
  // Models stay valid until destruction, but their steps fail with UNAVAILABLE. Idempotent.
  virtual void Stop() = 0;

  // Null on a worker.
  virtual ModelHost* model_host() = 0;
  // On a worker it shows this host alone.
  virtual ClusterView& cluster_view() = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_NODE_H_
