#ifndef HEARTH_TESTS_CUDA_EMU_FIBER_H_
#define HEARTH_TESTS_CUDA_EMU_FIBER_H_

#include <cstddef>

#include "tests/cuda_emu/sanitizers.h"

// x86-64 has a switch of its own; other machines take ucontext's, which makes two system calls.
#if !defined(__x86_64__) && !defined(HEARTH_EMULATOR_UCONTEXT)
#define HEARTH_EMULATOR_UCONTEXT 1
#endif
#ifdef HEARTH_EMULATOR_UCONTEXT
#include <ucontext.h>
#endif

namespace hearth::cuda_emu::internal {

// A flow of control with a stack of its own, or the calling thread's. Sanitizers know of the switches; under
// ThreadSanitizer a switch orders nothing between two fibers. Not thread-safe: of all fibers one runs at a
// time.
class Fiber {
 public:
  // Stands for the calling OS thread: what to switch back to.
  Fiber();
  // Will call `entry`, which never returns, at the first switch to it. `number` spreads the stacks' hot ends
  // over the cache's sets.
  Fiber(void (*entry)(), unsigned number);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves this fiber, which must be the running one, for `other`; returns when somebody switches back.
  void SwitchTo(Fiber& other);

  // Must be the first thing that `entry` does.
  static void Arrive();

  // Whether `address` is in the inaccessible page under the stack.
  bool OverflowedAt(const void* address) const;

 private:
  char* mapping_ = nullptr;  // a guard page, then the stack; null: the OS thread's
  char* stack_ = nullptr;
  size_t stack_bytes_ = 0;
  void* stack_pointer_ = nullptr;
#ifdef HEARTH_EMULATOR_UCONTEXT
  ucontext_t context_;
#endif
#ifdef HEARTH_EMULATOR_ASAN
  void* fake_stack_ = nullptr;
  const void* bottom_ = nullptr;
  size_t bottom_bytes_ = 0;
#endif
#ifdef HEARTH_EMULATOR_TSAN
  void* tsan_fiber_ = nullptr;
#endif
};

}  // namespace hearth::cuda_emu::internal

#endif  // HEARTH_TESTS_CUDA_EMU_FIBER_H_
