#include "tests/cuda_emu/block.h"

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>

#include "tests/cuda_emu/block_state.h"
#include "tests/cuda_emu/fiber.h"
#include "tests/cuda_emu/sanitizers.h"

namespace hearth::cuda_emu::internal {

__thread const ThreadIndex* current_thread = nullptr;

Block& block = *new Block;

namespace {

// Under ThreadSanitizer each thread of a block needs a fiber of its own, or it would seem ordered after its
// forerunner. It tells 256 of them apart: of larger blocks it misses some races.
constexpr bool kReuseFibers = !kThreadSanitizer;

HEARTH_EMULATOR_UNCHECKED uint64_t NextRandom() {  // xorshift64
  block.random ^= block.random << 13;
  block.random ^= block.random >> 7;
  block.random ^= block.random << 17;
  return block.random;
}

HEARTH_EMULATOR_UNCHECKED void ShuffleOrder() {
  for (unsigned i = block.count; i > 1; i--) {
    const unsigned other = static_cast<unsigned>(NextRandom() % i);
    const uint16_t moved = block.order[other];
    block.order[other] = block.order[i - 1];
    block.order[i - 1] = moved;
  }
}

// The thread whose turn is next; kMaxThreads: all have exited.
HEARTH_EMULATOR_UNCHECKED unsigned NextThread() {
  if (block.live == 0) return kMaxThreads;
  for (;;) {
    while (block.cursor < block.count) {
      const unsigned number = block.order[block.cursor++];
      if (block.states[number] > kReady) continue;
      block.moved = true;
      return number;
    }
    if (!block.moved) FailDeadlock();
    block.moved = false;
    block.cursor = 0;
    if (block.thread_order == ThreadOrder::kRandom) ShuffleOrder();
  }
}

HEARTH_EMULATOR_UNCHECKED void MakeCurrent(unsigned number) {
  block.current = number;
  block.states[number] = kRunning;
  current_thread = &block.threads[number].index;
  block.runs++;
}

void RunThreads();

Fiber* NewFiber() {
  block.fibers.push_back(std::make_unique<Fiber>(&RunThreads, static_cast<unsigned>(block.fibers.size())));
  return block.fibers.back().get();
}

// Lets a thread go on, or start on a free fiber. Returns when the caller's turn comes.
HEARTH_EMULATOR_UNCHECKED void Enter(Fiber* self, unsigned number) {
  Thread& thread = block.threads[number];
  if (block.states[number] == kUnstarted) {
    thread.fiber = block.free_count > 0 ? block.free_fibers[--block.free_count] : NewFiber();
  }
  MakeCurrent(number);
  if (thread.fiber == self) return;
  ReleaseTo(&block.switch_order);
  self->SwitchTo(*thread.fiber);
}

HEARTH_EMULATOR_UNCHECKED void ReleaseBarrier() {
  for (unsigned i = 0; i < block.count; i++) {
    if (block.states[i] == kAtBarrier) block.states[i] = kReady;
  }
  block.at_barrier = 0;
  block.generation++;
}

// Exited threads no longer count at the barrier; nobody may wait for them in a warp operation.
HEARTH_EMULATOR_UNCHECKED void FinishThread() {
  const unsigned number = block.current;
  Warp& warp = block.warps[number / 32];
  block.states[number] = kExited;
  warp.exited |= 1u << number % 32;
  for (uint32_t waiting = warp.waiting; waiting != 0; waiting &= waiting - 1) {
    const WarpCall& call =
        *block.threads[number / 32 * 32 + static_cast<unsigned>(__builtin_ctz(waiting))].call;
    if ((call.mask >> number % 32 & 1) == 0) continue;
    FailKernel(call.where, std::string("a lane exited while others wait for it in ") + call.name,
               DescribeWarp(number / 32));
  }
  block.live--;
  if (block.at_barrier != 0 && block.at_barrier == block.live) ReleaseBarrier();
}

// What each fiber does, for ever: run its thread, then the threads that have not started, then wait for
// another one.
HEARTH_EMULATOR_UNCHECKED void RunThreads() {
  Fiber::Arrive();
  for (;;) {
    Fiber* self = block.threads[block.current].fiber;
    AcquireFrom(&block.start_order);
    (*block.body)();
    ReleaseTo(&block.end_order);
    FinishThread();
    const unsigned next = NextThread();
    if (next == kMaxThreads) {
      current_thread = nullptr;
      if (kReuseFibers) block.free_fibers[block.free_count++] = self;
      self->SwitchTo(*block.host);
    } else {
      if (kReuseFibers) block.free_fibers[block.free_count++] = self;
      Enter(self, next);
    }
  }
}

// The threads' orders and places, which all blocks of a grid share.
void PrepareThreads(const Grid& grid) {
  const dim3 size = grid.block_dim;
  for (unsigned i = 0; i < block.count; i++) {
    const uint3 thread = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    block.threads[i].index = {thread, {}, size, grid.grid_dim, i};
    block.order[i] =
        static_cast<uint16_t>(block.thread_order == ThreadOrder::kReverse ? block.count - 1 - i : i);
  }
}

void PrepareBlock(const Grid& grid, uint3 index) {
  for (unsigned i = 0; i < block.count; i++) {
    Thread& thread = block.threads[i];
    thread.index.block = index;
    thread.copies.clear();
    thread.groups.clear();
    block.states[i] = kUnstarted;
  }
  for (unsigned i = 0; i * 32 < block.count; i++) {
    const unsigned lanes = std::min(block.count - i * 32, 32u);
    block.warps[i].lanes = ~0u >> (32 - lanes);
    block.warps[i].waiting = 0;
    block.warps[i].exited = 0;
  }
  block.live = block.count;
  block.cursor = 0;
  block.moved = false;
  block.at_barrier = 0;
  if (block.thread_order == ThreadOrder::kRandom) ShuffleOrder();
  block.shared.Begin(grid.dynamic_shared_bytes);
  if (!kReuseFibers || block.free_count != block.fibers.size()) {
    block.free_count = 0;
    for (size_t i = block.fibers.size(); i > 0; i--)
      block.free_fibers[block.free_count++] = block.fibers[i - 1].get();
  }
}

void RunBlock(const Grid& grid, uint3 index) {
  PrepareBlock(grid, index);
  ReleaseTo(&block.start_order);
  Enter(block.host, NextThread());
  AcquireFrom(block.failed ? &block.switch_order : &block.end_order);
}

}  // namespace

HEARTH_EMULATOR_UNCHECKED bool IsSamePlace(const Location& a, const Location& b) {
  return a.line == b.line && a.number == b.number && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

HEARTH_EMULATOR_UNCHECKED void Wait(State state) {
  const unsigned number = block.current;
  block.states[number] = state;
  Enter(block.threads[number].fiber, NextThread());
}

HEARTH_EMULATOR_UNCHECKED void SyncBlock(Location where) {
  const unsigned number = block.current;
  if (block.at_barrier > 0 && !IsSamePlace(block.barrier, where)) {
    block.threads[number].barrier = where;
    FailKernel(where, "threads of one block wait at different __syncthreads", DescribeBlock());
  }
  block.barrier = where;
  block.threads[number].barrier = where;
  char* memory_order = &block.barrier_order[block.generation & 1];
  ReleaseTo(memory_order);
  if (++block.at_barrier == block.live) {
    ReleaseBarrier();
  } else {
    Wait(kAtBarrier);
  }
  AcquireFrom(memory_order);
}

void FenceMemory() {
  AcquireFrom(&block.fence_order);
  ReleaseTo(&block.fence_order);
  if constexpr (!kThreadSanitizer) __atomic_thread_fence(__ATOMIC_SEQ_CST);  // which it does not understand
}

HEARTH_EMULATOR_UNCHECKED void* StaticShared(const void* key, size_t bytes, size_t alignment) {
  void* data = block.shared.Static(key, bytes, alignment, block.shared_limit_bytes);
  if (data == nullptr) FailKernel({}, "the block has more shared memory than the device allows");
  return data;
}

HEARTH_EMULATOR_UNCHECKED void* DynamicShared() { return block.shared.Dynamic(); }

std::string RunGrid(const Grid& grid) {
  Fiber host;
  block.host = &host;
  block.body = grid.body;
  block.shared_limit_bytes = grid.shared_limit_bytes;
  block.count = grid.block_dim.x * grid.block_dim.y * grid.block_dim.z;
  PrepareThreads(grid);
  while (!kReuseFibers && block.fibers.size() < block.count) NewFiber();
  for (unsigned z = 0; z < grid.grid_dim.z && !block.failed; z++) {
    for (unsigned y = 0; y < grid.grid_dim.y && !block.failed; y++) {
      for (unsigned x = 0; x < grid.grid_dim.x && !block.failed; x++) RunBlock(grid, {x, y, z});
    }
  }
  block.host = nullptr;
  if (block.failed) block.fibers.clear();  // they are in the middle of threads that will not go on
  if (block.failed) block.free_count = 0;
  block.failed = false;
  return std::exchange(block.failure, "");
}

void SetGridOrder(ThreadOrder order, uint64_t seed) {
  block.thread_order = order;
  block.random = seed * 0x9e3779b97f4a7c15u | 1;
}

uint64_t CountThreadRuns() { return block.runs; }

}  // namespace hearth::cuda_emu::internal
