#include "placement/plan_time.h"

#include <algorithm>

namespace hearth::placement {
namespace {

constexpr double kUsPerSecond = 1e6;

// Of the leader's network card: at least what its fastest link has shown.
double CardBytesPerSecond(const Cluster& cluster) {
  double fastest = 0;
  for (size_t h = 0; h < cluster.hosts.size(); ++h) {
    if (h != cluster.leader) fastest = std::max(fastest, cluster.hosts[h].link.bytes_per_s);
  }
  return fastest;
}

}  // namespace

double LeaderUs(const Cluster& cluster, const Model& model) {
  const Device& device = cluster.hosts[cluster.leader].devices.front();
  return kUsPerSecond * std::max(static_cast<double>(model.leader_bytes_per_token) / device.read_bytes_per_s,
                                 model.leader_operations_per_token / device.operations_per_s);
}

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

std::vector<bool> RemoteHosts(const Cluster& cluster, absl::Span<const DeviceRef> devices,
                              absl::Span<const uint32_t> numbers) {
  std::vector<bool> hosts(cluster.hosts.size(), false);
  for (uint32_t d : numbers) hosts[devices[d].host] = devices[d].host != cluster.leader;
  return hosts;
}

double LinkUs(const Cluster& cluster, size_t host, const Section& section, const std::vector<bool>& remotes) {
  if (host == cluster.leader) return 0;
  const Link& link = cluster.hosts[host].link;
  const double bytes = static_cast<double>(section.sent_bytes) + static_cast<double>(section.returned_bytes);
  auto others = std::count(remotes.begin(), remotes.end(), true);
  if (others > 0 && remotes[host]) --others;
  const double others_s = others == 0 ? 0 : static_cast<double>(others) * bytes / CardBytesPerSecond(cluster);
  return link.round_trip_us + kUsPerSecond * (bytes / link.bytes_per_s + others_s);
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
  const std::vector<bool> remotes = RemoteHosts(cluster, devices, placed);
  time.round_trips = static_cast<uint32_t>(std::count(remotes.begin(), remotes.end(), true));
  for (uint32_t d = 0; d < devices.size(); ++d) {
    if (!takes_part[d]) continue;
    const uint32_t host = devices[d].host;
    const double work_us = compute_us[d] + cluster.hosts[host].devices[devices[d].device].dispatch_us;
    const double link_us = LinkUs(cluster, host, section, remotes);
    if (work_us + link_us > time.total_us) {
      time.total_us = work_us + link_us;
      time.slowest_device = d;
      time.compute_us = work_us;
      time.link_us = link_us;
    }
  }
  return time;
}

SectionSplit ExpectedSplit(const Cluster& cluster, absl::Span<const DeviceRef> devices,
                           const Section& section, absl::Span<const uint32_t> placed) {
  SectionSplit split{ExpectedSectionTime(cluster, devices, section, placed).total_us,
                     std::vector<double>(devices.size(), 0)};
  for (size_t g = 0; g < placed.size(); ++g)
    split.bytes[placed[g]] += static_cast<double>(section.groups[g].memory_bytes());
  return split;
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
