#include "tests/cuda_emu/fiber.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

#ifndef HEARTH_EMULATOR_UCONTEXT
// Saves what a function must keep on the stack, leaves the stack pointer in *save and continues from `to`.
extern "C" void HearthEmulatorSwitch(void** save, void* to);
asm(R"(.text
.globl HearthEmulatorSwitch
.type HearthEmulatorSwitch,@function
HearthEmulatorSwitch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp,(%rdi)
  mov %rsi,%rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size HearthEmulatorSwitch,.-HearthEmulatorSwitch
)");
#endif

namespace hearth::cuda_emu::internal {
namespace {

// Enough for kernels and their reports; sanitizers and builds without optimisation need more. Only touched
// pages cost.
constexpr size_t kStackBytes = size_t{256} << 10;

// The fiber that was left last: its stack is what the sanitizer says we come from.
Fiber* left = nullptr;
Fiber* entered = nullptr;

}  // namespace

Fiber::Fiber() {
#ifdef HEARTH_EMULATOR_TSAN
  tsan_fiber_ = __tsan_get_current_fiber();
#endif
}

Fiber::Fiber(void (*entry)(), unsigned number) : stack_bytes_(kStackBytes) {
  const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  void* mapping = mmap(nullptr, page + stack_bytes_, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (mapping == MAP_FAILED || mprotect(mapping, page, PROT_NONE) != 0) {
    perror("cuda emulator: no memory for a fiber's stack");
    abort();
  }
  mapping_ = static_cast<char*>(mapping);
  stack_ = mapping_ + page;
  const size_t usable = stack_bytes_ - number * 5 % 61 * 64;
#ifdef HEARTH_EMULATOR_UCONTEXT
  getcontext(&context_);
  context_.uc_stack.ss_sp = stack_;
  context_.uc_stack.ss_size = usable;
  context_.uc_link = nullptr;
  makecontext(&context_, entry, 0);
#else
  // What HearthEmulatorSwitch pops: six registers, then the address to return to. The null behind it ends
  // backtraces.
  auto* top = reinterpret_cast<void**>(stack_ + usable);
  *--top = nullptr;
  *--top = reinterpret_cast<void*>(entry);
  for (int i = 0; i < 6; i++) *--top = nullptr;
  stack_pointer_ = top;
#endif
#ifdef HEARTH_EMULATOR_ASAN
  bottom_ = stack_;
  bottom_bytes_ = stack_bytes_;
#endif
#ifdef HEARTH_EMULATOR_TSAN
  tsan_fiber_ = __tsan_create_fiber(0);
#endif
}

Fiber::~Fiber() {
  if (mapping_ == nullptr) return;
  UnpoisonMemory(stack_, stack_bytes_);
#ifdef HEARTH_EMULATOR_TSAN
  __tsan_destroy_fiber(tsan_fiber_);
#endif
  munmap(mapping_, static_cast<size_t>(stack_ - mapping_) + stack_bytes_);
}

HEARTH_EMULATOR_UNCHECKED void Fiber::SwitchTo(Fiber& other) {
  left = this;
  entered = &other;
#ifdef HEARTH_EMULATOR_TSAN
  __tsan_switch_to_fiber(other.tsan_fiber_, 1);  // 1: orders nothing
#endif
#ifdef HEARTH_EMULATOR_ASAN
  __sanitizer_start_switch_fiber(&fake_stack_, other.bottom_, other.bottom_bytes_);
#endif
#ifdef HEARTH_EMULATOR_UCONTEXT
  swapcontext(&context_, &other.context_);
#else
  HearthEmulatorSwitch(&stack_pointer_, other.stack_pointer_);
#endif
  Arrive();
}

HEARTH_EMULATOR_UNCHECKED void Fiber::Arrive() {
#ifdef HEARTH_EMULATOR_ASAN
  __sanitizer_finish_switch_fiber(entered->fake_stack_, &left->bottom_, &left->bottom_bytes_);
#endif
}

bool Fiber::OverflowedAt(const void* address) const {
  return mapping_ != nullptr && address >= mapping_ && address < stack_;
}

}  // namespace hearth::cuda_emu::internal
