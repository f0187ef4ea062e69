#include "engine/base/process_limits.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <optional>
#include <sstream>
#include <string_view>
#include <thread>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace hearth {
namespace {

constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// A number that a file consists of; nullopt for "max", "-1", anything else and no such file.
std::optional<uint64_t> ReadNumber(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  uint64_t value = 0;
  if (!(file >> word) || !absl::SimpleAtoi(word, &value)) return std::nullopt;
  return value;
}

// The value of a line "name value ...".
std::optional<uint64_t> ReadNamed(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  std::string word, rest;
  for (uint64_t value = 0; file >> word; std::getline(file, rest)) {
    if (word == name) return file >> value ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

// A hierarchy of control groups and the directories of those that the process is in, its own first.
struct Groups {
  bool unified = false;  // version 2
  std::vector<std::string> directories;
};

// One line of /proc/self/mountinfo: "30 22 0:27 ROOT MOUNT_POINT options ... - TYPE source super-options".
struct Mount {
  std::string root, point, type, options;
};

std::vector<Mount> ReadMounts(const std::string& root) {
  std::ifstream file(root + "/proc/self/mountinfo");
  std::vector<Mount> mounts;
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2) continue;
    const std::vector<std::string> before = absl::StrSplit(halves[0], ' ');
    const std::vector<std::string> after = absl::StrSplit(halves[1], ' ');
    if (before.size() < 5 || after.size() < 3) continue;
    mounts.push_back({before[3], before[4], after[0], after[2]});
  }
  return mounts;
}

bool HasWord(const std::string& list, std::string_view word) {
  for (const absl::string_view item : absl::StrSplit(list, ',')) {
    if (std::string_view(item.data(), item.size()) == word) return true;
  }
  return false;
}

// The path of the process in a hierarchy, as /proc/self/cgroup has it: "4:memory:/path", version 2
// "0::/path".
std::optional<std::string> PathInHierarchy(const std::string& root, std::string_view controller) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const std::vector<std::string> parts = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (parts.size() == 3 && (controller.empty() ? parts[1].empty() : HasWord(parts[1], controller))) {
      return parts[2];
    }
  }
  return std::nullopt;
}

// The directories from the process's own group up to the mount point. In a container the mount may show only
// a part of the hierarchy: what lies above its root is not there.
Groups DirectoriesOf(const std::string& root, const Mount& mount, std::string path, bool unified) {
  Groups groups{unified, {}};
  if (mount.root != "/" && path.starts_with(mount.root)) path.erase(0, mount.root.size());
  while (!path.empty() && path != "/") {
    groups.directories.push_back(root + mount.point + path);
    path.erase(path.rfind('/'));
  }
  groups.directories.push_back(root + mount.point);
  return groups;
}

// The control groups that limit `controller`, in every version that the machine has mounted.
std::vector<Groups> FindGroups(const std::string& root, const std::string& controller) {
  std::vector<Groups> found;
  for (const Mount& mount : ReadMounts(root)) {
    const bool unified = mount.type == "cgroup2";
    if (!unified && !(mount.type == "cgroup" && HasWord(mount.options, controller))) continue;
    const auto path = PathInHierarchy(root, unified ? "" : controller);
    if (path) found.push_back(DirectoriesOf(root, mount, *path, unified));
  }
  return found;
}

// CPUs' worth of time that one group may use.
std::optional<double> CpuQuota(const std::string& directory, bool unified) {
  std::optional<uint64_t> quota, period;
  if (unified) {
    quota = ReadNumber(directory + "/cpu.max");
    if (quota) period = ReadNamed(directory + "/cpu.max", std::to_string(*quota));
  } else {
    quota = ReadNumber(directory + "/cpu.cfs_quota_us");
    period = ReadNumber(directory + "/cpu.cfs_period_us");
  }
  if (!quota || !period || *quota == 0 || *period == 0) return std::nullopt;
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

struct MemoryLimit {
  uint64_t limit = kNoLimit;
  uint64_t free = kNoLimit;  // of the limit, less what is used and cannot be given back
};

MemoryLimit LimitOf(const std::string& directory, bool unified) {
  const auto limit = ReadNumber(directory + (unified ? "/memory.max" : "/memory.limit_in_bytes"));
  if (!limit) return {};
  const uint64_t used =
      ReadNumber(directory + (unified ? "/memory.current" : "/memory.usage_in_bytes")).value_or(0);
  uint64_t cached = 0;
  for (const char* list : {"active_file", "inactive_file"}) {
    cached +=
        ReadNamed(directory + "/memory.stat", (unified ? "" : "total_") + std::string(list)).value_or(0);
  }
  const uint64_t kept = used - std::min(used, cached);
  return {*limit, *limit - std::min(*limit, kept)};
}

int BoundCpus() {
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof(set), &set) == 0) return std::max(1, CPU_COUNT(&set));
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

std::string Describe(const ProcessLimits& limits, int cpus, double quota, uint64_t machine_bytes) {
  constexpr double kGib = 1 << 30;
  std::string text = absl::StrFormat("%d threads", limits.threads);
  if (quota < cpus) absl::StrAppendFormat(&text, " (CPU quota %.3g of %d CPUs)", quota, cpus);
  absl::StrAppendFormat(&text, ", %.1f GiB of memory", static_cast<double>(limits.memory_bytes) / kGib);
  if (limits.memory_bytes < machine_bytes) {
    absl::StrAppendFormat(&text, " (limit of its control group; the machine has %.1f GiB)",
                          static_cast<double>(machine_bytes) / kGib);
  }
  return text;
}

}  // namespace

ProcessLimits ReadProcessLimits(const std::string& root) {
  const int cpus = BoundCpus();
  double quota = cpus;
  for (const Groups& groups : FindGroups(root, "cpu")) {
    for (const std::string& directory : groups.directories) {
      quota = std::min(quota, CpuQuota(directory, groups.unified).value_or(quota));
    }
  }
  const std::string memory_info = root + "/proc/meminfo";
  const uint64_t machine_bytes = ReadNamed(memory_info, "MemTotal:").value_or(0) * 1024;
  MemoryLimit memory{machine_bytes, ReadNamed(memory_info, "MemAvailable:").value_or(0) * 1024};
  for (const Groups& groups : FindGroups(root, "memory")) {
    for (const std::string& directory : groups.directories) {
      const MemoryLimit group = LimitOf(directory, groups.unified);
      memory.limit = std::min(memory.limit, group.limit);
      memory.free = std::min(memory.free, group.free);
    }
  }
  ProcessLimits limits;
  limits.threads = std::max(1, static_cast<int>(std::ceil(quota)));
  limits.cpu_time_is_limited = quota < cpus;
  limits.memory_bytes = memory.limit;
  limits.memory_free_bytes = memory.free;
  limits.text = Describe(limits, cpus, quota, machine_bytes);
  return limits;
}

}  // namespace hearth
