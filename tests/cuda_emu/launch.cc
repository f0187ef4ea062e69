// Kernels of the emulated runtime.
#include <algorithm>
#include <string>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/runtime.h"
#include "tests/cuda_emu/runtime_state.h"

namespace hearth::cuda_emu::internal {
namespace {

size_t DynamicSharedLimit(const Device& device, const void* kernel) {
  const auto raised = device.dynamic_shared_limits.find(kernel);
  return raised == device.dynamic_shared_limits.end() ? kDefaultSharedBytes : raised->second;
}

cudaError_t CheckLaunch(const Device& device, const KernelCall& call) {
  const dim3 grid = call.grid_dim;
  const dim3 block = call.block_dim;
  const bool grid_fits = grid.x > 0 && grid.y > 0 && grid.z > 0 && grid.x <= 0x7fffffffu &&
                         grid.y <= 0xffffu && grid.z <= 0xffffu;
  const bool block_fits = block.x > 0 && block.y > 0 && block.z > 0 && block.x <= 1024 && block.y <= 1024 &&
                          block.z <= 64 && block.x * block.y * block.z <= 1024;
  if (!grid_fits || !block_fits) return cudaErrorInvalidConfiguration;
  return call.shared_bytes <= DynamicSharedLimit(device, call.kernel) ? cudaSuccess : cudaErrorInvalidValue;
}

// What is wrong with the pointers among a kernel's arguments; empty: nothing.
std::string CheckPointers(const Runtime& runtime, const KernelCall& call, int device) {
  for (size_t i = 0; i < call.pointers.size(); i++) {
    if (call.pointers[i] == nullptr) continue;
    const std::string which = "cuda emulator: pointer argument " + std::to_string(i) + " of a kernel (of " +
                              std::to_string(call.pointers.size()) + ") points to ";
    const Allocation* allocation = runtime.memory.Find(call.pointers[i]);
    if (allocation == nullptr) return which + "neither live device memory nor memory of cudaHostAlloc\n";
    if (allocation->device != device && allocation->device != Allocation::kHost)
      return which + "another device\n";
  }
  return "";
}

void RunKernel(Runtime& runtime, const KernelCall& call, int device_number) {
  Device& device = runtime.devices[static_cast<size_t>(device_number)];
  if (device.failed) return;
  std::string report = CheckPointers(runtime, call, device_number);
  if (report.empty()) {
    PrepareThreadForFaults();
    runtime.memory.Open(device_number, Allocation::kHost);
    runtime.kernel_count++;
    Grid grid;
    grid.grid_dim = call.grid_dim;
    grid.block_dim = call.block_dim;
    grid.dynamic_shared_bytes = call.shared_bytes;
    grid.shared_limit_bytes = std::max(DynamicSharedLimit(device, call.kernel), kDefaultSharedBytes);
    grid.body = &call.body;
    report = RunGrid(grid);
  }
  if (!report.empty()) runtime.ReportBug(device_number, report);
}

}  // namespace

cudaError_t LaunchKernel(KernelCall call, cudaStream_t stream_handle) {
  return Call([&](Runtime& runtime) {
    StreamState* stream = runtime.Find(stream_handle);
    if (stream == nullptr || stream->device != current_device) return cudaErrorInvalidResourceHandle;
    const int device = current_device;
    if (const cudaError_t error = CheckLaunch(runtime.current(), call); error != cudaSuccess) return error;
    if (const std::string report = CheckPointers(runtime, call, device); !report.empty()) {
      runtime.ReportBug(device, report);
      return cudaErrorLaunchFailure;
    }
    if (stream->capture == nullptr) {
      runtime.launch_count++;
      if (FailsNow(runtime.launches_until_failure)) {
        runtime.Enqueue(*stream, [&runtime, device] { runtime.FailDevice(device); });
        return cudaSuccess;
      }
    }
    runtime.Enqueue(*stream, [&runtime, device, call] { RunKernel(runtime, call, device); });
    return cudaSuccess;
  });
}

cudaError_t SetKernelAttribute(const void* kernel, cudaFuncAttribute attribute, int value) {
  return Call([&](Runtime& runtime) {
    Device& device = runtime.current();
    if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize || kernel == nullptr || value < 0 ||
        static_cast<size_t>(value) > SharedBytesOptin(device.spec)) {
      return cudaErrorInvalidValue;
    }
    device.dynamic_shared_limits[kernel] = static_cast<size_t>(value);
    return cudaSuccess;
  });
}

}  // namespace hearth::cuda_emu::internal
