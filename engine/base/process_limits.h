#ifndef HEARTH_ENGINE_BASE_PROCESS_LIMITS_H_
#define HEARTH_ENGINE_BASE_PROCESS_LIMITS_H_

#include <cstdint>
#include <string>

namespace hearth {

// What this process may use of its machine: the one source of default numbers of threads, of the memory that
// a host offers and of what counts as free. The narrowest limit counts: the machine, the CPUs that the
// process is bound to, and the control groups (cgroup v1 and v2) that it is in, from its own up to the root.
struct ProcessLimits {
  int threads = 1;                   // CPUs it is bound to, at most its quota of CPU time, rounded up
  bool cpu_time_is_limited = false;  // by a quota: waiting busily takes it from computing
  uint64_t memory_bytes = 0;         // of the machine, at most its memory limit
  uint64_t memory_free_bytes = 0;  // available on the machine, at most the limit less what is used; the page
                                   // cache counts as free
  // "2 threads (CPU quota 1.5 of 8 CPUs), 4.0 GiB of memory (limit of its control group; the machine has 16.0
  // GiB)".
  std::string text;

  bool operator==(const ProcessLimits&) const = default;
};

// Reads the limits as they are now. `root` stands before /proc and /sys: "" but for tests. What cannot be
// read does not limit. Thread-safe.
ProcessLimits ReadProcessLimits(const std::string& root = "");

}  // namespace hearth

#endif  // HEARTH_ENGINE_BASE_PROCESS_LIMITS_H_
