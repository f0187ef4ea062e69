// Memory of the emulated runtime: allocation, copies, fills.
#include <cstring>

#include "tests/cuda_emu/runtime.h"
#include "tests/cuda_emu/runtime_state.h"

namespace hearth::cuda_emu {
namespace {

using internal::Allocation;
using internal::Call;
using internal::current_device;
using internal::FailsNow;
using internal::ReleasingCall;
using internal::Runtime;

// The device whose memory the address is in, Allocation::kHost for other memory; false: [address, address +
// bytes) goes past the end of that allocation.
bool FindDevice(const Runtime& runtime, const void* address, size_t bytes, int* device) {
  *device = Allocation::kHost;
  const Allocation* allocation = runtime.memory.Find(address);
  if (allocation == nullptr || address == allocation->data + allocation->bytes) return true;
  if (bytes > allocation->bytes - static_cast<size_t>(static_cast<const char*>(address) - allocation->data))
    return false;
  *device = allocation->device;
  return true;
}

// Whether a range of device memory is still there when the work on it runs.
bool IsStillThere(const Runtime& runtime, const void* address, size_t bytes, int device) {
  int found = Allocation::kHost;
  return device == Allocation::kHost || (FindDevice(runtime, address, bytes, &found) && found == device);
}

bool IsKindTrue(cudaMemcpyKind kind, int target_device, int source_device) {
  const bool to_host = target_device == Allocation::kHost;
  const bool from_host = source_device == Allocation::kHost;
  switch (kind) {
    case cudaMemcpyHostToHost:
      return from_host && to_host;
    case cudaMemcpyHostToDevice:
      return from_host && !to_host;
    case cudaMemcpyDeviceToHost:
      return !from_host && to_host;
    case cudaMemcpyDeviceToDevice:
      return !from_host && !to_host;
    case cudaMemcpyDefault:
      return true;
  }
  return false;
}

cudaError_t Copy(Runtime& runtime, void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                 StreamState* stream) {
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return cudaSuccess;
  int target_device = 0;
  int source_device = 0;
  if (target == nullptr || source == nullptr || !FindDevice(runtime, target, bytes, &target_device) ||
      !FindDevice(runtime, source, bytes, &source_device) ||
      !IsKindTrue(kind, target_device, source_device)) {
    return cudaErrorInvalidValue;
  }
  const int device = stream->device;
  runtime.Enqueue(*stream, [=, &runtime] {
    if (runtime.devices[static_cast<size_t>(device)].failed) return;
    if (!IsStillThere(runtime, target, bytes, target_device) ||
        !IsStillThere(runtime, source, bytes, source_device)) {
      return runtime.ReportBug(device, "cuda emulator: a copy reaches device memory that has been freed\n");
    }
    runtime.memory.Open(target_device, source_device);
    memmove(target, source, bytes);
  });
  return cudaSuccess;
}

cudaError_t Fill(Runtime& runtime, void* target, int value, size_t bytes, StreamState* stream) {
  if (stream == nullptr) return cudaErrorInvalidResourceHandle;
  if (bytes == 0) return cudaSuccess;
  int target_device = 0;
  if (runtime.memory.Find(target) == nullptr || !FindDevice(runtime, target, bytes, &target_device)) {
    return cudaErrorInvalidValue;
  }
  const int device = stream->device;
  runtime.Enqueue(*stream, [=, &runtime] {
    if (runtime.devices[static_cast<size_t>(device)].failed) return;
    if (!IsStillThere(runtime, target, bytes, target_device)) {
      return runtime.ReportBug(device, "cuda emulator: a memset reaches device memory that has been freed\n");
    }
    runtime.memory.Open(target_device, Allocation::kHost);
    memset(target, value, bytes);
  });
  return cudaSuccess;
}

// Memory of a device, or pinned memory of the host.
cudaError_t Allocate(Runtime& runtime, void** pointer, size_t bytes, int device) {
  if (pointer == nullptr) return cudaErrorInvalidValue;
  if (const cudaError_t error = runtime.RefuseInCapture(); error != cudaSuccess) return error;
  runtime.allocation_count++;
  *pointer = nullptr;
  if (FailsNow(runtime.allocations_until_failure)) return cudaErrorMemoryAllocation;
  if (bytes == 0) return cudaSuccess;
  if (device != Allocation::kHost) {
    const size_t total = runtime.devices[static_cast<size_t>(device)].spec.memory_bytes;
    if (bytes > total - runtime.memory.used_bytes(device)) return cudaErrorMemoryAllocation;
  }
  *pointer = runtime.memory.Allocate(device, bytes);
  return *pointer != nullptr ? cudaSuccess : cudaErrorMemoryAllocation;
}

// Waits for the device first, as CUDA does.
cudaError_t Free(Runtime& runtime, void* pointer, bool of_host) {
  if (pointer == nullptr) return cudaSuccess;
  if (const cudaError_t error = runtime.RefuseInCapture(); error != cudaSuccess) return error;
  const Allocation* allocation = runtime.memory.Find(pointer);
  if (allocation == nullptr) return cudaErrorInvalidValue;
  const int device = of_host ? current_device : allocation->device;
  if (of_host) {
    for (int i = 0; i < static_cast<int>(runtime.devices.size()); i++) runtime.DrainDevice(i);
  } else if (device != Allocation::kHost) {
    runtime.DrainDevice(device);
  }
  runtime.memory.Close();
  bool overwritten = false;
  if (!runtime.memory.Free(pointer, of_host, &overwritten)) return cudaErrorInvalidValue;
  if (overwritten)
    runtime.ReportBug(device, "cuda emulator: somebody wrote beside an allocation that is freed now\n");
  return cudaSuccess;
}

}  // namespace

cudaError_t cudaMemGetInfo(size_t* free_bytes, size_t* total_bytes) {
  return Call([&](Runtime& runtime) {
    if (free_bytes == nullptr || total_bytes == nullptr) return cudaErrorInvalidValue;
    *total_bytes = runtime.current().spec.memory_bytes;
    *free_bytes = *total_bytes - runtime.memory.used_bytes(current_device);
    return cudaSuccess;
  });
}

cudaError_t cudaMalloc(void** pointer, size_t bytes) {
  return Call([&](Runtime& runtime) { return Allocate(runtime, pointer, bytes, current_device); });
}

cudaError_t cudaFree(void* pointer) {
  return ReleasingCall([&](Runtime& runtime) { return Free(runtime, pointer, false); });
}

cudaError_t cudaHostAlloc(void** pointer, size_t bytes, unsigned flags) {
  return Call([&](Runtime& runtime) {
    if (flags > (cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined))
      return cudaErrorInvalidValue;
    return Allocate(runtime, pointer, bytes, Allocation::kHost);
  });
}

cudaError_t cudaFreeHost(void* pointer) {
  return ReleasingCall([&](Runtime& runtime) { return Free(runtime, pointer, true); });
}

cudaError_t cudaHostGetDevicePointer(void** device_pointer, void* host_pointer, unsigned flags) {
  return Call([&](Runtime& runtime) {
    const Allocation* allocation = runtime.memory.Find(host_pointer);
    if (device_pointer == nullptr || flags != 0 || allocation == nullptr ||
        allocation->device != Allocation::kHost) {
      return cudaErrorInvalidValue;
    }
    *device_pointer = host_pointer;
    return cudaSuccess;
  });
}

cudaError_t cudaMemcpyAsync(void* target, const void* source, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return Call(
      [&](Runtime& runtime) { return Copy(runtime, target, source, bytes, kind, runtime.Find(stream)); });
}

cudaError_t cudaMemcpy(void* target, const void* source, size_t bytes, cudaMemcpyKind kind) {
  return Call([&](Runtime& runtime) {
    if (const cudaError_t error = runtime.RefuseInCapture(); error != cudaSuccess) return error;
    StreamState& stream = runtime.current().null_stream;
    const cudaError_t error = Copy(runtime, target, source, bytes, kind, &stream);
    if (error == cudaSuccess) runtime.Drain(stream);
    return error;
  });
}

cudaError_t cudaMemsetAsync(void* target, int value, size_t bytes, cudaStream_t stream) {
  return Call([&](Runtime& runtime) { return Fill(runtime, target, value, bytes, runtime.Find(stream)); });
}

cudaError_t cudaMemset(void* target, int value, size_t bytes) {
  return Call([&](Runtime& runtime) {
    if (const cudaError_t error = runtime.RefuseInCapture(); error != cudaSuccess) return error;
    return Fill(runtime, target, value, bytes, &runtime.current().null_stream);
  });
}

}  // namespace hearth::cuda_emu
