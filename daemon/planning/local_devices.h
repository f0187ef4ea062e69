#ifndef HEARTH_DAEMON_PLANNING_LOCAL_DEVICES_H_
#define HEARTH_DAEMON_PLANNING_LOCAL_DEVICES_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/model/model.h"
#include "engine/neuron/cpu_device.h"
#include "engine/neuron/ffn_device.h"
#include "placement/plan.h"

namespace hearth {

// share[layer]: the numbers of the neuron groups (as Model::neuron_groups) that one device holds, ascending.
using DeviceShare = std::vector<std::vector<uint32_t>>;

// What device number `device` (see placement::ListDevices) holds under a plan.
DeviceShare ShareOf(const placement::Assignment& assignment, uint32_t device);

struct LocalDeviceSpec {
  std::string name;
  int threads = 1;  // of its own; of no meaning for the first device, which works on the leader's pool
};

// The CPU devices of the machine that has the model file: hearth-model uses all of a plan's, a daemon those
// of its own host (one plan's share per device; remote hosts get bundles instead and load CpuDevices
// themselves).
//
// The first device computes on the thread that calls Decoder::Step and on the leader's pool, which is idle
// while an FFN runs. Each further one has a pool and a thread of its own (AsyncDevice), so that all work at
// the same time: give the leader's pool and the specs together as many threads as there are cores.
//
// Not thread-safe; Load must not run during a step of a decoder that uses the devices.
class LocalDevices {
 public:
  // Called after every layer with the bytes loaded so far and those to load in this call. May be empty.
  using Progress = std::function<void(uint64_t bytes_done, uint64_t bytes_total)>;

  // Devices without weights. `leader_pool` outlives this; `specs` is not empty (CHECK).
  LocalDevices(absl::Span<const LocalDeviceSpec> specs, ThreadPool& leader_pool, uint32_t layers,
               SparsityMode sparsity, Arithmetic arithmetic);
  ~LocalDevices();

  // Brings every device to its share (shares[i] for specs[i]): layers that hold the right groups already are
  // left alone, others are dropped and read anew from the model's file. Works layer by layer so that at most
  // one layer is in memory twice, and releases the file's pages behind it. INVALID_ARGUMENT when a layer
  // cannot be loaded; the layers before it are then loaded, the others hold nothing.
  absl::Status Load(const Model& model, absl::Span<const DeviceShare> shares, const Progress& progress = {});

  // For Decoder::SetDevices; borrowed.
  std::vector<FfnDevice*> devices() const;
  uint64_t weight_bytes() const;

 private:
  struct Slot;
  absl::Status LoadLayer(const Model& model, uint32_t layer, const std::vector<uint32_t>& groups, Slot& slot);

  ThreadPool& leader_pool_;
  std::vector<std::unique_ptr<Slot>> slots_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_LOCAL_DEVICES_H_
