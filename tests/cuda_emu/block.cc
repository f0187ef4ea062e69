#include "tests/cuda_emu/block.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include "tests/cuda_emu/emulator_control.h"
#include "tests/cuda_emu/fiber.h"
#include "tests/cuda_emu/sanitizers.h"
#include "tests/cuda_emu/shared_memory.h"

namespace hearth::cuda_emu::internal {

__thread const ThreadIndex* current_thread = nullptr;

namespace {

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

Block& block = *new Block;

// Under ThreadSanitizer each thread of a block needs a fiber of its own, or it would seem ordered after its
// forerunner.
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

std::string Text(uint3 index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}

std::string Text(Location where) { return std::string(where.file) + ":" + std::to_string(where.line); }

std::string Hexadecimal(uint32_t mask) {
  char text[16];
  snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

HEARTH_EMULATOR_UNCHECKED std::string DescribeThread(unsigned number) {
  const Thread& thread = block.threads[number];
  switch (block.states[number]) {
    case kUnstarted:
      return "not started";
    case kReady:
      return "able to go on";
    case kRunning:
      return "running";
    case kAtBarrier:
      return "waits in __syncthreads at " + Text(thread.barrier);
    case kAtWarpCall:
      return std::string("waits in ") + thread.call->name + " at " + Text(thread.call->where) + ", mask " +
             Hexadecimal(thread.call->mask);
    case kExited:
      break;
  }
  return "exited";
}

// One line for each run of threads in [begin, end) that are in the same situation.
std::string DescribeThreads(unsigned begin, unsigned end) {
  std::string text;
  for (unsigned first = begin; first < end;) {
    const std::string situation = DescribeThread(first);
    unsigned next = first + 1;
    while (next < end && DescribeThread(next) == situation) next++;
    const std::string last = next - 1 > first ? "-" + std::to_string(next - 1) : "";
    text += "  thread" + std::string(last.empty() ? " " : "s ") + std::to_string(first) + last + ": " +
            situation + "\n";
    first = next;
  }
  return text;
}

std::string DescribeWarp(unsigned warp) {
  return DescribeThreads(warp * 32, std::min(block.count, warp * 32 + 32));
}

// Leaves the grid for good: the stack that this runs on is not unwound.
[[noreturn]] HEARTH_EMULATOR_UNCHECKED void Abandon(std::string&& report) {
  block.failure = std::move(report);
  block.failed = true;
  current_thread = nullptr;
  ReleaseTo(&block.switch_order);
  block.threads[block.current].fiber->SwitchTo(*block.host);
  abort();
}

[[noreturn]] HEARTH_EMULATOR_UNCHECKED void FailDeadlock() {
  std::string report = "cuda emulator: deadlock: every thread of block " +
                       Text(block.threads[0].index.block) + " waits\n" + DescribeThreads(0, block.count);
  Abandon(std::move(report));
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

// The current thread waits until its state has become kReady and its turn comes.
HEARTH_EMULATOR_UNCHECKED void Wait(State state) {
  const unsigned number = block.current;
  block.states[number] = state;
  Enter(block.threads[number].fiber, NextThread());
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

HEARTH_EMULATOR_UNCHECKED bool IsSamePlace(const Location& a, const Location& b) {
  return a.line == b.line && a.number == b.number && (a.file == b.file || strcmp(a.file, b.file) == 0);
}

HEARTH_EMULATOR_UNCHECKED bool IsSameCall(const WarpCall& a, const WarpCall& b) {
  return a.mask == b.mask && a.combine == b.combine && IsSamePlace(a.where, b.where);
}

// The checks that need no other lane.
HEARTH_EMULATOR_UNCHECKED void CheckMask(const WarpCall& call, unsigned number) {
  const Warp& warp = block.warps[number / 32];
  const char* wrong = nullptr;
  if ((call.mask & warp.exited) != 0) wrong = "a lane that has exited is in the mask of ";
  if ((call.mask & ~warp.lanes) != 0) wrong = "lanes that the block does not have are in the mask of ";
  if ((call.mask >> number % 32 & 1) == 0) wrong = "the calling lane is not in the mask of ";
  if (wrong == nullptr) return;
  FailKernel(call.where, std::string(wrong) + call.name + ", " + Hexadecimal(call.mask),
             DescribeWarp(number / 32));
}

// Whether the lanes of the mask are all here now; it is an error if they are here for different operations.
HEARTH_EMULATOR_UNCHECKED bool IsLastToMeet(const WarpCall& call, unsigned number) {
  const uint32_t others = call.mask & ~(1u << number % 32);
  if ((block.warps[number / 32].waiting & others) != others) return false;
  for (uint32_t left = others; left != 0; left &= left - 1) {
    const unsigned other = number / 32 * 32 + static_cast<unsigned>(__builtin_ctz(left));
    if (IsSameCall(*block.threads[other].call, call)) continue;
    FailKernel(call.where,
               std::string("lanes of one mask are in different warp operations, one in ") + call.name,
               DescribeWarp(number / 32));
  }
  return true;
}

// Combines what the lanes gave and lets the others go on.
HEARTH_EMULATOR_UNCHECKED void Meet(const WarpCall& call, unsigned number) {
  const unsigned first = number / 32 * 32;
  if (call.combine != nullptr) {
    LaneWords lanes[32];
    for (uint32_t left = call.mask; left != 0; left &= left - 1) {
      const unsigned lane = static_cast<unsigned>(__builtin_ctz(left));
      lanes[lane] = block.threads[first + lane].call->words;
    }
    call.combine(lanes, call.mask);
  }
  for (uint32_t left = call.mask & ~(1u << number % 32); left != 0; left &= left - 1) {
    block.states[first + static_cast<unsigned>(__builtin_ctz(left))] = kReady;
  }
  block.warps[number / 32].waiting &= ~call.mask;
}

}  // namespace

HEARTH_EMULATOR_UNCHECKED void FailKernel(Location where, std::string what, std::string details) {
  const ThreadIndex& index = block.threads[block.current].index;
  std::string report = "cuda emulator: " + std::exchange(what, {}) + "\n  at " + Text(where) + " in " +
                       where.function + ", block " + Text(index.block) + ", thread " + Text(index.thread) +
                       "\n" + std::exchange(details, {});
  Abandon(std::move(report));
}

HEARTH_EMULATOR_UNCHECKED void SyncBlock(Location where) {
  const unsigned number = block.current;
  if (block.at_barrier > 0 && !IsSamePlace(block.barrier, where)) {
    block.threads[number].barrier = where;
    FailKernel(where, "threads of one block wait at different __syncthreads",
               DescribeThreads(0, block.count));
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

HEARTH_EMULATOR_UNCHECKED void SyncWarp(const WarpCall& call) {
  const unsigned number = block.current;
  Warp& warp = block.warps[number / 32];
  CheckMask(call, number);
  block.threads[number].call = &call;
  if (call.orders_memory) ReleaseTo(&warp.memory_order);
  if (IsLastToMeet(call, number)) {
    Meet(call, number);
  } else {
    warp.waiting |= 1u << number % 32;
    Wait(kAtWarpCall);
  }
  if (call.orders_memory) AcquireFrom(&warp.memory_order);
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

void StartAsyncCopy(void* shared, const void* global, Location where) {
  const auto address_bits = reinterpret_cast<uintptr_t>(shared) | reinterpret_cast<uintptr_t>(global);
  if (address_bits % 16 != 0) FailKernel(where, "an address of CopyAsync16 is not a multiple of 16");
  if (!block.shared.Holds(shared, 16)) FailKernel(where, "the target of CopyAsync16 is not in shared memory");
  memset(shared, 0xff, 16);
  block.threads[current_thread->linear].copies.push_back({shared, global, where});
}

void CommitAsyncCopies() {
  Thread& thread = block.threads[current_thread->linear];
  thread.groups.push_back(thread.copies.size());
}

void FinishAsyncCopies(size_t pending_groups) {
  Thread& thread = block.threads[current_thread->linear];
  if (thread.groups.size() <= pending_groups) return;
  const size_t finished_groups = thread.groups.size() - pending_groups;
  const size_t finished = thread.groups[finished_groups - 1];
  for (size_t i = 0; i < finished; i++) memcpy(thread.copies[i].shared, thread.copies[i].global, 16);
  thread.copies.erase(thread.copies.begin(), thread.copies.begin() + static_cast<ptrdiff_t>(finished));
  thread.groups.erase(thread.groups.begin(), thread.groups.begin() + static_cast<ptrdiff_t>(finished_groups));
  for (size_t& end : thread.groups) end -= finished;
}

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

const char* ExplainKernelFault(const void* address) {
  if (block.threads[block.current].fiber->OverflowedAt(address)) return "the end of its stack";
  return block.shared.FollowedBy(address) ? "past the end of dynamic shared memory"
                                          : "which is not its memory";
}

uint64_t CountThreadRuns() { return block.runs; }

}  // namespace hearth::cuda_emu::internal
