#include "placement/plan.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "placement/candidate.h"
#include "placement/column_mix.h"
#include "placement/explain.h"
#include "placement/memory_budget.h"
#include "placement/staged_plan.h"

namespace hearth::placement {
namespace {

struct Candidate {
  Assignment assignment;
  double total_us = 0;
};

using Found = std::optional<Candidate>;

// By more than this share of b's time. Where there is no b any a is.
bool IsFaster(const Found& a, const Found& b, double by = 1e-9) {
  return a && (!b || a->total_us < b->total_us * (1 - by));
}

// Searches for the hosts whose plan is the fastest.
class Search {
 public:
  // `margin`: see PlanOptions.
  Search(const Cluster& cluster, const Model& model, const std::vector<uint64_t>& memory_bytes, double margin)
      : cluster_(cluster),
        model_(model),
        devices_(ListDevices(cluster)),
        memory_bytes_(memory_bytes),
        maker_(cluster, model, memory_bytes),
        mix_(cluster, model, memory_bytes),
        margin_(std::max(margin, 1e-9)) {}

  Found Alone() const { return Dealt(std::vector<bool>(cluster_.hosts.size(), false)); }
  Found EveryHost() const { return Dealt(std::vector<bool>(cluster_.hosts.size(), true)); }

  // Adds hosts to the leader's as long as one saves the margin, and takes hosts away from all of them as long
  // as one does not; the faster of the two, the latter only where it saves the margin.
  Found Best() const {
    Found few = Add();
    Found many = TakeAway();
    return IsFaster(many, few, margin_) ? many : few;
  }

  // The fastest that is found in which only these hosts may take part.
  Found WithHosts(const std::vector<bool>& hosts) const {
    Found mixed = Mixed(hosts);
    // Where memory is so tight that fractions of sections do not help.
    return mixed ? mixed : Dealt(hosts);
  }

 private:
  // The same with more effort.
  Found BestWith(const std::vector<bool>& hosts) const {
    Found mixed = Improved(Mixed(hosts));
    Found dealt = Improved(Dealt(hosts));
    return IsFaster(dealt, mixed) ? dealt : mixed;
  }

  // By small steps between its hosts.
  Found Improved(Found found) const {
    if (!found) return found;
    Found improved = found;
    maker_.Improve(HostsOf(found->assignment), improved->assignment);
    improved->total_us = ExpectedTime(cluster_, model_, improved->assignment).total_us;
    return IsFaster(improved, found) ? improved : found;
  }

  Found Add() const {
    std::vector<bool> hosts(cluster_.hosts.size(), false);
    for (Found best = BestWith(hosts);;) {
      const auto [changed, found] = FastestChange(hosts, true);
      if (changed == hosts.size() || !IsFaster(found, best, margin_)) return best;
      hosts[changed] = true;
      best = found;
    }
  }

  Found TakeAway() const {
    std::vector<bool> hosts(cluster_.hosts.size(), true);
    for (Found best = BestWith(hosts);;) {
      const auto [changed, found] = FastestChange(hosts, false);
      if (!found || IsFaster(best, found, margin_)) return best;
      hosts[changed] = false;
      best = found;
    }
  }

  // The fastest of the candidates with one more host that may take part, or one fewer, and that host; none:
  // no host can be changed, or nothing fits then.
  std::pair<size_t, Found> FastestChange(std::vector<bool> hosts, bool value) const {
    std::pair<size_t, Found> fastest{hosts.size(), std::nullopt};
    std::vector<uint32_t> tried;
    const std::vector<double> prices(devices_.size(), 0);
    for (uint32_t i = 0; i < hosts.size(); ++i) {
      // Of hosts that are alike one stands for all: the first is added first and taken away last.
      const uint32_t h = value ? i : static_cast<uint32_t>(hosts.size()) - 1 - i;
      if (h == cluster_.leader || hosts[h] == value) continue;
      if (std::any_of(tried.begin(), tried.end(),
                      [&](uint32_t t) { return AreTwins(cluster_, devices_, t, h, memory_bytes_, prices); }))
        continue;
      tried.push_back(h);
      hosts[h] = value;
      Found found = WithHosts(hosts);
      hosts[h] = !value;
      if (IsFaster(found, fastest.second)) fastest = {h, std::move(found)};
    }
    if (fastest.second) {
      hosts[fastest.first] = value;
      fastest.second = BestWith(hosts);
    }
    return fastest;
  }

  std::vector<bool> HostsOf(const Assignment& assignment) const {
    std::vector<bool> hosts(cluster_.hosts.size(), false);
    for (const std::vector<uint32_t>& placed : assignment) {
      for (const uint32_t d : placed) hosts[devices_[d].host] = true;
    }
    return hosts;
  }

  Found Mixed(const std::vector<bool>& hosts) const { return Timed(mix_.Make(hosts)); }
  Found Dealt(const std::vector<bool>& hosts) const { return Timed(maker_.Make(hosts)); }
  Found Timed(std::optional<Assignment> assignment) const {
    if (!assignment) return std::nullopt;
    const double total_us = ExpectedTime(cluster_, model_, *assignment).total_us;
    return Candidate{*std::move(assignment), total_us};
  }

