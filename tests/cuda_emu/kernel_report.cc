// What is told of a kernel that went wrong.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <utility>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/block_state.h"
#include "tests/cuda_emu/sanitizers.h"

namespace hearth::cuda_emu::internal {
namespace {

std::string Text(uint3 index) {
  return "(" + std::to_string(index.x) + "," + std::to_string(index.y) + "," + std::to_string(index.z) + ")";
}

std::string Text(Location where) { return std::string(where.file) + ":" + std::to_string(where.line); }

HEARTH_EMULATOR_UNCHECKED std::string DescribeThread(unsigned number) {
  const Thread& thread = block.threads[number];
  switch (block.states[number]) {
    case kUnstarted:
      return "not started";
    case kReady:
      return "able to go on";
    case kRunning:
      return "running, at the place above";
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

}  // namespace

std::string Hexadecimal(uint32_t mask) {
  char text[16];
  snprintf(text, sizeof text, "0x%08x", mask);
  return text;
}

std::string DescribeWarp(unsigned warp) {
  return DescribeThreads(warp * 32, std::min(block.count, warp * 32 + 32));
}

std::string DescribeBlock() { return DescribeThreads(0, block.count); }

HEARTH_EMULATOR_UNCHECKED void Abandon(std::string&& report) {
  block.failure = std::move(report);
  block.failed = true;
  current_thread = nullptr;
  ReleaseTo(&block.switch_order);
  block.threads[block.current].fiber->SwitchTo(*block.host);
  abort();
}

HEARTH_EMULATOR_UNCHECKED void FailDeadlock() {
  std::string report = "cuda emulator: deadlock: every thread of block " +
                       Text(block.threads[0].index.block) + " waits\n" + DescribeBlock();
  Abandon(std::move(report));
}

HEARTH_EMULATOR_UNCHECKED void FailKernel(Location where, std::string what, std::string details) {
  const ThreadIndex& index = block.threads[block.current].index;
  std::string report = "cuda emulator: " + std::exchange(what, {}) + "\n  at " + Text(where) + " in " +
                       where.function + ", block " + Text(index.block) + ", thread " + Text(index.thread) +
                       "\n" + std::exchange(details, {});
  Abandon(std::move(report));
}

const char* ExplainKernelFault(const void* address) {
  if (block.threads[block.current].fiber->OverflowedAt(address)) return "the end of its stack";
  return block.shared.FollowedBy(address) ? "past the end of dynamic shared memory"
                                          : "which is not its memory";
}

}  // namespace hearth::cuda_emu::internal
