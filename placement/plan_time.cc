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

double GroupUs(const Device& device, const Group& group) {
  const double bytes = group.expected_bytes();
  return kUsPerSecond * std::max(bytes / device.read_bytes_per_s,
                                 bytes * group.operations_per_byte / device.operations_per_s);
}

double LinkUs(const Host& host, const Layer& layer) {
  const double bytes = static_cast<double>(layer.sent_bytes) + static_cast<double>(layer.returned_bytes);
  return host.link.round_trip_us + kUsPerSecond * bytes / host.link.bytes_per_s;
}

LayerTime ExpectedLayerTime(const Cluster& cluster, absl::Span<const DeviceRef> devices, const Layer& layer,
                            absl::Span<const uint32_t> placed) {
  std::vector<double> compute_us(devices.size(), 0);
  std::vector<bool> takes_part(devices.size(), false);
  for (size_t g = 0; g < placed.size(); ++g) {
    const DeviceRef ref = devices[placed[g]];
    compute_us[placed[g]] += GroupUs(cluster.hosts[ref.host].devices[ref.device], layer.groups[g]);
    takes_part[placed[g]] = true;
  }
  LayerTime time;
  std::vector<bool> host_takes_part(cluster.hosts.size(), false);
  for (uint32_t d = 0; d < devices.size(); ++d) {
    if (!takes_part[d]) continue;
    const Host& host = cluster.hosts[devices[d].host];
    const bool remote = devices[d].host != cluster.leader;
    host_takes_part[devices[d].host] = remote;
    const double work_us = compute_us[d] + host.devices[devices[d].device].dispatch_us;
    const double link_us = remote ? LinkUs(host, layer) : 0;
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
  for (size_t i = 0; i < model.layers.size(); ++i) {
    const LayerTime layer = ExpectedLayerTime(cluster, devices, model.layers[i], assignment[i]);
    time.ffn_us += layer.total_us;
    time.link_us += layer.link_us;
    time.round_trips += layer.round_trips;
    time.layers.push_back(layer);
  }
  time.total_us = time.leader_us + time.ffn_us;
  return time;
}

}  // namespace hearth::placement
