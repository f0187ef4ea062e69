#ifndef HEARTH_DAEMON_CAPACITY_OWNER_SIGNS_H_
#define HEARTH_DAEMON_CAPACITY_OWNER_SIGNS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "daemon/capacity/nvml.h"

namespace hearth {

// What tells whether the owner of this machine wants it for something else. Shares are between 0 and 1.
struct OwnerSigns {
  bool on_battery = false;
  bool lid_closed = false;
  double gpu_share = 0;  // of the graphics card that other programs use most
  double cpu_share = 0;  // of the processors, that other programs have had since the last look; "nice" ones
                         // do not count
  double memory_stall = 0;  // of the last ten seconds, in which some program waited for memory
};

// Looks for them. `root` stands before /proc and /sys: "" but for tests. What cannot be read is no sign.
// Not thread-safe.
class OwnerWatch {
 public:
  explicit OwnerWatch(std::string root = "");

  // Some milliseconds at most; the shares are those since the last call.
  OwnerSigns Look();
  // Whether somebody may sit before this machine: it has a display.
  bool HasDisplay() const;

 private:
  // In ticks since the machine started.
  struct CpuTime {
    uint64_t total = 0;
    uint64_t busy = 0;
    uint64_t own = 0;  // of this process
  };
  CpuTime ReadCpuTime() const;

  const std::string root_;
  CpuTime last_;
  const std::unique_ptr<NvmlUse> nvidia_;  // null in tests
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CAPACITY_OWNER_SIGNS_H_
