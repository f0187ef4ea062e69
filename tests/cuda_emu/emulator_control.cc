#include "tests/cuda_emu/emulator_control.h"

#include <mutex>
#include <utility>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/runtime_state.h"

namespace hearth::cuda_emu {
namespace {

using internal::Device;
using internal::Runtime;

// Sets or reads something under the mutex.
template <class Body>
auto Control(Body&& body) {
  Runtime& runtime = internal::TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  return body(runtime);
}

}  // namespace

void SetDevices(std::vector<DeviceSpec> devices) {
  Control([&](Runtime& runtime) {
    if (runtime.memory.count() != 0 || !runtime.streams.empty() || !runtime.events.empty() ||
        !runtime.graphs.empty() || !runtime.execs.empty()) {
      if (runtime.devices.empty()) runtime.devices.emplace_back();
      return runtime.ReportBug(0,
                               "cuda emulator: SetDevices while memory, streams, events or graphs exist\n");
    }
    runtime.devices.clear();
    for (size_t i = 0; i < devices.size(); i++) {
      Device& device = runtime.devices.emplace_back();
      device.spec = std::move(devices[i]);
      device.null_stream.device = static_cast<int>(i);
    }
    internal::current_device = 0;
    internal::last_error = cudaSuccess;
  });
}

void SetDriverVersion(int version) {
  Control([&](Runtime& runtime) { runtime.driver_version = version; });
}

void SetThreadOrder(ThreadOrder order, uint64_t seed) {
  Control([&](Runtime& /*runtime*/) { internal::SetGridOrder(order, seed); });
}

void SetLazyStreams(bool lazy) {
  Control([&](Runtime& runtime) { runtime.lazy = lazy; });
}

void FailAllocationAfter(int64_t successes) {
  Control([&](Runtime& runtime) { runtime.allocations_until_failure = successes; });
}

void FailLaunchAfter(int64_t successes) {
  Control([&](Runtime& runtime) { runtime.launches_until_failure = successes; });
}

int64_t AllocationCount() {
  return Control([](Runtime& runtime) { return runtime.allocation_count; });
}

int64_t LiveAllocations() {
  return Control([](Runtime& runtime) { return static_cast<int64_t>(runtime.memory.count()); });
}

int64_t LiveHandles() {
  return Control([](Runtime& runtime) {
    return static_cast<int64_t>(runtime.streams.size() + runtime.events.size() + runtime.graphs.size() +
                                runtime.execs.size());
  });
}

int64_t LaunchCount() {
  return Control([](Runtime& runtime) { return runtime.launch_count; });
}

int64_t KernelCount() {
  return Control([](Runtime& runtime) { return runtime.kernel_count; });
}

uint64_t ThreadRuns() {
  return Control([](Runtime& /*runtime*/) { return internal::CountThreadRuns(); });
}

void ClearErrors() {
  Control([](Runtime& runtime) {
    for (Device& device : runtime.devices) device.failed = false;
    internal::last_error = cudaSuccess;
  });
}

void SetFailureHandler(std::function<void(const std::string& report)> handler) {
  Control([&](Runtime& runtime) { runtime.failure_handler = std::move(handler); });
}

}  // namespace hearth::cuda_emu
