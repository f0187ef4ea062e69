#ifndef HEARTH_DAEMON_CAPACITY_CAPACITY_H_
#define HEARTH_DAEMON_CAPACITY_CAPACITY_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/capacity/device_option.h"
#include "engine/device/host_share.h"

namespace hearth {

// A device of this host as its daemon uses it.
struct DeviceCapacity {
  std::string name;
  std::string kind = "cpu";  // or "gpu", "emulated-gpu", "disk"; one that is only reported has no speed
  uint64_t memory_budget_bytes = 0;
  uint64_t memory_used_bytes = 0;
  uint32_t threads = 0;
  double read_bytes_per_s = 0;  // the figures are those reached while all devices of the host work
  double operations_per_s = 0;
  double dispatch_us = 0;

  bool operator==(const DeviceCapacity&) const = default;
};

// Whether it has memory of its own; CPUs and disks take the host's.
inline bool IsGpu(const DeviceCapacity& device) {
  return device.kind == "gpu" || device.kind == "emulated-gpu";
}

// What a host can do: hearth.v1.HostCapacity as a struct.
struct HostCapacity {
  uint32_t cores = 0;
  uint64_t memory_bytes = 0;
  uint64_t memory_free_bytes = 0;
  uint64_t disk_free_bytes = 0;
  std::vector<DeviceCapacity> devices;

  bool operator==(const HostCapacity&) const = default;
};

// The devices that a host offers: what the options leave out is shared out equally (threads among `threads`,
// 0: all cores, but that a disk has one of its own; memory: 80 % of what is free now, for a GPU 90 % of its
// own). CPUs come first; where the options name none there is one device "cpu" besides (INVALID_ARGUMENT
// where another device has that name, and for more memory than the machine has). The errors of OpenGpuOption.
absl::StatusOr<std::vector<HostDeviceSpec>> ChooseDevices(const std::vector<DeviceOption>& options,
                                                          uint32_t threads);

// Measures the devices with the engine's kernels, all at the same time (about a second); bandwidths
// named in the options are taken as they are, and an emulated GPU's other figures in proportion. A disk
// computes as one thread of the first CPU does; how fast it reads depends on the model's file (0: not named).
// GPUs that NVML knows of are listed too, where none is offered.
HostCapacity MeasureHost(const std::vector<HostDeviceSpec>& devices,
                         const std::vector<DeviceOption>& options);

// The memory that this process may use and what of it is free (see process_limits.h), free bytes of the disk
// that has `directory`: the figures that change.
void UpdateFreeBytes(const std::string& directory, HostCapacity& capacity);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_CAPACITY_H_
