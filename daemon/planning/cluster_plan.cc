#include "daemon/planning/cluster_plan.h"

#include <algorithm>
#include <tuple>

#include "daemon/planning/model_description.h"
#include "engine/base/status_macros.h"
#include "engine/outline/unit_id.h"

namespace hearth {
namespace {

// `has_file`: the model's, which a disk's neurons are read from.
placement::Host DescribeHost(const PlanningHost& host, bool has_file, const ReservedBytes& reserved) {
  placement::Host described;
  described.name = host.name;
  described.link = host.link;
  for (const DeviceCapacity& capacity : host.capacity.devices) {
    if (capacity.read_bytes_per_s <= 0) continue;  // only reported
    placement::Device device;
    device.kind = IsGpu(capacity) ? placement::DeviceKind::kGpu
                                  : placement::DeviceKindOf(capacity.kind).value_or(device.kind);
    if (device.kind == placement::DeviceKind::kDisk && !has_file) continue;
    device.name = capacity.name;
    device.memory_bytes = capacity.memory_budget_bytes;
    if (const auto taken = reserved.find({host.name, capacity.name}); taken != reserved.end()) {
      device.memory_bytes -= std::min(device.memory_bytes, taken->second);
    }
    device.read_bytes_per_s = capacity.read_bytes_per_s;
    device.operations_per_s = capacity.operations_per_s;
    device.dispatch_us = capacity.dispatch_us;
    described.devices.push_back(std::move(device));
  }
  return described;
}

// Host and device name of each number in an assignment.
std::vector<std::pair<std::string, std::string>> DeviceNames(const placement::Cluster& cluster) {
  std::vector<std::pair<std::string, std::string>> names;
  for (const placement::DeviceRef& ref : placement::ListDevices(cluster)) {
    names.emplace_back(cluster.hosts[ref.host].name, cluster.hosts[ref.host].devices[ref.device].name);
  }
  return names;
}

// The host of each stage by name, and its layers.
std::vector<std::tuple<std::string, uint32_t, uint32_t>> StagesOf(const ClusterPlan& plan) {
  std::vector<std::tuple<std::string, uint32_t, uint32_t>> stages;
  for (const placement::PlanStage& stage : plan.plan.stages) {
    stages.emplace_back(plan.cluster.hosts[stage.host].name, stage.first, stage.last);
  }
  return stages;
}

}  // namespace

void AddBytes(const ReservedBytes& more, ReservedBytes& sum) {
  for (const auto& [device, bytes] : more) sum[device] += bytes;
}

ReservedBytes ClusterPlan::Use() const {
  ReservedBytes use;
  for (const placement::DeviceUse& device : plan.devices) {
    const placement::Host& host = cluster.hosts[device.device.host];
    if (device.memory_bytes > 0)
      use[{host.name, host.devices[device.device.device].name}] = device.memory_bytes;
  }
  return use;
}

bool ClusterPlan::Uses(size_t host) const {
  return std::any_of(plan.devices.begin(), plan.devices.end(), [host](const placement::DeviceUse& device) {
    return device.device.host == host && device.groups > 0;
  });
}

absl::StatusOr<ClusterPlan> PlanCluster(const std::vector<PlanningHost>& hosts, const placement::Model& model,
                                        const ReservedBytes& reserved,
                                        const placement::PlanOptions& options) {
  ClusterPlan plan;
  for (const PlanningHost& host : hosts) {
    const bool leads = plan.cluster.hosts.empty();
    plan.cluster.hosts.push_back(DescribeHost(host, leads, reserved));
  }
  plan.cluster.leader_only_leads = !hosts.empty() && hosts.front().only_leads;
  HEARTH_ASSIGN_OR_RETURN(plan.plan, placement::MakePlan(plan.cluster, model, options));
  return plan;
}

std::vector<PlacedUnit> UnitsOf(const ClusterPlan& plan, size_t host) {
  const std::vector<placement::DeviceRef> devices = placement::ListDevices(plan.cluster);
  std::vector<PlacedUnit> units;
  for (size_t section = 0; section < plan.plan.assignment.size(); ++section) {
    const std::vector<uint32_t>& assigned = plan.plan.assignment[section];
    for (uint32_t group = 0; group < assigned.size(); ++group) {
      const placement::DeviceRef& ref = devices[assigned[group]];
      if (ref.host != host) continue;
      units.push_back({plan.cluster.hosts[host].devices[ref.device].name,
                       UnitOf(plan.plan.sections[section], group),
                       {}});
    }
  }
  for (const placement::PlanStage& stage : plan.plan.stages) {
    if (stage.host != host || host == plan.cluster.leader) continue;  // the leader has the model's file
    for (uint32_t layer = stage.first; layer < stage.last; ++layer) {
      units.push_back({plan.cluster.hosts[host].devices.front().name, {UnitKind::kLayer, layer, 0}, {}});
    }
  }
  return units;
}

bool SamePlacement(const ClusterPlan& a, const ClusterPlan& b) {
  if (StagesOf(a) != StagesOf(b)) return false;
  if (a.plan.assignment.size() != b.plan.assignment.size()) return false;
  const auto names_a = DeviceNames(a.cluster);
  const auto names_b = DeviceNames(b.cluster);
  for (size_t layer = 0; layer < a.plan.assignment.size(); ++layer) {
    const auto& groups_a = a.plan.assignment[layer];
    const auto& groups_b = b.plan.assignment[layer];
    if (groups_a.size() != groups_b.size()) return false;
    for (size_t i = 0; i < groups_a.size(); ++i) {
      if (names_a[groups_a[i]] != names_b[groups_b[i]]) return false;
    }
  }
  return true;
}

std::optional<double> TimeWith(const ClusterPlan& plan, const placement::Cluster& now,
                               const placement::Model& model) {
  const auto then_names = DeviceNames(plan.cluster);
  const auto now_names = DeviceNames(now);
  placement::Assignment assignment = plan.plan.assignment;
  for (std::vector<uint32_t>& section : assignment) {
    for (uint32_t& device : section) {
      const auto found = std::find(now_names.begin(), now_names.end(), then_names[device]);
      if (found == now_names.end()) return std::nullopt;
      device = static_cast<uint32_t>(found - now_names.begin());
    }
  }
  return placement::ExpectedTime(now, model, assignment).total_us;
}

}  // namespace hearth
