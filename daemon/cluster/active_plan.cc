#include "daemon/cluster/active_plan.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "daemon/planning/firing_drift.h"

namespace hearth {
namespace {

const Roster::Host* FindHost(const std::vector<Roster::Host>& hosts, const std::string& name) {
  const auto found =
      std::find_if(hosts.begin(), hosts.end(), [&](const Roster::Host& host) { return host.name == name; });
  return found == hosts.end() ? nullptr : &*found;
}

void AddLocalWork(const HostShare& share, DeviceShareView& view) {
  for (const LocalDevice* device : share.locals()) {
    if (device->name() != view.device) continue;
    view.weight_bytes = device->weight_bytes();
    DeviceCounters counters = device->counters();
    view.neurons_computed = std::move(counters.neurons_computed);
    view.neurons_offered = std::move(counters.neurons_held);
    view.bytes_touched = counters.bytes_touched;
    view.disk = counters.disk;
  }
}

// `first` marks the host's first share, which gets what belongs to the whole host.
void AddRemoteWork(const ActivePlan::Remote& remote, uint64_t epoch, const Roster::Host* host, bool first,
                   DeviceShareView& view) {
  for (const PlacedUnit& placed : remote.shard.units) {
    if (placed.device == view.device) view.weight_bytes += placed.bundle.bytes;
  }
  if (first) {
    const DeviceCounters counters = remote.device->counters();
    view.round_trips = counters.round_trips;
    view.wait_us = counters.wait_us;
  }
  const ShardStatus* status = host == nullptr ? nullptr : host->Shard(epoch);
  if (status == nullptr) return;
  for (const DeviceWork& work : status->devices) {
    if (work.device != view.device) continue;
    view.neurons_computed = work.neurons_computed;
    view.neurons_offered = work.neurons_offered;
    view.bytes_touched = work.bytes_touched;
  }
}

std::vector<LocalDevice*> LocalsOf(const ActivePlan& plan) {
  return plan.local == nullptr ? std::vector<LocalDevice*>() : plan.local->locals();
}

// Calls fn(host, work) for each device of the plan's workers of whose work they have told.
template <class Fn>
void ForEachRemoteWork(const ActivePlan& plan, const std::vector<Roster::Host>& hosts, const Fn& fn) {
  for (const ActivePlan::Remote& remote : plan.remotes) {
    const Roster::Host* host = FindHost(hosts, remote.host);
    const ShardStatus* status = host == nullptr ? nullptr : host->Shard(plan.epoch);
    if (status == nullptr) continue;
    for (const DeviceWork& work : status->devices) fn(remote.host, work);
  }
}

// Bytes of weights that the host has for `former` and not for `plan`.
uint64_t FreedBytes(const ActivePlan& former, const ActivePlan& plan, const std::string& host) {
  const auto units_of = [&](const ActivePlan& of) {
    std::map<std::pair<std::string, UnitId>, uint64_t> units;
    for (const ActivePlan::Remote& remote : of.remotes) {
      if (remote.host != host) continue;
      for (const PlacedUnit& placed : remote.shard.units)
        units[{placed.device, placed.unit}] = placed.bundle.bytes;
    }
    return units;
  };
  const auto kept = units_of(plan);
  uint64_t freed = 0;
  for (const auto& [unit, bytes] : units_of(former)) {
    if (!kept.contains(unit)) freed += bytes;
  }
  return freed;
}

// What is expected of the plan for its objective by now, and measured.
void ShowObjective(const ActivePlan& plan, PlanView& view) {
  const placement::Plan& placed = plan.plan.plan;
  view.objective = placed.objective;
  const double tokens = 1e6 * placed.objective.rows;
  const double expected_us =
      placed.time.total_us > 0 ? plan.expected_us * placed.step_time.total_us / placed.time.total_us : 0;
  const double measured_us = plan.step_times.MedianUs(placed.objective);
  if (expected_us > 0) view.expected_tokens_per_second = tokens / expected_us;
  if (measured_us > 0) view.measured_tokens_per_second = tokens / measured_us;
}

}  // namespace

std::vector<Device*> ActivePlan::devices() const {
  std::vector<Device*> devices;
  for (const Remote& remote : remotes) devices.push_back(remote.device.get());
  devices.insert(devices.end(), local->devices().begin(), local->devices().end());
  return devices;
}

std::vector<Decoder::StagePart> ActivePlan::stages() const {
  std::vector<Decoder::StagePart> parts;
  for (const placement::PlanStage& stage : plan.plan.stages) {
    Decoder::StagePart& part = parts.emplace_back();
    part.layers = {stage.first, stage.last};
    for (const Remote& remote : remotes) {
      if (remote.host == plan.cluster.hosts[stage.host].name) part.remote = remote.device.get();
    }
  }
  return parts;
}

bool ActivePlan::UsesSessions(const std::vector<Roster::Host>& hosts) const {
  return std::all_of(remotes.begin(), remotes.end(), [&](const Remote& remote) {
    const Roster::Host* host = FindHost(hosts, remote.host);
    return host != nullptr && host->session == remote.session;
  });
}

ExpectedTimes ExpectedTimesOf(const placement::Plan& plan, uint32_t layers) {
  ExpectedTimes times{std::vector<double>(layers), std::vector<double>(layers), 0};
  for (size_t i = 0; i < plan.sections.size(); ++i) {
    const placement::SectionName& section = plan.sections[i];
    const double us = plan.time.sections[i].total_us;
    switch (section.kind) {
      case placement::GroupKind::kHeads:
        times.mix_us[section.layer] = us;
        break;
      case placement::GroupKind::kNeurons:
        times.ffn_us[section.layer] = us;
        break;
      case placement::GroupKind::kOutput:
        times.output_us = us;
        break;
    }
  }
  for (const placement::SectionTime& section : plan.time.sections) times.stage_us += section.total_us;
  return times;
}

ShardProgress LookAtShards(const ActivePlan& plan,
                           const std::function<std::optional<Roster::Host>(Roster::Session)>& find) {
  ShardProgress progress;
  const auto aborted = [&](const ActivePlan::Remote& remote, const std::string& what) {
    progress.status = absl::AbortedError(absl::StrCat("host ", remote.host, what));
    return progress;
  };
  for (const ActivePlan::Remote& remote : plan.remotes) {
    std::optional<Roster::Host> host = find(remote.session);
    if (!host || host->state != HostState::kAlive) return aborted(remote, " was lost while it got its shard");
    if (!host->problem().empty()) return aborted(remote, absl::StrCat(" is left out: ", host->problem()));
    const ShardStatus* shard = host->up_to_date() ? host->Shard(plan.epoch) : nullptr;
    if (shard != nullptr && shard->phase == ShardPhase::kFailed) {
      progress.reason = shard->detail;
      progress.short_bytes = shard->short_bytes;
      progress.failed = std::move(host);
      return aborted(remote, absl::StrCat(" cannot load its shard: ", progress.reason));
    }
    if (shard != nullptr) progress.bytes_done += shard->bytes_done;
    if (shard == nullptr || shard->phase != ShardPhase::kReady) progress.waiting_for = remote.host;
  }
  return progress;
}

bool IsInTheWay(const ActivePlan& former, const ActivePlan& plan, const ShardProgress& progress) {
  return !former.broken && progress.failed && progress.short_bytes > 0 &&
         progress.short_bytes <= FreedBytes(former, plan, progress.failed->name);
}

void NoteSpeeds(const ActivePlan& plan, const std::vector<Roster::Host>& hosts,
                DeviceSpeeds::Clock::time_point now, DeviceSpeeds& speeds) {
  for (const LocalDevice* device : LocalsOf(plan)) {
    const DeviceCounters counters = device->counters();
    speeds.Note({plan.plan.cluster.hosts[0].name, device->name()}, plan.epoch, counters.single_row_bytes,
                counters.single_row_ns, now);
  }
  ForEachRemoteWork(plan, hosts, [&](const std::string& host, const DeviceWork& work) {
    speeds.Note({host, work.device}, plan.epoch, work.single_row_bytes, work.single_row_ns, now);
  });
}

std::vector<LayerFiring> FiringUnder(const ActivePlan& plan, const std::vector<Roster::Host>& hosts) {
  std::vector<LayerFiring> seen;
  const auto add = [&](const std::vector<LayerFiring>& more) {
    seen.insert(seen.end(), more.begin(), more.end());
  };
  for (const LocalDevice* device : LocalsOf(plan)) add(device->firing());
  ForEachRemoteWork(plan, hosts, [&](const std::string&, const DeviceWork& work) { add(work.firing); });
  return seen;
}

PlanView ViewOf(const ActivePlan& plan, const std::string& model, const std::vector<Roster::Host>& hosts) {
  PlanView view;
  view.model = model;
  view.epoch = plan.epoch;
  view.active = !plan.broken;
  view.expected_token_ms = plan.expected_us / 1000;
  view.measured_token_ms = plan.step_times.MedianUs() / 1000;
  ShowObjective(plan, view);
  view.explanation = absl::StrJoin(plan.newer_reasons.Get().value_or(plan.plan.plan.explanation), "\n");
  view.layers = plan.local->outline().spec.n_layers;
  const placement::Cluster& cluster = plan.plan.cluster;
  std::string last_host;
  for (const placement::DeviceUse& use : plan.plan.plan.devices) {
    if (use.groups == 0) continue;
    const placement::Host& host = cluster.hosts[use.device.host];
    DeviceShareView share;
    share.host = host.name;
    share.device = host.devices[use.device.device].name;
    share.neurons = use.neurons;
    share.head_groups = use.kind_groups[static_cast<size_t>(placement::GroupKind::kHeads)];
    share.output_runs = use.kind_groups[static_cast<size_t>(placement::GroupKind::kOutput)];
    const auto remote =
        std::find_if(plan.remotes.begin(), plan.remotes.end(),
                     [&](const ActivePlan::Remote& other) { return other.host == host.name; });
    if (remote == plan.remotes.end()) {
      AddLocalWork(*plan.local, share);
    } else {
      AddRemoteWork(*remote, plan.epoch, FindHost(hosts, host.name), last_host != host.name, share);
    }
    share.neurons_computed.resize(view.layers);
    share.neurons_offered.resize(view.layers);
    last_host = host.name;
    view.shares.push_back(std::move(share));
  }
  FiringDrift drift(plan.local->outline());
  drift.Add(FiringUnder(plan, hosts));
  view.firing = drift.View();
  return view;
}

}  // namespace hearth
