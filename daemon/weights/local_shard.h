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
#include "daemon/weights/shard_description.h"
#include "engine/base/thread_pool.h"
#include "engine/device/device_set.h"
#include "engine/device/host_share.h"
#include "engine/neuron/group_weights.h"

namespace hearth {

// Groups of a layer with what a device makes of them.
struct ShardPiece : FfnPiece {
  std::vector<NeuronGroup> neuron_groups;
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
  const std::vector<Device*>& devices() const { return used_; }
  // The same as they are named; counters of any thread.
  const std::vector<CpuDevice*>& shard_devices() const { return shard_devices_; }

  // Computes a layer, (rows, output_values) sums. Several threads may call it, for several shards of one
  // HostDevices.
  absl::Status Run(const FfnRequest& request, absl::Span<int64_t> sums);

 private:
  size_t DeviceIndex(const std::string& name) const;  // specs().size(): none
  bool Holds(size_t device, uint32_t layer, const NeuronGroup& group) const;
  absl::Status LoadLayer(const ShardLayer& share, size_t device, const WeightSource& source, ThreadPool& pool,
                         uint64_t& bytes_loaded);

  const ShardDescription description_;
  ModelSpec model_;  // what devices of neurons need to know of it
  HostDevices& host_;
  std::vector<CpuDevice*> shard_devices_;       // one per device of the host; owned below
  std::vector<std::unique_ptr<Device>> owned_;  // the devices, all but the first inside an AsyncDevice
  std::vector<Device*> used_;
  DeviceSet set_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_LOCAL_SHARD_H_
