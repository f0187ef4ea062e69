#ifndef HEARTH_DAEMON_CLUSTER_WORKER_REPORT_H_
#define HEARTH_DAEMON_CLUSTER_WORKER_REPORT_H_

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/cluster/bundle_store.h"
#include "daemon/cluster/capacity.h"
#include "daemon/cluster/shard_description.h"
#include "daemon/cluster/tensor_server.h"

namespace hearth {

enum class ShardPhase { kFetching, kLoading, kReady, kFailed };

// What a device has computed for a shard.
struct DeviceWork {
  std::string device;
  std::vector<uint64_t> neurons_computed;  // per layer
  std::vector<uint64_t> neurons_offered;
  uint64_t bytes_touched = 0;
};

struct ShardStatus {
  uint64_t epoch = 0;
  std::string model;  // name
  ShardPhase phase = ShardPhase::kFetching;
  std::string detail;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  std::vector<DeviceWork> devices;
};

// hearth.v1.WorkerState as a struct.
struct WorkerReport {
  std::string host;
  std::string version;
  std::string tensor_address;
  HostCapacity capacity;
  uint64_t revision = 0;
  std::vector<ShardStatus> shards;
  BundleStoreCounters store;
};

// hearth.v1.DesiredState as a struct.
struct DesiredShards {
  uint64_t revision = 0;
  bool unchanged = false;
  uint32_t sync_interval_ms = 0;
  uint32_t lost_after_ms = 0;
  SessionToken token{};
  std::vector<ShardDescription> shards;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_WORKER_REPORT_H_