  const Cluster& cluster_;
  const Model& model_;
  const std::vector<DeviceRef> devices_;
  const std::vector<uint64_t> memory_bytes_;
  CandidateMaker maker_;
  mutable ColumnMix mix_;
  double margin_ = 0;
};

Model WithAttentionAtHome(Model model) {
  for (Section& section : model.sections)
    section.stays_with_leader = section.name.kind != GroupKind::kNeurons;
  return model;
}

Cluster WithFreeLinks(Cluster cluster) {
  for (Host& host : cluster.hosts) {
    host.link = {.round_trip_us = 0, .bytes_per_s = std::numeric_limits<double>::max()};
    for (Device& device : host.devices) device.dispatch_us = 0;
  }
  return cluster;
}

// Gives each of the hosts that has no part of a section one group of it: the one with the fewest expected
// bytes that another host can spare and that fits.
void GiveHostsAGroup(const Cluster& cluster, const Model& model, const std::vector<bool>& hosts,
                     std::vector<uint64_t> free_bytes, Assignment& assignment) {
  const std::vector<DeviceRef> devices = ListDevices(cluster);
  for (size_t i = 0; i < assignment.size(); ++i) {
    for (size_t g = 0; g < assignment[i].size(); ++g) {
      free_bytes[assignment[i][g]] -= model.sections[i].groups[g].memory_bytes();
    }
  }
  for (size_t i = 0; i < assignment.size(); ++i) {
    const std::vector<Group>& groups = model.sections[i].groups;
    std::vector<size_t> held(cluster.hosts.size(), 0);
    for (uint32_t d : assignment[i]) ++held[devices[d].host];
    for (uint32_t d = 0; d < devices.size(); ++d) {
      if (!hosts[devices[d].host] || held[devices[d].host] > 0) continue;
      if (!MayHold(cluster, devices[d], model.sections[i])) continue;
      size_t chosen = groups.size();
      for (size_t g = 0; g < groups.size(); ++g) {
        if (held[devices[assignment[i][g]].host] < 2 || groups[g].memory_bytes() > free_bytes[d]) continue;
        if (chosen == groups.size() || groups[g].expected_bytes() < groups[chosen].expected_bytes())
          chosen = g;
      }
      if (chosen == groups.size()) continue;
      --held[devices[assignment[i][chosen]].host];
      free_bytes[assignment[i][chosen]] += groups[chosen].memory_bytes();
      ++held[devices[d].host];
      free_bytes[d] -= groups[chosen].memory_bytes();
      assignment[i][chosen] = d;
    }
  }
}

std::vector<DeviceUse> CountUse(const Cluster& cluster, const Model& model, const Assignment& assignment) {
  std::vector<DeviceUse> uses;
  for (const DeviceRef& ref : ListDevices(cluster)) {
    DeviceUse& use = uses.emplace_back();
    use.device = ref;
    use.memory_budget_bytes = cluster.hosts[ref.host].devices[ref.device].memory_bytes;
    use.memory_bytes = ref.host == cluster.leader && ref.device == 0 ? model.leader_memory_bytes : 0;
    use.neurons.assign(model.layers(), 0);
  }
  for (size_t i = 0; i < assignment.size(); ++i) {
    for (size_t g = 0; g < assignment[i].size(); ++g) {
      const Group& group = model.sections[i].groups[g];
      DeviceUse& use = uses[assignment[i][g]];
      use.memory_bytes += group.memory_bytes();
      if (group.neurons > 0) use.neurons[model.sections[i].name.layer] += group.neurons;
      ++use.kind_groups[static_cast<size_t>(model.sections[i].name.kind)];
      use.expected_bytes += group.expected_bytes();
      ++use.groups;
    }
  }
  for (DeviceUse& use : uses) {
    const Device& device = cluster.hosts[use.device.host].devices[use.device.device];
    if (device.kind == DeviceKind::kDisk && use.groups > 0) use.memory_bytes = device.memory_bytes;
  }
  return uses;
}

// The same memory, none of it of disks: they are for what memory cannot hold.
std::vector<uint64_t> WithoutDisks(const Cluster& cluster, std::vector<uint64_t> memory) {
  const std::vector<DeviceRef> devices = ListDevices(cluster);
  for (size_t d = 0; d < devices.size(); ++d) {
    if (cluster.hosts[devices[d].host].devices[devices[d].device].kind == DeviceKind::kDisk) memory[d] = 0;
  }
  return memory;
}

// The leader's host alone if memory were no matter: shows what its lack costs.
double AloneWithMemoryUs(const Cluster& cluster, const Model& model, std::vector<uint64_t> memory) {
  const std::vector<DeviceRef> devices = ListDevices(cluster);
  for (uint32_t d = 0; d < devices.size(); ++d) {
    const Device& device = cluster.hosts[devices[d].host].devices[devices[d].device];
    if (devices[d].host == cluster.leader && device.kind != DeviceKind::kDisk) memory[d] += GroupBytes(model);
  }
  const Found found = Search(cluster, model, memory, 0).Alone();
  return found ? found->total_us : 0;
}

// Per remote host that the plan leaves out: what a step would take if it helped as well as it can.
std::vector<std::optional<double>> TryUnusedHosts(const Cluster& cluster, const Model& model,
                                                  const std::vector<uint64_t>& memory, const Search& search,
                                                  const Plan& plan) {
  std::vector<bool> used(cluster.hosts.size(), false);
  for (const DeviceUse& use : plan.devices) used[use.device.host] = used[use.device.host] || use.groups > 0;
  std::vector<std::optional<double>> with_host_us(cluster.hosts.size());
  for (size_t h = 0; h < cluster.hosts.size(); ++h) {
    if (h == cluster.leader || used[h]) continue;
    std::vector<bool> with_host = used;
    with_host[h] = true;
    Found found = search.WithHosts(with_host);
    if (found && found->total_us < plan.step_time.total_us * (1 - 1e-9)) {
      with_host_us[h] = found->total_us;
      continue;
    }
    // It can only slow the others down: the smallest part that it could have shows by how much.
    std::vector<bool> only_this(cluster.hosts.size(), false);
    only_this[h] = true;
    Assignment assignment = plan.assignment;
    GiveHostsAGroup(cluster, model, only_this, memory, assignment);
    if (assignment != plan.assignment) with_host_us[h] = ExpectedTime(cluster, model, assignment).total_us;
  }
  return with_host_us;
}

}  // namespace

absl::StatusOr<Plan> MakePlan(const Cluster& cluster, const Model& token_model, const PlanOptions& options) {
  if (options.stages > 1) return MakeStagedPlan(cluster, token_model, options.stages, options.objective);
  if (options.keep_attention) {
    return MakePlan(
        cluster, WithAttentionAtHome(token_model),
        {.objective = options.objective, .use_every_host = options.use_every_host, .margin = options.margin});
  }
  absl::Status status = ValidateCluster(cluster);
  if (status.ok()) status = ValidateModel(token_model);
  if (!status.ok()) return status;
  const Model model = ForObjective(token_model, options.objective);
  const absl::StatusOr<std::vector<uint64_t>> memory = GroupMemory(cluster, model);
  if (!memory.ok()) return memory.status();

  const std::vector<uint64_t> in_memory = WithoutDisks(cluster, *memory);
  std::vector<uint64_t> room = in_memory;
  std::optional<Search> search(std::in_place, cluster, model, room, options.margin);
  Found found = search->Best();
  if (!found && room != *memory) {
    room = *memory;
    search.emplace(cluster, model, room, options.margin);
    found = search->Best();
  }
  if (!found) return DoesNotFit(model, *memory);

  Comparisons comparisons;
  if (const Found alone = search->Alone()) comparisons.alone_us = alone->total_us;
  comparisons.alone_with_memory_us = AloneWithMemoryUs(cluster, model, in_memory);
  Plan plan;
  for (const Section& section : model.sections) plan.sections.push_back(section.name);
  plan.assignment = std::move(found->assignment);
  plan.stages = {{static_cast<uint32_t>(cluster.leader), 0, model.layers()}};
  if (options.use_every_host) {
    comparisons.unforced_us = found->total_us;
    const Cluster free_links = WithFreeLinks(cluster);
    if (Found forced = Search(free_links, model, room, 0).EveryHost())
      plan.assignment = std::move(forced->assignment);
    GiveHostsAGroup(cluster, model, std::vector<bool>(cluster.hosts.size(), true), room, plan.assignment);
  }
  plan.objective = options.objective;
  plan.time = ExpectedTime(cluster, token_model, plan.assignment);
  plan.step_time = ExpectedTime(cluster, model, plan.assignment);
  plan.expected = ExpectationsOf(plan.objective, [&](const Objective& objective) {
    return ExpectedTime(cluster, ForObjective(token_model, objective), plan.assignment).total_us;
  });
  plan.devices = CountUse(cluster, token_model, plan.assignment);
  for (uint32_t d = 0; d < plan.devices.size(); ++d) {
    if (plan.devices[d].device.host == cluster.leader) comparisons.leader_host_bytes += in_memory[d];
  }
  comparisons.with_host_us = TryUnusedHosts(cluster, model, room, *search, plan);
  comparisons.margin = options.margin;
  plan.explanation = Explain(cluster, model, plan, comparisons);
  return plan;
}

bool UsesDisk(const Cluster& cluster, const Plan& plan) {
  return std::any_of(plan.devices.begin(), plan.devices.end(), [&](const DeviceUse& use) {
    const Device& device = cluster.hosts[use.device.host].devices[use.device.device];
    return device.kind == DeviceKind::kDisk && use.groups > 0;
  });
}

}  // namespace hearth::placement
