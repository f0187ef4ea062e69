#ifndef HEARTH_DAEMON_CAPACITY_NVML_H_
#define HEARTH_DAEMON_CAPACITY_NVML_H_

#include <cstdint>
#include <memory>
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

// How much other programs use these GPUs. Not thread-safe.
class NvmlUse {
 public:
  NvmlUse();
  ~NvmlUse();

  // The most that one other program has had of one GPU since the last call, between 0 and 1; 0 where the
  // driver does not say.
  double ShareOfOthers();

 private:
  struct Driver;
  const std::unique_ptr<Driver> driver_;  // null: there is none
  std::vector<uint64_t> seen_us_;         // of each GPU: until when
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_NVML_H_
