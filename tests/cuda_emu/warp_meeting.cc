// How the lanes of a warp meet: the checks and the exchange.
#include <string>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/block_state.h"
#include "tests/cuda_emu/sanitizers.h"

namespace hearth::cuda_emu::internal {
namespace {

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

}  // namespace hearth::cuda_emu::internal
