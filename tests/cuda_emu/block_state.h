#ifndef HEARTH_TESTS_CUDA_EMU_BLOCK_STATE_H_
#define HEARTH_TESTS_CUDA_EMU_BLOCK_STATE_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/emulator_control.h"
#include "tests/cuda_emu/fiber.h"
#include "tests/cuda_emu/shared_memory.h"

// The block that runs; for the library's own files.
namespace hearth::cuda_emu::internal {

constexpr unsigned kMaxThreads = 1024;

// What a thread of the block is about to do.
enum State : uint8_t { kUnstarted, kReady, kRunning, kAtBarrier, kAtWarpCall, kExited };

// One cp.async that has not arrived.
struct AsyncCopy {
  void* shared;
  const void* global;
  Location where;
};

struct Thread {
  ThreadIndex index;
  Fiber* fiber = nullptr;
  Location barrier;                // where it waits
  const WarpCall* call = nullptr;  // what it waits in; on its own stack
  std::vector<AsyncCopy> copies;   // in order
  std::vector<size_t> groups;      // each group's end in `copies`
};

struct Warp {
  uint32_t lanes;    // that the block has
  uint32_t waiting;  // in a warp operation
  uint32_t exited;
  char memory_order;  // its address stands for the warp's __syncwarp
};

// The one block that runs. Its scheduler runs on whichever fiber must wait next: it looks for the next thread
// in turn and switches to it directly. Threads get their turns in rounds over `order`; a round in which
// nobody could go on is a deadlock. Fibers are reused: one that finished its thread starts the next one.
struct Block {
  Thread threads[kMaxThreads];
  State states[kMaxThreads];
  uint16_t order[kMaxThreads];
  Warp warps[kMaxThreads / 32];
  unsigned count = 0;   // threads of the block
  unsigned live = 0;    // that have not exited
  unsigned cursor = 0;  // in `order`
  bool moved = false;   // somebody ran in this round
  unsigned current = 0;
  unsigned at_barrier = 0;
  unsigned generation = 0;  // of the barrier
  Location barrier;
  char barrier_order[2];  // their addresses stand for the barrier, by generation
  char fence_order;       // and this one for all fences
  char start_order;       // what the host did before the block
  char end_order;         // what the threads did that have exited
  char switch_order;      // what all threads did, for the host when it abandons them

  Fiber* host = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers;
  Fiber* free_fibers[kMaxThreads];
  unsigned free_count = 0;

  SharedMemory shared;
  size_t shared_limit_bytes = 0;
  const std::function<void()>* body = nullptr;
  std::string failure;  // empty: none
  bool failed = false;

  ThreadOrder thread_order = ThreadOrder::kForward;
  uint64_t random = 1;
  uint64_t runs = 0;
};

extern Block& block;

// The current thread waits until its state has become kReady and its turn comes.
void Wait(State state);

// Whether two calls stand at the same place of the text.
bool IsSamePlace(const Location& a, const Location& b);

// Leaves the grid for good with a report: the stack that this runs on is not unwound.
[[noreturn]] void Abandon(std::string&& report);

// As Abandon: no thread of the block can go on.
[[noreturn]] void FailDeadlock();

// Where the block's threads are, one line for each run of threads in the same situation; of one warp, or of
// all.
std::string DescribeWarp(unsigned warp);
std::string DescribeBlock();

// A mask as CUDA's sources write it.
std::string Hexadecimal(uint32_t mask);

}  // namespace hearth::cuda_emu::internal

#endif  // HEARTH_TESTS_CUDA_EMU_BLOCK_STATE_H_
