#include "placement/cluster.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/str_cat.h"

namespace hearth::placement {
namespace {

// 1 PiB; keeps every sum of sizes far from overflow.
constexpr uint64_t kMaxMemoryBytes = uint64_t{1} << 50;

bool IsPositive(double value) { return std::isfinite(value) && value > 0; }
bool IsTime(double value) { return std::isfinite(value) && value >= 0; }

absl::Status BadFigure(const std::string& where, const char* figure, double value, const char* wanted) {
  return absl::InvalidArgumentError(absl::StrCat(where, ": ", figure, " is ", value, ", expected ", wanted));
}

absl::Status ValidateDevice(const std::string& where, const Device& device) {
  if (device.memory_bytes > kMaxMemoryBytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, ": no device has ", device.memory_bytes, " bytes of memory"));
  }
  if (!IsPositive(device.read_bytes_per_s)) {
    return BadFigure(where, "read_bytes_per_s", device.read_bytes_per_s, "a positive number");
  }
  if (!IsPositive(device.operations_per_s)) {
    return BadFigure(where, "operations_per_s", device.operations_per_s, "a positive number");
  }
  if (!IsTime(device.dispatch_us)) {
    return BadFigure(where, "dispatch_us", device.dispatch_us, "zero or a positive number");
  }
  return absl::OkStatus();
}

absl::Status ValidateLink(const std::string& where, const Link& link) {
  if (!IsTime(link.round_trip_us)) {
    return BadFigure(where, "link round_trip_us", link.round_trip_us, "zero or a positive number");
  }
  if (!IsPositive(link.bytes_per_s)) {
    return BadFigure(where, "link bytes_per_s", link.bytes_per_s, "a positive number");
  }
  return absl::OkStatus();
}

absl::Status ValidateHost(const Host& host, bool is_leader) {
  const std::string where = absl::StrCat("host ", host.name);
  std::set<std::string> names;
  for (const Device& device : host.devices) {
    if (device.name.empty()) return absl::InvalidArgumentError(absl::StrCat(where, ": a device has no name"));
    if (!names.insert(device.name).second) {
      return absl::InvalidArgumentError(absl::StrCat(where, ": two devices are called ", device.name));
    }
    const absl::Status status = ValidateDevice(absl::StrCat(where, ", device ", device.name), device);
    if (!status.ok()) return status;
  }
  return is_leader ? absl::OkStatus() : ValidateLink(where, host.link);
}

}  // namespace

std::string_view DeviceKindName(DeviceKind kind) {
  switch (kind) {
    case DeviceKind::kGpu:
      return "gpu";
    case DeviceKind::kDisk:
      return "disk";
    case DeviceKind::kCpu:
      break;
  }
  return "cpu";
}

std::optional<DeviceKind> DeviceKindOf(std::string_view name) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kGpu, DeviceKind::kDisk}) {
    if (DeviceKindName(kind) == name) return kind;
  }
  return std::nullopt;
}

bool SameFigures(const Host& a, const Host& b) {
  return a.link == b.link &&
         std::equal(a.devices.begin(), a.devices.end(), b.devices.begin(), b.devices.end(),
                    [](const Device& x, const Device& y) {
                      return x.kind == y.kind && x.read_bytes_per_s == y.read_bytes_per_s &&
                             x.operations_per_s == y.operations_per_s && x.dispatch_us == y.dispatch_us;
                    });
}

std::vector<DeviceRef> ListDevices(const Cluster& cluster) {
  std::vector<DeviceRef> devices;
  for (uint32_t host = 0; host < cluster.hosts.size(); ++host) {
    for (uint32_t device = 0; device < cluster.hosts[host].devices.size(); ++device) {
      devices.push_back({host, device});
    }
  }
  return devices;
}

absl::Status ValidateCluster(const Cluster& cluster) {
  if (cluster.hosts.empty()) return absl::InvalidArgumentError("the cluster has no hosts");
  if (cluster.leader >= cluster.hosts.size()) {
    return absl::InvalidArgumentError(absl::StrCat("the leader is host number ", cluster.leader,
                                                   " of a cluster of ", cluster.hosts.size(),
                                                   ": there is no such host"));
  }
  if (cluster.hosts[cluster.leader].devices.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("host ", cluster.hosts[cluster.leader].name, " leads but has no device"));
  }
  if (const Device& first = cluster.hosts[cluster.leader].devices.front(); first.kind == DeviceKind::kDisk) {
    return absl::InvalidArgumentError(absl::StrCat("host ", cluster.hosts[cluster.leader].name,
                                                   " leads with ", first.name,
                                                   ", a disk: its first device is to be another one"));
  }
  std::set<std::string> names;
  for (size_t i = 0; i < cluster.hosts.size(); ++i) {
    const Host& host = cluster.hosts[i];
    if (host.name.empty()) return absl::InvalidArgumentError("a host has no name");
    if (!names.insert(host.name).second) {
      return absl::InvalidArgumentError(absl::StrCat("two hosts are called ", host.name));
    }
    const absl::Status status = ValidateHost(host, i == cluster.leader);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

}  // namespace hearth::placement
