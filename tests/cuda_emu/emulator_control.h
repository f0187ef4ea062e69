#ifndef HEARTH_TESTS_CUDA_EMU_EMULATOR_CONTROL_H_
#define HEARTH_TESTS_CUDA_EMU_EMULATOR_CONTROL_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

// What a test may set and ask of the emulated CUDA: devices, order of execution, failures, counts. This
// header needs no macros of CUDA's and may stand in any test. All functions are thread-safe.
namespace hearth::cuda_emu {

// One emulated card.
struct DeviceSpec {
  std::string name = "Emulated GPU";
  size_t memory_bytes = size_t{4} << 30;
  int major = 8;  // compute capability
  int minor = 0;
  int multiprocessors = 4;  // few, so that grids sized by them stay small
};

// Replaces all devices; an empty list is a machine without cards. Clears failures too and makes device 0 the
// calling thread's. Nothing may be allocated and no stream, event or graph may exist: otherwise it is
// reported as a failure.
void SetDevices(std::vector<DeviceSpec> devices);

// The version of the driver, as cudaDriverGetVersion gives it (13000 is 13.0). Older than the runtime's
// 12000: calls answer cudaErrorInsufficientDriver. 0: no driver.
void SetDriverVersion(int version);

// In which order the runnable threads of a block get their turns.
enum class ThreadOrder { kForward, kReverse, kRandom };

// Applies to the grids that run from now on. `seed` is kRandom's.
void SetThreadOrder(ThreadOrder order, uint64_t seed = 1);

// true (default): the work of a stream runs as late as CUDA allows, when somebody waits for it. false: at
// once.
void SetLazyStreams(bool lazy);

// Lets `successes` allocations (cudaMalloc, cudaHostAlloc) succeed and the next one fail, once: 0 is the very
// next one, -1 none.
void FailAllocationAfter(int64_t successes);

// Lets `successes` launches (Launch, cudaGraphLaunch) succeed and the next one fail while it runs, once: its
// device answers cudaErrorLaunchFailure from then on (see ClearErrors). 0 is the very next one, -1 none.
void FailLaunchAfter(int64_t successes);

// Allocations asked for so far, failed ones included.
int64_t AllocationCount();

// Allocations of device and host memory that are not freed.
int64_t LiveAllocations();

// Streams, events, graphs and executable graphs that are not destroyed.
int64_t LiveHandles();

// Launches accepted so far: each Launch outside of a capture and each cudaGraphLaunch counts as one.
int64_t LaunchCount();

// Kernels run so far, those in graphs included.
int64_t KernelCount();

// How many times a CUDA thread was started or went on after waiting, in all kernels so far: what emulation
// costs.
uint64_t ThreadRuns();

// Makes failed devices usable again and forgets the calling thread's last error. Their memory keeps its
// contents.
void ClearErrors();

// Is told of every bug that the emulator finds in a kernel or in the use of the runtime, on the host thread
// that ran into it; then the device's calls answer cudaErrorLaunchFailure. It must neither throw nor call the
// runtime or this header. Null: the default, which prints the report to stderr and ends the process with
// status 86.
void SetFailureHandler(std::function<void(const std::string& report)> handler);

}  // namespace hearth::cuda_emu

#endif  // HEARTH_TESTS_CUDA_EMU_EMULATOR_CONTROL_H_
