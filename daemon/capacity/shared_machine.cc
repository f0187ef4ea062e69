#include "daemon/capacity/shared_machine.h"

#include <algorithm>

namespace hearth {

uint64_t OfferedBytes(const HostCapacity& capacity) {
  uint64_t bytes = 0;
  for (const DeviceCapacity& device : capacity.devices) {
    if (!IsGpu(device)) bytes += device.memory_budget_bytes;
  }
  return bytes;
}

void OfferWhatIsLeft(uint64_t taken_bytes, HostCapacity& capacity) {
  if (capacity.memory_bytes == 0) return;
  uint64_t left = capacity.memory_bytes - std::min(capacity.memory_bytes, taken_bytes);
  for (DeviceCapacity& device : capacity.devices) {
    if (IsGpu(device)) continue;
    device.memory_budget_bytes = std::min(device.memory_budget_bytes, left);
    left -= device.memory_budget_bytes;
  }
}

}  // namespace hearth
