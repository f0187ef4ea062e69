#include "placement/memory_budget.h"

#include <algorithm>
#include <limits>
#include <string>

#include "absl/strings/str_cat.h"
#include "placement/units.h"

namespace hearth::placement {
namespace {

uint64_t Sum(const std::vector<uint64_t>& values) {
  uint64_t sum = 0;
  for (uint64_t value : values) {
    if (__builtin_add_overflow(sum, value, &sum)) return std::numeric_limits<uint64_t>::max();
  }
  return sum;
}

uint64_t CacheBytes(const Model& model) {
  uint64_t bytes = 0;
  for (const Section& section : model.sections) {
    for (const Group& group : section.groups) bytes += group.cache_bytes;
  }
  return bytes;
}

// What disks can hold of a model, with as much memory for what is resident.
uint64_t OnDiskBytes(const Model& model, uint64_t memory_bytes) {
  if (memory_bytes == 0) return 0;
  double bytes = 0, resident = 0;
  for (const Section& section : model.sections) {
    for (const Group& group : section.groups) {
      if (!section.on_disk) continue;
      bytes += static_cast<double>(group.memory_bytes());
      resident += static_cast<double>(group.resident_bytes);
    }
  }
  const double part = resident > 0 ? std::min(1.0, static_cast<double>(memory_bytes) / resident) : 1;
  return static_cast<uint64_t>(part * bytes);
}

// "43 %", rounded down.
std::string PercentOf(uint64_t part, uint64_t whole) {
  return absl::StrCat(static_cast<int>(100 * (static_cast<double>(part) / static_cast<double>(whole))), " %");
}

}  // namespace

absl::StatusOr<std::vector<uint64_t>> GroupMemory(const Cluster& cluster, const Model& model) {
  std::vector<uint64_t> memory;
  for (const DeviceRef& ref : ListDevices(cluster)) {
    const Host& host = cluster.hosts[ref.host];
    const Device& device = host.devices[ref.device];
    uint64_t bytes =
        device.kind == DeviceKind::kDisk ? OnDiskBytes(model, device.memory_bytes / 2) : device.memory_bytes;
    if (ref.host == cluster.leader && ref.device == 0) {
      if (bytes < model.leader_memory_bytes) {
        return absl::ResourceExhaustedError(absl::StrCat(
            "the leader's part of the model (embedding, norms, buffers) needs ",
            FormatBytes(model.leader_memory_bytes), ", but device ", host.name, "/", device.name, " offers ",
            FormatBytes(bytes), ": ", FormatBytes(model.leader_memory_bytes - bytes),
            " are missing; offer more memory, or use a shorter context or a smaller quantisation"));
      }
      bytes -= model.leader_memory_bytes;
    }
    if (ref.host == cluster.leader && cluster.leader_only_leads) bytes = 0;
    memory.push_back(bytes);
  }
  return memory;
}

absl::Status DoesNotFit(const Model& model, const std::vector<uint64_t>& memory) {
  const uint64_t needed = GroupBytes(model);
  const uint64_t offered = Sum(memory);
  const std::string start =
      absl::StrCat("the model needs ", FormatBytes(needed), " besides the leader's part, all devices offer ",
                   FormatBytes(offered));
  if (needed > offered) {
    const uint64_t missing = needed - offered, cache = CacheBytes(model);
    std::string message = absl::StrCat(start, ": ", FormatBytes(missing),
                                       " are missing; offer more memory, add a host, or use a smaller "
                                       "quantisation");
    if (offered > cache) {
      absl::StrAppend(&message, " (it fits with weights of ", PercentOf(offered - cache, needed - cache),
                      " of this size)");
    }
    if (cache > missing) {
      absl::StrAppend(&message, " or a shorter context or fewer slots (it fits with a cache of ",
                      PercentOf(cache - missing, cache), " of this one's ", FormatBytes(cache), ")");
    }
    return absl::ResourceExhaustedError(message);
  }
  return absl::ResourceExhaustedError(absl::StrCat(
      start, " but in pieces that are too small: the groups cannot be divided; offer a little more memory"));
}

bool MayHold(const Cluster& cluster, const DeviceRef& device, const Section& section) {
  if (section.stays_with_leader && device.host != cluster.leader) return false;
  switch (cluster.hosts[device.host].devices[device.device].kind) {
    case DeviceKind::kGpu:
      return !section.cpu_only;
    case DeviceKind::kDisk:
      return section.on_disk;
    case DeviceKind::kCpu:
      break;
  }
  return true;
}

bool AreTwins(const Cluster& cluster, absl::Span<const DeviceRef> devices, uint32_t host, uint32_t other,
              absl::Span<const uint64_t> memory_bytes, absl::Span<const double> us_per_byte) {
  if (host == cluster.leader || other == cluster.leader ||
      !SameFigures(cluster.hosts[host], cluster.hosts[other])) {
    return false;
  }
  const auto first = [&](uint32_t h) {
    return static_cast<size_t>(
        std::find_if(devices.begin(), devices.end(), [h](const DeviceRef& d) { return d.host == h; }) -
        devices.begin());
  };
  for (size_t i = 0; i < cluster.hosts[host].devices.size(); ++i) {
    const size_t a = first(host) + i, b = first(other) + i;
    if (memory_bytes[a] != memory_bytes[b] || us_per_byte[a] != us_per_byte[b]) return false;
  }
  return true;
}

}  // namespace hearth::placement
