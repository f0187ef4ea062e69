#ifndef HEARTH_TESTS_CUDA_EMU_RUNTIME_STATE_H_
#define HEARTH_TESTS_CUDA_EMU_RUNTIME_STATE_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/cuda_emu/device_memory.h"
#include "tests/cuda_emu/emulator_control.h"
#include "tests/cuda_emu/runtime.h"

// What the runtime's calls share; for the library's own files.
namespace hearth::cuda_emu {
namespace internal {

// A piece of a stream's work, whole: it knows its device and arguments and may run at any time, several
// times.
using Operation = std::function<void()>;

// How much of each stream's captured work comes before something.
using CapturedOrder = std::map<StreamState*, size_t>;

// A capture that has begun and not ended.
struct Capture {
  StreamState* origin = nullptr;
  cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal;
  std::thread::id thread;
  bool invalid = false;
  std::vector<Operation> operations;               // of all its streams, in the order of the calls
  std::map<StreamState*, CapturedOrder> branches;  // its streams, and what comes before their next operation
};

// One record of an event.
struct Marker {
  StreamState* stream = nullptr;
  bool done = false;
  std::chrono::steady_clock::time_point time;
  std::shared_ptr<Capture> capture;  // null: not captured
  CapturedOrder order;               // captured: what comes before it
};

}  // namespace internal

// What the handles point to.
struct StreamState {
  int device = 0;
  std::deque<internal::Operation> operations;  // not run yet
  std::shared_ptr<internal::Capture> capture;  // null: none
};

struct EventState {
  int device = 0;
  bool has_timing = false;
  std::shared_ptr<internal::Marker> marker;  // of the latest record; null: never recorded
};

struct GraphState {
  int device = 0;
  std::shared_ptr<const std::vector<internal::Operation>> operations;
};

struct GraphExecState {
  int device = 0;
  std::shared_ptr<const std::vector<internal::Operation>> operations;
};

namespace internal {

struct Device {
  DeviceSpec spec;
  bool failed = false;  // by a launch
  StreamState null_stream;
  std::map<const void*, size_t> dynamic_shared_limits;  // by kernel, where cudaFuncSetAttribute raised it
};

// The whole runtime; `mutex` guards all of it, and the one grid that runs.
struct Runtime {
  Runtime();

  std::mutex mutex;
  std::deque<Device> devices;
  int driver_version = 13000;
  bool lazy = true;
  DeviceMemory memory;
  std::set<StreamState*> streams;
  std::set<EventState*> events;
  std::set<GraphState*> graphs;
  std::set<GraphExecState*> execs;
  std::set<std::shared_ptr<Capture>> captures;
  int64_t allocation_count = 0;
  int64_t launch_count = 0;
  int64_t kernel_count = 0;
  int64_t allocations_until_failure = -1;
  int64_t launches_until_failure = -1;
  std::function<void(const std::string&)> failure_handler;

  // Why the calling thread can do nothing on its device; cudaSuccess: it can.
  cudaError_t Usable() const;
  // As Usable, without what a launch left.
  cudaError_t Present() const;
  Device& current();

  // The stream of that handle, its device's own for null; null: there is none.
  StreamState* Find(cudaStream_t stream);
  // Gives a stream work, or its capture; eager streams do it now.
  void Enqueue(StreamState& stream, Operation operation);
  void Step(StreamState& stream);
  void Drain(StreamState& stream);
  void DrainDevice(int device);
  void RunUntil(const Marker& marker);

  // Makes the device answer cudaErrorLaunchFailure.
  void FailDevice(int device) { devices[static_cast<size_t>(device)].failed = true; }
  // The same, and tells of the bug that is the reason.
  void ReportBug(int device, const std::string& report);

  // cudaErrorStreamCaptureUnsupported, and the captures end in failure, if the calling thread may not wait or
  // allocate because of them.
  cudaError_t RefuseInCapture();
};

constexpr int kRuntimeVersion = 12000;

// The process's runtime; it is never destroyed.
Runtime& TheRuntime();

// The calling thread's device and last error.
extern __thread int current_device;
extern __thread cudaError_t last_error;
// Whether the calling thread is in a call of the runtime's.
extern __thread bool in_runtime;

// The most shared memory that a block of the device may have.
size_t SharedBytesOptin(const DeviceSpec& spec);

// Without cudaFuncSetAttribute.
constexpr size_t kDefaultSharedBytes = size_t{48} << 10;

// Counts down one of Runtime's counters to a failure; whether this is the one that fails.
bool FailsNow(int64_t& successes_left);

// Installs the handler that explains faults in device memory, and gives the calling thread a stack for it.
void InstallFaultReport();
void PrepareThreadForFaults();

// Remembers an error as the calling thread's last one.
inline cudaError_t Remember(cudaError_t error) {
  if (error != cudaSuccess && error != cudaErrorNotReady) last_error = error;
  return error;
}

// Runs a call's body under the mutex. Device memory is closed again afterwards.
template <class Body>
cudaError_t LockedCall(Body&& body) {
  Runtime& runtime = TheRuntime();
  const std::lock_guard<std::mutex> lock(runtime.mutex);
  in_runtime = true;
  const cudaError_t error = body(runtime);
  runtime.memory.Close();
  in_runtime = false;
  return Remember(error);
}

// A call that needs a working device, and tells what its work has led to.
template <class Body>
cudaError_t Call(Body&& body) {
  return LockedCall([&](Runtime& runtime) {
    if (const cudaError_t error = runtime.Usable(); error != cudaSuccess) return error;
    const cudaError_t error = body(runtime);
    return runtime.Usable() != cudaSuccess ? runtime.Usable() : error;
  });
}

// A call that gives something back: it does so even on a failed device.
template <class Body>
cudaError_t ReleasingCall(Body&& body) {
  return LockedCall([&](Runtime& runtime) {
    if (const cudaError_t error = runtime.Present(); error != cudaSuccess) return error;
    const cudaError_t error = body(runtime);
    return runtime.Usable() != cudaSuccess ? runtime.Usable() : error;
  });
}

}  // namespace internal
}  // namespace hearth::cuda_emu

#endif  // HEARTH_TESTS_CUDA_EMU_RUNTIME_STATE_H_
