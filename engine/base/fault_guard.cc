#include "engine/base/fault_guard.h"

#include <signal.h>
#include <sys/mman.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <mutex>
#include <utility>

#include "absl/status/status.h"

namespace hearth {

// A guarded mapping; the handler reads it at any time, so it is published by `begin` alone.
struct FaultGuard::Range {
  std::atomic<bool> taken{false};
  std::atomic<uintptr_t> begin{0};  // 0: none
  std::atomic<size_t> size{0};
  std::atomic<bool> faulted{false};
};

// What the signal's handler needs; it may use neither locks nor memory that is not there already.
struct FaultHandler {
  static inline std::array<FaultGuard::Range, 1024> ranges;
  static inline struct sigaction former;

  static void Install() {
    struct sigaction action = {};
    action.sa_sigaction = &Handle;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &former);
  }

  static void Handle(int signal, siginfo_t* info, void* context) {
    const int error = errno;
    const bool replaced = Replace(reinterpret_cast<uintptr_t>(info->si_addr));
    errno = error;
    if (replaced) return;
    if ((former.sa_flags & SA_SIGINFO) != 0) return former.sa_sigaction(signal, info, context);
    sigaction(signal, &former, nullptr);  // the read is repeated and ends the process
  }

  static bool Replace(uintptr_t address) {
    for (FaultGuard::Range& range : ranges) {
      const uintptr_t begin = range.begin.load(std::memory_order_acquire);
      const size_t size = range.size.load(std::memory_order_relaxed);
      if (begin == 0 || address < begin || address - begin >= size) continue;
      range.faulted.store(true);
      return mmap(reinterpret_cast<void*>(begin), size, PROT_READ,
                  MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) != MAP_FAILED;
    }
    return false;
  }
};

absl::StatusOr<FaultGuard> FaultGuard::Watch(const void* data, size_t size) {
  static std::once_flag installed;
  std::call_once(installed, FaultHandler::Install);
  for (Range& range : FaultHandler::ranges) {
    if (range.taken.exchange(true)) continue;
    range.faulted.store(false);
    range.size.store(size, std::memory_order_relaxed);
    range.begin.store(reinterpret_cast<uintptr_t>(data), std::memory_order_release);
    return FaultGuard(&range);
  }
  return absl::ResourceExhaustedError("too many files are open; unload models that are not needed");
}

FaultGuard::FaultGuard(FaultGuard&& other) noexcept : range_(std::exchange(other.range_, nullptr)) {}

FaultGuard& FaultGuard::operator=(FaultGuard&& other) noexcept {
  std::swap(range_, other.range_);
  return *this;
}

FaultGuard::~FaultGuard() {
  if (range_ == nullptr) return;
  range_->begin.store(0);
  range_->taken.store(false);
}

bool FaultGuard::faulted() const { return range_ != nullptr && range_->faulted.load(); }

}  // namespace hearth
