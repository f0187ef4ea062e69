#include "placement/plan_time.h"

#include <algorithm>

namespace hearth::placement {
namespace {

constexpr double kUsPerSecond = 1e6;

double LeaderUs(const Cluster& cluster, const Model& model) {
  const Device& device = cluster.hosts[cluster.leader].devices.front();
  return kUsPerSecond * std::max(static_cast<double>(model.leader_bytes_per_token) / device.read_bytes_per_s,
                                 model.leader_operations_per_token / device.operations_per_s);
}

}  // namespace

double GroupUs(const Device& device, const Group& group, double link_bytes_per_s) {
  const double bytes = group.expected_bytes();
  const double link_s =
      link_bytes_per_s > 0 ? static_cast<double>(group.returned_bytes) / link_bytes_per_s : 0;
  return kUsPerSecond * (link_s + std::max(bytes / device.read_bytes_per_s,
                                           bytes * group.operations_per_byte / device.operations_per_s));
}

double LinkBytesPerSecond(const Cluster& cluster, size_t host) {
  return host == cluster.leader ? 0 : cluster.hosts[host].link.bytes_per_s;
}

double LinkUs(const Host& host, const Section& section) {
  const double bytes = static_cast<double>(section.sent_bytes) + static_cast<double>(section.returned_bytes);
  return host.link.round_trip_us + kUsPerSecond * bytes / host.link.bytes_per_s;
}

SectionTime ExpectedSectionTime(const Cluster& cluster, absl::Span<const DeviceRef> devices,
                                const Section& section, absl::Span<const uint32_t> placed) {
  std::vector<double> compute_us(devices.size(), 0);
  std::vector<bool> takes_part(devices.size(), false);
  for (size_t g = 0; g < placed.size(); ++g) {
    const DeviceRef ref = devices[placed[g]];
    compute_us[placed[g]] += GroupUs(cluster.hosts[ref.host].devices[ref.device], section.groups[g],
                                     LinkBytesPerSecond(cluster, ref.host));
    takes_part[placed[g]] = true;
  }
  SectionTime time;
  std::vector<bool> host_takes_part(cluster.hosts.size(), false);
  for (uint32_t d = 0; d < devices.size(); ++d) {
    if (!takes_part[d]) continue;
    const Host& host = cluster.hosts[devices[d].host];
    const bool remote = devices[d].host != cluster.leader;
    host_takes_part[devices[d].host] = remote;
    const double work_us = compute_us[d] + host.devices[devices[d].device].dispatch_us;
    const double link_us = remote ? LinkUs(host, section) : 0;
    if (work_us + link_us > time.total_us) {
      time.total_us = work_us + link_us;
      time.slowest_device = d;
      time.compute_us = work_us;
      time.link_us = link_us;
    }
  }
  time.round_trips = static_cast<uint32_t>(std::count(host_takes_part.begin(), host_takes_part.end(), true));
  return time;
}

PlanTime ExpectedTime(const Cluster& cluster, const Model& model, const Assignment& assignment) {
  const std::vector<DeviceRef> devices = ListDevices(cluster);
  PlanTime time;
  time.leader_us = LeaderUs(cluster, model);
  for (size_t i = 0; i < model.sections.size(); ++i) {
    const SectionTime section = ExpectedSectionTime(cluster, devices, model.sections[i], assignment[i]);
    time.kind_us[static_cast<size_t>(model.sections[i].name.kind)] += section.total_us;
    time.total_us += section.total_us;
    time.link_us += section.link_us;
    time.round_trips += section.round_trips;
    time.sections.push_back(section);
  }
  time.total_us += time.leader_us;
  return time;
}

}  // namespace hearth::placement
