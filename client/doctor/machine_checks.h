#ifndef HEARTH_CLIENT_DOCTOR_MACHINE_CHECKS_H_
#define HEARTH_CLIENT_DOCTOR_MACHINE_CHECKS_H_

#include <cstdint>
#include <optional>
#include <string>

#include "client/doctor/finding.h"
#include "engine/base/system_files.h"

namespace hearth {

// What the machine itself says, from /proc and /sys. Each check adds what it has found, one finding at least.

// Which kernels the processors' instruction sets allow.
void CheckProcessor(const SystemFiles& files, Findings& findings);
// How much there is, what limits it, and whether a daemon's lies on the disk.
void CheckMemory(const SystemFiles& files, Findings& findings);
void CheckHugePages(const SystemFiles& files, Findings& findings);
// Limits of the daemon's process, or of this one's where none runs, and what the kernel forbids.
void CheckLimits(const SystemFiles& files, Findings& findings);
// Graphics cards and their drivers. `offered`: whether a daemon that answered offers a card; nullopt: none
// answered.
void CheckGraphics(const SystemFiles& files, std::optional<bool> offered, Findings& findings);

// The folder for models.
struct DiskView {
  std::string folder;
  uint64_t free_bytes = 0;
  uint64_t total_bytes = 0;          // 0: there is no such folder
  double read_bytes_per_second = 0;  // of a model there, past the page cache; 0: not measured
};
void CheckDisk(const DiskView& disk, Findings& findings);
// Looks at the folder; reads a part of `file`, unless it is empty, for half a second at most.
DiskView LookAtDisk(const std::string& folder, const std::string& file);

}  // namespace hearth

#endif  // HEARTH_CLIENT_DOCTOR_MACHINE_CHECKS_H_
