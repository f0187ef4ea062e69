#ifndef HEARTH_ENGINE_BASE_FAULT_GUARD_H_
#define HEARTH_ENGINE_BASE_FAULT_GUARD_H_

#include <cstddef>

#include "absl/status/statusor.h"

namespace hearth {

// Keeps the process alive when a mapped file becomes shorter, or its disk fails: the kernel answers the next
// read of what is gone with SIGBUS. Guarded mappings are then replaced by zeros as a whole, so that readers
// need no checks of their own and ask faulted() when they have read. Faults elsewhere end the process as
// before. Thread-safe.
class FaultGuard {
 public:
  // Guards a read-only mapping that outlives this. RESOURCE_EXHAUSTED beyond 1024 of them at a time. The
  // first call installs the process's handler of SIGBUS.
  static absl::StatusOr<FaultGuard> Watch(const void* data, size_t size);

  FaultGuard(FaultGuard&& other) noexcept;
  FaultGuard& operator=(FaultGuard&& other) noexcept;
  ~FaultGuard();

  // Whether the mapping has been replaced by zeros.
  bool faulted() const;

 private:
  struct Range;
  friend struct FaultHandler;
  explicit FaultGuard(Range* range) : range_(range) {}

  Range* range_;  // null: moved from
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_FAULT_GUARD_H_
