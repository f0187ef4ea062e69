#ifndef HEARTH_ENGINE_DEVICE_HOST_SHARE_H_
#define HEARTH_ENGINE_DEVICE_HOST_SHARE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/attention/decoder_options.h"
#include "engine/base/mutex.h"
#include "engine/base/thread_pool.h"
#include "engine/device/device.h"
#include "engine/device/gpu_memory.h"
#include "engine/device/local_device.h"
#include "engine/device/weight_source.h"
#include "engine/outline/model_outline.h"
#include "engine/outline/unit_id.h"

namespace hearth {

struct HostDeviceSpec {
  std::string name;
  int threads = 1;
  uint64_t memory_bytes = UINT64_MAX;   // budget for weights and caches
  std::shared_ptr<GpuMemory> gpu = {};  // null: a CPU
  bool uses_disk = false;       // neurons that the budget does not hold stay in a packed file; CPUs only
  double pace_bytes_per_s = 0;  // no faster than that (engine/device/pace.h); 0: as fast as it is; CPUs only
};

// The threads of a host's devices, used by all shares that it holds.
class HostDevices {
 public:
  // The first device computes on `first_pool` where one is given (a leader's, which is idle while its devices
  // compute), else on a pool of its own, as the others do. `first_pool` outlives this; `specs` is not empty
  // (CHECK).
  explicit HostDevices(std::vector<HostDeviceSpec> specs, ThreadPool* first_pool = nullptr);

  // As they were offered, and each one's threads.
  const std::vector<HostDeviceSpec>& specs() const { return specs_; }
  ThreadPool& pool(size_t device) { return *pools_[device]; }
  // Held while a share computes, where several may be asked at once (a worker).
  Mutex& compute_mutex() { return compute_mutex_; }

 private:
  const std::vector<HostDeviceSpec> specs_;
  std::vector<std::unique_ptr<ThreadPool>> own_pools_;
  std::vector<ThreadPool*> pools_;
  Mutex compute_mutex_;
};

// The units that one device holds: their numbers in the outline, rising. Vectors have one entry per layer.
struct DeviceShare {
  std::vector<std::vector<uint32_t>> neuron_groups;
  std::vector<std::vector<uint32_t>> head_groups;
  std::vector<uint32_t> output_runs;
  // Layers whose own weights are here: those that the host leads (engine/model/led_stage.h loads them).
  std::vector<uint32_t> led_layers;

  // Of a model of so many layers.
  static DeviceShare Nothing(uint32_t layers) {
    return {std::vector<std::vector<uint32_t>>(layers), std::vector<std::vector<uint32_t>>(layers), {}, {}};
  }
  // Every unit of the model but those of kind kLayer.
  static DeviceShare Everything(const ModelOutline& outline);

  // A unit of the model that comes after those that are here, in the order of UnitId.
  void Add(const UnitId& unit);
  // All of them: heads and neurons layer by layer, then output rows, then led layers.
  std::vector<UnitId> units() const;
};
// Everything shared out in turn: unit i of each kind and layer lies on device i mod count.
std::vector<DeviceShare> ShareInTurn(const ModelOutline& outline, size_t count);

// What a host holds of a model under one plan: its devices with their units. Made in three steps, by one
// thread: the constructor, Adopt, Load; immutable afterwards, except that its devices compute. The first
// device computes on the thread that collects, each further one has a thread of its own, so that all work at
// the same time: give them together as many threads as there are cores.
class HostShare {
 public:
  // Called after each layer of a device with the bytes of units loaded by then; an error ends Load.
  using Progress = std::function<absl::Status(uint64_t bytes_loaded)>;

  // shares[i] is for devices.specs()[i]; `devices` outlives this. The options are those of the decoder.
  HostShare(std::shared_ptr<const ModelOutline> outline, const DecoderOptions& options,
            std::vector<DeviceShare> shares, HostDevices& devices);
  ~HostShare();

  // RESOURCE_EXHAUSTED when a device would hold more, weights and caches, than its budget.
  absl::Status Check() const;
  // Takes over what `former`, a share of the same host, model and options, holds of the same units; a device
  // with a disk all of them or none, since their memory is one cache.
  void Adopt(const HostShare& former);
  // The units that Load is still to load.
  std::vector<UnitId> missing() const;
  // Bytes of their bundles, of a device with a disk no more than its budget. The errors of BundleBytes.
  absl::StatusOr<uint64_t> MissingBytes() const;
  // Loads the units that are still missing, layer by layer. `pool` is for loading: the devices may compute
  // for other shares meanwhile. INVALID_ARGUMENT for weights that do not fit, RESOURCE_EXHAUSTED without
  // memory or, where a device is to leave neurons on the disk, for a source that is no packed file.
  absl::Status Load(WeightSource& source, ThreadPool& pool, const Progress& progress = {});

  // What it was made of.
  const ModelOutline& outline() const { return *outline_; }
  const std::shared_ptr<const ModelOutline>& shared_outline() const { return outline_; }
  const DecoderOptions& options() const { return options_; }
  const std::vector<DeviceShare>& shares() const { return shares_; }
  // For each head group, in the order of layers and groups: what its cache is known by
  // (MixerShard::cache_id).
  std::vector<std::pair<UnitId, uint64_t>> cache_ids() const;
  // The devices that hold something. Borrowed.
  const std::vector<Device*>& devices() const { return used_; }
  // All of them as the host names them; counters of any thread.
  const std::vector<LocalDevice*>& locals() const { return locals_; }
  uint64_t weight_bytes() const;
  uint64_t kv_bytes() const;
  // Both, and what neurons of a disk take.
  uint64_t memory_bytes() const;
  HostDevices& host() { return host_; }

 private:
  std::unique_ptr<LocalDevice> MakeDevice(size_t i);
  // Weights and caches of all that a device is to hold.
  absl::StatusOr<uint64_t> BytesOf(size_t device) const;
  std::vector<UnitId> MissingOf(size_t device) const;
  // Where a device's budget does not hold everything and it may use the disk.
  absl::Status LeaveNeuronsOnDisk(size_t device, const WeightSource& source);
  absl::StatusOr<std::vector<UnitWeights>> ReadUnits(WeightSource& source, UnitKind kind, uint32_t layer,
                                                     const std::vector<uint32_t>& numbers) const;
  absl::Status LoadLayer(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool);
  absl::Status LoadNeurons(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool);
  absl::Status LoadHeads(uint32_t layer, size_t device, WeightSource& source, ThreadPool& pool);
  absl::Status LoadOutput(size_t device, WeightSource& source, ThreadPool& pool);

  const std::shared_ptr<const ModelOutline> outline_;
  const DecoderOptions options_;
  const std::vector<DeviceShare> shares_;
  HostDevices& host_;
  std::vector<LocalDevice*> locals_;            // one per device of the host; owned below
  std::vector<std::unique_ptr<Device>> owned_;  // CPUs but the first inside an AsyncDevice
  std::vector<Device*> used_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_HOST_SHARE_H_
