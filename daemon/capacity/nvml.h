#ifndef HEARTH_DAEMON_CAPACITY_NVML_H_
#define HEARTH_DAEMON_CAPACITY_NVML_H_

#include <cstdint>
#include <string>
#include <vector>

namespace hearth {

struct NvmlDevice {
  std::string name;  // with its number, so that it is unique on the host
  uint64_t memory_bytes = 0;
  uint64_t memory_used_bytes = 0;
};

// The GPUs that NVIDIA's driver reports; none where there is no driver or it does not answer.
std::vector<NvmlDevice> ListNvmlDevices();

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_NVML_H_
