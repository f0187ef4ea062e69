#ifndef HEARTH_TESTS_CUDA_EMU_BLOCK_H_
#define HEARTH_TESTS_CUDA_EMU_BLOCK_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "tests/cuda_emu/location.h"
#include "tests/cuda_emu/vector_types.h"

// How a grid runs: its blocks one after the other on the calling OS thread, each CUDA thread of a block as a
// fiber that runs until it must wait. One grid at a time in the process; the runtime's mutex sees to that.
namespace hearth::cuda_emu {

enum class ThreadOrder;  // in emulator_control.h

namespace internal {

// Where a CUDA thread is.
struct ThreadIndex {
  uint3 thread;
  uint3 block;
  dim3 block_dim;
  dim3 grid_dim;
  unsigned linear;  // the thread's number in its block; lane and warp follow from it
};

// The CUDA thread that this OS thread runs; null outside of kernels.
extern __thread const ThreadIndex* current_thread;

// One lane's part in a warp operation: what it gives, where it takes the result, and one argument.
struct LaneWords {
  const uint32_t* given = nullptr;
  uint32_t* taken = nullptr;
  int argument = 0;
};

// Computes what all lanes of `mask` take from what they give.
using CombineLanes = void (*)(LaneWords* lanes, uint32_t mask);

// One lane's call of a warp operation.
struct WarpCall {
  const char* name;
  Location where;
  uint32_t mask;
  CombineLanes combine;  // null: only a meeting
  LaneWords words;
  bool orders_memory;  // as __syncwarp does and the shuffles do not
};

// A grid to run. `body` calls the kernel once.
struct Grid {
  dim3 grid_dim;
  dim3 block_dim;
  size_t dynamic_shared_bytes = 0;
  size_t shared_limit_bytes = 0;  // of static and dynamic shared memory together
  const std::function<void()>* body = nullptr;
};

// Runs a grid; what went wrong in it, empty if nothing did. After a failure no thread of the grid goes on.
std::string RunGrid(const Grid& grid);

// What a fault at this address, which is not in device memory, means in the kernel that runs.
const char* ExplainKernelFault(const void* address);

// Sets the order in which the threads of the following grids run.
void SetGridOrder(ThreadOrder order, uint64_t seed);

// How many times a CUDA thread was started or went on, in all grids so far.
uint64_t CountThreadRuns();

// __syncthreads: returns when every thread of the block that has not exited is at the same place.
void SyncBlock(Location where);

// Meets the other lanes of call.mask at the same operation, has them combined, and returns.
void SyncWarp(const WarpCall& call);

// __threadfence: what the caller did before comes before what others do after a later fence of theirs.
void FenceMemory();

// The block's static shared object `key`, made of 0xff bytes at its first use in each block.
void* StaticShared(const void* key, size_t bytes, size_t alignment);

// The block's dynamic shared memory, made of 0xff bytes in each block; what lies behind it is inaccessible.
void* DynamicShared();

// Ends the grid with a report: `what` went wrong where and in which thread, then `details` (whole lines).
[[noreturn]] void FailKernel(Location where, std::string what, std::string details = "");

// The parts of CopyAsync16, CopyAsyncCommit and CopyAsyncWait.
void StartAsyncCopy(void* shared, const void* global, Location where);
void CommitAsyncCopies();
void FinishAsyncCopies(size_t pending_groups);

}  // namespace internal
}  // namespace hearth::cuda_emu

#endif  // HEARTH_TESTS_CUDA_EMU_BLOCK_H_
