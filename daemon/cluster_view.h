#ifndef HEARTH_DAEMON_CLUSTER_VIEW_H_
#define HEARTH_DAEMON_CLUSTER_VIEW_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "engine/disk/disk_counters.h"
#include "engine/spec/model_figures.h"
#include "placement/objective.h"

namespace hearth {

// What the cluster half of the daemon shows of itself: the hosts, what they measured, and who holds what. The
// serving half turns it into the messages of proto/hearth/v1/cluster.proto, whose fields carry the same names
// and meanings.

enum class HostState { kJoining, kAlive, kLost };

struct DeviceView {
  std::string name;  // unique on its host
  std::string kind;  // "cpu", "gpu", "emulated-gpu" or "disk"
  uint64_t memory_budget_bytes = 0;
  uint64_t memory_used_bytes = 0;
  uint32_t threads = 0;  // 0 for a GPU
  double read_bytes_per_second = 0;
  double operations_per_second = 0;  // a multiply-add is two
};

struct HostView {
  std::string name;     // unique in the cluster
  std::string address;  // of the tensor channel, HOST:PORT; empty where it has none
  HostState state = HostState::kJoining;
  bool coordinator = false;
  std::string detail;         // why it is in this state, in words
  uint64_t last_sync_ms = 0;  // time since its last sync; 0 for the coordinator
  uint32_t losses = 0;        // how often it was lost since the coordinator started
  uint32_t cores = 0;
  uint64_t memory_bytes = 0;
  uint64_t memory_free_bytes = 0;
  std::string version;
  int64_t clock_unix_ms = 0;           // what its clock says now; 0: it has not told
  uint64_t weights_fetched_bytes = 0;  // since its daemon started
  uint64_t groups_from_cache = 0;      // neuron groups whose weights its own cache held
  std::vector<DeviceView> devices;
};

struct LinkView {
  std::string from;
  std::string to;
  double round_trip_us = 0;
  double bytes_per_second = 0;
};

// Weights on their way to a worker.
struct TransferView {
  std::string host;
  std::string model;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  std::string detail;
};

// What one device holds of a model and what it has computed since the plan came into use. Vectors: one entry
// per layer.
struct DeviceShareView {
  std::string host;
  std::string device;
  uint64_t weight_bytes = 0;
  std::vector<uint64_t> neurons;  // held
  uint64_t head_groups = 0;
  uint64_t output_runs = 0;
  std::vector<uint64_t> neurons_computed;  // summed over tokens
  std::vector<uint64_t> neurons_offered;   // held, summed over tokens
  uint64_t bytes_touched = 0;
  uint64_t round_trips = 0;
  uint64_t wait_us = 0;
  DiskCounters disk = {};
};

// hearth.v1.FiringStatus as a struct.
struct FiringView {
  uint64_t rows = 0;
  double firing_share = 0;
  double hot_share_expected = 0;
  double hot_share_seen = 0;
};

struct PlanView {
  std::string model;
  uint64_t epoch = 0;
  bool active = false;  // every device holds its shards and the plan is in use
  double expected_token_ms = 0;
  double measured_token_ms = 0;  // the median of single tokens; 0 while there are too few
  std::string explanation;       // in words, several lines
  uint32_t layers = 0;
  std::vector<DeviceShareView> shares;
  std::optional<FiringView> firing;  // of what is counted
  placement::Objective objective;
  double expected_tokens_per_second = 0;  // of steps for it
  double measured_tokens_per_second = 0;  // 0 while there are too few
};

// hearth.v1.AwayHost as a struct.
struct AwayHostView {
  std::string name;
  std::vector<std::string> macs;
  std::optional<bool> wakes;
  absl::Time woken = absl::InfinitePast();
};

struct ClusterSnapshot {
  std::vector<HostView> hosts;  // the coordinator first, then by name
  std::vector<LinkView> links;
  std::vector<TransferView> transfers;
  std::vector<PlanView> plans;  // one per loaded model that has one
  std::vector<AwayHostView> away;
};

// hearth.v1.ExpectedPlan as a struct.
struct ExpectedPlan {
  double tokens_per_second = 0;
  uint64_t weight_bytes = 0;
  uint32_t context_length = 0;
  std::vector<std::string> hosts = {};
  bool others_give_way = false;
};

// Thread-safe.
class ClusterView {
 public:
  virtual ~ClusterView() = default;

  // The cluster as it is now. Cheap enough to be called a few times per second; never waits for the network.
  virtual ClusterSnapshot Snapshot() const = 0;
  // What is to be expected of a model of these figures. Takes as long as a plan. The errors of
  // hearth.v1.Cluster.Expect; where no plans are made UNIMPLEMENTED.
  virtual absl::StatusOr<ExpectedPlan> Expect(const ModelFigures& /*figures*/) const {
    return absl::UnimplementedError("the coordinator makes plans");
  }
  // Called (from any thread, quickly, without locks held) when a later Snapshot would differ in more than
  // counters and ages. An empty listener removes it; when SetListener returns the old one runs no more.
  virtual void SetListener(std::function<void()> listener) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_VIEW_H_
