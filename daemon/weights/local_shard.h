#ifndef HEARTH_DAEMON_WEIGHTS_LOCAL_SHARD_H_
#define HEARTH_DAEMON_WEIGHTS_LOCAL_SHARD_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/capacity/capacity.h"
#include "daemon/weights/shard_description.h"
#include "daemon/weights/shard_device.h"
#include "engine/base/mutex.h"
#include "engine/base/thread_pool.h"
#include "engine/neuron/ffn_device.h"
#include "engine/neuron/group_weights.h"

namespace hearth {

// The threads of a host's devices, used by all shards that it holds.
class HostDevices {
 public:
  // The first device computes on `first_pool` where one is given (a leader's, which is idle while FFNs run),
  // else on a pool of its own, as the others do. `first_pool` outlives this.
  explicit HostDevices(std::vector<HostDeviceSpec> specs, ThreadPool* first_pool = nullptr);

  const std::vector<HostDeviceSpec>& specs() const { return specs_; }
  ThreadPool& pool(size_t device) { return *pools_[device]; }
  // Held while a shard computes, where several may be asked at once (a worker).
  Mutex& compute_mutex() { return compute_mutex_; }

 private:
  const std::vector<HostDeviceSpec> specs_;
  std::vector<std::unique_ptr<ThreadPool>> own_pools_;
  std::vector<ThreadPool*> pools_;
  Mutex compute_mutex_;
};

// What a host holds of a model under one plan: its devices with their weights. Made in three steps, by one
// thread: the constructor, Adopt, Load; immutable afterwards, except that its devices compute.
class LocalShard {
 public:
  // The weights of shard.shares[share].groups[group].
  using WeightSource =
      std::function<absl::StatusOr<GroupWeights>(const ShardLayer& share, const PlacedGroup& group)>;
  // Called after each layer of a device with the bytes of bundles loaded by then; an error ends Load.
  using Progress = std::function<absl::Status(uint64_t bytes_loaded)>;

  // `devices` outlives this.
  LocalShard(ShardDescription description, HostDevices& devices);
  ~LocalShard();

  // INVALID_ARGUMENT when a group is on a device that the host does not have, RESOURCE_EXHAUSTED when a
  // device would hold more than its budget.
  absl::Status Check() const;
  // Takes over what `former`, a shard of the same host, holds of the same groups.
  void Adopt(const LocalShard& former);
  // The groups that Load is still to load; borrowed.
  std::vector<const PlacedGroup*> missing() const;
  // Loads the groups that are still missing, layer by layer. `pool` is for loading: the devices may compute
  // for other shards meanwhile.
  absl::Status Load(const WeightSource& source, ThreadPool& pool, const Progress& progress);

  const ShardDescription& description() const { return description_; }
  // The devices that hold something, the one that computes on the caller's thread first. Borrowed.
  const std::vector<FfnDevice*>& devices() const { return used_; }
  // The same as they are named; counters of any thread.
  const std::vector<ShardDevice*>& shard_devices() const { return shard_devices_; }

  // Computes a layer, (rows, output_values) sums. Several threads may call it, for several shards of one
  // HostDevices.
  absl::Status Run(const FfnRequest& request, absl::Span<int64_t> sums);

 private:
  size_t DeviceIndex(const std::string& name) const;  // specs().size(): none
  bool Holds(size_t device, uint32_t layer, const NeuronGroup& group) const;
  absl::Status LoadLayer(const ShardLayer& share, size_t device, const WeightSource& source, ThreadPool& pool,
                         uint64_t& bytes_loaded);

  const ShardDescription description_;
  HostDevices& host_;
  std::vector<ShardDevice*> shard_devices_;        // one per device of the host; owned below
  std::vector<std::unique_ptr<FfnDevice>> owned_;  // the devices, all but the first inside an AsyncDevice
  std::vector<FfnDevice*> used_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_LOCAL_SHARD_H_
