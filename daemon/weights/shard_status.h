#ifndef HEARTH_DAEMON_WEIGHTS_SHARD_STATUS_H_
#define HEARTH_DAEMON_WEIGHTS_SHARD_STATUS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "engine/device/device.h"

namespace hearth {

enum class ShardPhase { kFetching, kLoading, kReady, kFailed };

// What a device has computed for a shard.
struct DeviceWork {
  std::string device;
  std::vector<uint64_t> neurons_computed;  // per layer
  std::vector<uint64_t> neurons_offered;
  uint64_t bytes_touched = 0;
  uint64_t single_row_bytes = 0;  // DeviceCounters
  uint64_t single_row_ns = 0;
  std::vector<LayerFiring> firing;  // from time to time only: empty leaves what was said before
};

// How far a worker is with a shard that is wanted of it.
struct ShardStatus {
  uint64_t epoch = 0;
  std::string model;  // name
  ShardPhase phase = ShardPhase::kFetching;
  std::string detail;
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  uint64_t short_bytes = 0;  // kFailed for want of memory: how much more it takes; else 0
  std::vector<DeviceWork> devices;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SHARD_STATUS_H_
