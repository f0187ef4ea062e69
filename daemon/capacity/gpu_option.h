#ifndef HEARTH_DAEMON_CAPACITY_GPU_OPTION_H_
#define HEARTH_DAEMON_CAPACITY_GPU_OPTION_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "daemon/capacity/device_option.h"
#include "engine/device/gpu_memory.h"

namespace hearth {

// Opens the GPU that an option of kind gpu or emulated-gpu names, with its memory or, where the option leaves
// it out, nine tenths of what is free. UNAVAILABLE when there is no such GPU, RESOURCE_EXHAUSTED when not as
// much is free, each with the device's name.
absl::StatusOr<std::shared_ptr<GpuMemory>> OpenGpuOption(const DeviceOption& option);

// What the engine's kernels reach on a GPU: bytes of weights per second with one token, multiplications and
// additions per second with eight, and the time to hand over a request and get its result. Takes up to 256
// MiB of its budget for a moment; RESOURCE_EXHAUSTED where that is not left.
struct GpuFigures {
  double read_bytes_per_s = 0;
  double operations_per_s = 0;
  double dispatch_us = 0;
};
absl::StatusOr<GpuFigures> MeasureGpu(GpuMemory& memory);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_GPU_OPTION_H_
