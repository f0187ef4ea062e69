// The runtime's state, its errors and its devices.
#include "tests/cuda_emu/runtime.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emu/runtime_state.h"
#include "tests/cuda_emu/sanitizers.h"

namespace hearth::cuda_emu {
namespace internal {

__thread int current_device = 0;
__thread cudaError_t last_error = cudaSuccess;
__thread bool in_runtime = false;

// The most shared memory of a block by compute capability (CUDA programming guide, "Technical
// Specifications").
size_t SharedBytesOptin(const DeviceSpec& spec) {
  const int capability = spec.major * 10 + spec.minor;
  if (capability < 70) return size_t{48} << 10;
  if (capability < 75) return size_t{96} << 10;
  if (capability < 80) return size_t{64} << 10;
  if (capability == 80 || capability == 87) return size_t{163} << 10;
  if (capability < 90 || capability >= 120) return size_t{99} << 10;
  return size_t{227} << 10;
}

Runtime::Runtime() {
  devices.emplace_back();
  if (!kAddressSanitizer) InstallFaultReport();
}

Runtime& TheRuntime() {
  static Runtime& runtime = *new Runtime;
  return runtime;
}

bool FailsNow(int64_t& successes_left) {
  if (successes_left < 0) return false;
  return successes_left-- == 0;
}

cudaError_t Runtime::Present() const {
  if (driver_version < kRuntimeVersion) return cudaErrorInsufficientDriver;
  if (devices.empty()) return cudaErrorNoDevice;
  return static_cast<size_t>(current_device) < devices.size() ? cudaSuccess : cudaErrorInvalidDevice;
}

cudaError_t Runtime::Usable() const {
  if (const cudaError_t error = Present(); error != cudaSuccess) return error;
  return devices[static_cast<size_t>(current_device)].failed ? cudaErrorLaunchFailure : cudaSuccess;
}

Device& Runtime::current() { return devices[static_cast<size_t>(current_device)]; }

void Runtime::ReportBug(int device, const std::string& report) {
  FailDevice(device);
  if (failure_handler != nullptr) return failure_handler(report);
  fputs(report.c_str(), stderr);
  fflush(stderr);
  _Exit(86);
}

}  // namespace internal

namespace {

using internal::Call;
using internal::current_device;
using internal::kDefaultSharedBytes;
using internal::kRuntimeVersion;
using internal::last_error;
using internal::LockedCall;
using internal::Remember;
using internal::Runtime;
using internal::SharedBytesOptin;
using internal::TheRuntime;

struct ErrorText {
  cudaError_t error;
  const char* name;
  const char* text;
};

constexpr ErrorText kErrorTexts[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration", "invalid configuration argument"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not initiated in this stream"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capture sequence contains a fork that was not joined to the primary stream"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorStreamCaptureWrongThread, "cudaErrorStreamCaptureWrongThread",
     "attempt to terminate a thread-local capture sequence from another thread"},
};

const ErrorText* FindText(cudaError_t error) {
  for (const ErrorText& text : kErrorTexts) {
    if (text.error == error) return &text;
  }
  return nullptr;
}

int ThreadsPerMultiprocessor(const DeviceSpec& spec) {
  const int capability = spec.major * 10 + spec.minor;
  if (capability == 75) return 1024;
  return (capability > 80 && capability < 90) || capability >= 120 ? 1536 : 2048;
}

}  // namespace

const char* cudaGetErrorName(cudaError_t error) {
  const ErrorText* text = FindText(error);
  return text != nullptr ? text->name : "unrecognized error code";
}

const char* cudaGetErrorString(cudaError_t error) {
  const ErrorText* text = FindText(error);
  return text != nullptr ? text->text : "unrecognized error code";
}

cudaError_t cudaPeekAtLastError() {
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  return runtime.Usable() == cudaErrorLaunchFailure ? cudaErrorLaunchFailure : last_error;
}

cudaError_t cudaGetLastError() {
  const cudaError_t error = cudaPeekAtLastError();
  last_error = cudaSuccess;
  return error;
}

cudaError_t cudaDriverGetVersion(int* version) {
  return LockedCall([&](Runtime& runtime) {
    if (version == nullptr) return cudaErrorInvalidValue;
    *version = runtime.driver_version;
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  if (version == nullptr) return Remember(cudaErrorInvalidValue);
  *version = kRuntimeVersion;
  return cudaSuccess;
}

cudaError_t cudaGetDeviceCount(int* count) {
  return LockedCall([&](Runtime& runtime) {
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = 0;
    if (const cudaError_t error = runtime.Present();
        error != cudaSuccess && error != cudaErrorInvalidDevice) {
      return error;
    }
    *count = static_cast<int>(runtime.devices.size());
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return LockedCall([&](Runtime& runtime) {
    if (const cudaError_t error = runtime.Present();
        error != cudaSuccess && error != cudaErrorInvalidDevice) {
      return error;
    }
    if (device < 0 || static_cast<size_t>(device) >= runtime.devices.size()) return cudaErrorInvalidDevice;
    current_device = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return LockedCall([&](Runtime& runtime) {
    if (device == nullptr) return cudaErrorInvalidValue;
    *device = current_device;
    return runtime.Present();
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return LockedCall([&](Runtime& runtime) {
    if (const cudaError_t error = runtime.Present();
        error != cudaSuccess && error != cudaErrorInvalidDevice) {
      return error;
    }
    if (properties == nullptr) return cudaErrorInvalidValue;
    if (device < 0 || static_cast<size_t>(device) >= runtime.devices.size()) return cudaErrorInvalidDevice;
    const DeviceSpec& spec = runtime.devices[static_cast<size_t>(device)].spec;
    *properties = cudaDeviceProp{};
    snprintf(properties->name, sizeof properties->name, "%s", spec.name.c_str());
    properties->totalGlobalMem = spec.memory_bytes;
    properties->sharedMemPerBlock = kDefaultSharedBytes;
    properties->sharedMemPerBlockOptin = SharedBytesOptin(spec);
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    properties->maxThreadsPerMultiProcessor = ThreadsPerMultiprocessor(spec);
    properties->multiProcessorCount = spec.multiprocessors;
    properties->major = spec.major;
    properties->minor = spec.minor;
    properties->l2CacheSize = 4 << 20;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return Call([](Runtime& runtime) {
    if (const cudaError_t error = runtime.RefuseInCapture(); error != cudaSuccess) return error;
    runtime.DrainDevice(current_device);
    return cudaSuccess;
  });
}

}  // namespace hearth::cuda_emu
