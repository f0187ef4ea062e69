// Explains faults in device memory before the process ends with status 86, as other found bugs do.
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/cuda_emu/block.h"
#include "tests/cuda_emu/runtime_state.h"

namespace hearth::cuda_emu::internal {
namespace {

struct sigaction former;

// A stack on which the handler can tell that a fiber's has overflowed.
class AlternateStack {
 public:
  AlternateStack() {
    stack_t present = {};
    if (sigaltstack(nullptr, &present) != 0 || (present.ss_flags & SS_DISABLE) == 0) return;
    void* memory = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return;
    memory_ = memory;
    stack_t own = {};
    own.ss_sp = memory_;
    own.ss_size = kBytes;
    sigaltstack(&own, nullptr);
  }
  ~AlternateStack() {
    if (memory_ == nullptr) return;
    stack_t none = {};
    none.ss_flags = SS_DISABLE;
    sigaltstack(&none, nullptr);
    munmap(memory_, kBytes);
  }

 private:
  static constexpr size_t kBytes = size_t{64} << 10;
  void* memory_ = nullptr;
};

// What the runtime knows of the address; null: nothing, or somebody else is in the runtime for longer than a
// second.
const char* Explain(const void* address) {
  Runtime& runtime = TheRuntime();
  if (in_runtime) return runtime.memory.ExplainFault(address);
  for (int attempt = 0; attempt < 1000; attempt++) {
    if (runtime.mutex.try_lock()) {
      const char* explanation = runtime.memory.ExplainFault(address);
      runtime.mutex.unlock();
      return explanation;
    }
    usleep(1000);
  }
  return nullptr;
}

void Print(const char* who, const void* address, const char* where) {
  char text[512];
  int length = snprintf(text, sizeof text, "cuda emulator: %s touched %p, %s\n", who, address, where);
  if (current_thread != nullptr && length > 0) {
    const uint3 block = current_thread->block;
    const uint3 thread = current_thread->thread;
    length += snprintf(text + length, sizeof text - static_cast<size_t>(length),
                       "  block (%u,%u,%u), thread (%u,%u,%u)\n", block.x, block.y, block.z, thread.x,
                       thread.y, thread.z);
  }
  if (write(STDERR_FILENO, text, static_cast<size_t>(length)) < 0) _exit(87);
}

void Handle(int signal, siginfo_t* info, void* context) {
  const char* explanation = Explain(info->si_addr);
  if (current_thread != nullptr) {
    if (explanation == nullptr) explanation = ExplainKernelFault(info->si_addr);
    Print("a kernel", info->si_addr, explanation);
    _exit(86);
  }
  if (explanation != nullptr) {
    Print("host code", info->si_addr, explanation);
    _exit(86);
  }
  if ((former.sa_flags & SA_SIGINFO) != 0) return former.sa_sigaction(signal, info, context);
  sigaction(signal, &former, nullptr);  // the access is repeated and ends the process
}

}  // namespace

void InstallFaultReport() {
  struct sigaction action = {};
  action.sa_sigaction = &Handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSEGV, &action, &former);
}

void PrepareThreadForFaults() { thread_local const AlternateStack stack; }

}  // namespace hearth::cuda_emu::internal
