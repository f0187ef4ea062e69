#ifndef HEARTH_DAEMON_MEMBERSHIP_HOST_VIEW_H_
#define HEARTH_DAEMON_MEMBERSHIP_HOST_VIEW_H_

#include "daemon/capacity/capacity.h"
#include "daemon/cluster_view.h"

namespace hearth {

// Fills in what a host's capacity tells.
inline void ShowCapacity(const HostCapacity& capacity, HostView& view) {
  view.cores = capacity.cores;
  view.memory_bytes = capacity.memory_bytes;
  view.memory_free_bytes = capacity.memory_free_bytes;
  for (const DeviceCapacity& device : capacity.devices) {
    view.devices.push_back({device.name, device.kind, device.memory_budget_bytes, device.memory_used_bytes,
                            device.threads, device.read_bytes_per_s, device.operations_per_s});
  }
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_MEMBERSHIP_HOST_VIEW_H_
