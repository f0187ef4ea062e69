#ifndef HEARTH_DAEMON_CAPACITY_DEVICE_OPTION_H_
#define HEARTH_DAEMON_CAPACITY_DEVICE_OPTION_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/cluster.h"

namespace hearth {

// A device as its owner offers it: --device name,memory=4GiB,kind=cpu,threads=2,bandwidth=20G,pace=1G or
// name,kind=gpu,number=1,memory=6GiB or name,kind=disk,memory=1GiB
// The name comes first; the rest in any order, each at most once; what is left out is measured or shared out.
struct DeviceOption {
  std::string name;
  placement::DeviceKind kind = placement::DeviceKind::kCpu;
  bool emulated = false;  // kind=emulated-gpu: the GPU's kernels on CPUs, for tests and demonstrations
  int number = 0;         // of the GPU, as CUDA counts them; GPU only
  std::optional<uint64_t> memory_bytes;
  std::optional<int> threads;              // 1 to 1024; no GPU
  std::optional<double> read_bytes_per_s;  // bandwidth=, or else pace=; instead of measuring
  std::optional<double>
      pace_bytes_per_s;  // pace=: waits so as to be no faster (engine/device/pace.h); CPU only
};

inline bool IsCpu(const DeviceOption& option) { return option.kind == placement::DeviceKind::kCpu; }
inline bool IsDisk(const DeviceOption& option) { return option.kind == placement::DeviceKind::kDisk; }

// INVALID_ARGUMENT that names the part which cannot be read and what is allowed there.
absl::StatusOr<DeviceOption> ParseDeviceOption(std::string_view text);

// --devices SPEC: a list of the above separated by ';', or just a number N for N equal CPU devices
// "cpu0".."cpuN-1". INVALID_ARGUMENT also for names that occur twice, for no devices and for more than 64.
absl::StatusOr<std::vector<DeviceOption>> ParseDeviceOptions(std::string_view spec);

// "1.5GiB", "800M", "4096": a number with an optional suffix K, M, G, T (powers of 1000) or KiB, MiB, GiB,
// TiB (powers of 1024); a final B or "B/s" is allowed. INVALID_ARGUMENT for anything else, negative numbers
// and what does not fit 64 bits.
absl::StatusOr<uint64_t> ParseByteCount(std::string_view text);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_DEVICE_OPTION_H_
