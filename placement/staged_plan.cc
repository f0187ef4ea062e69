#include "placement/staged_plan.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "placement/explain.h"
#include "placement/plan_time.h"
#include "placement/units.h"

namespace hearth::placement {
namespace {

// How often its devices could do the work of such a step in a second, each for itself.
double SpeedOf(const Host& host, const Model& step_model) {
  double speed = 0;
  for (const Device& device : host.devices) {
    double us = 1e-3;
    for (const Section& section : step_model.sections) {
      for (const Group& group : section.groups) us += GroupUs(device, group, 0);
    }
    speed += 1e6 / us;
  }
  return speed;
}

// The leader and the first others that have devices.
std::vector<uint32_t> LeadersOf(const Cluster& cluster, uint32_t stages) {
  std::vector<uint32_t> hosts = {static_cast<uint32_t>(cluster.leader)};
  for (uint32_t h = 0; h < cluster.hosts.size() && hosts.size() < stages; ++h) {
    if (h != cluster.leader && !cluster.hosts[h].devices.empty()) hosts.push_back(h);
  }
  return hosts;
}

// Every host gets layers in proportion to its speed, at least one.
std::vector<PlanStage> CutLayers(const Cluster& cluster, const std::vector<uint32_t>& hosts,
                                 const Model& step_model) {
  const uint32_t layers = step_model.layers();
  double total = 0;
  for (uint32_t host : hosts) total += SpeedOf(cluster.hosts[host], step_model);
  std::vector<PlanStage> stages;
  double speed = 0;
  uint32_t first = 0;
  for (size_t i = 0; i < hosts.size(); ++i) {
    speed += SpeedOf(cluster.hosts[hosts[i]], step_model);
    const auto ideal = static_cast<uint32_t>(speed / total * layers + 0.5);
    const auto left = static_cast<uint32_t>(hosts.size() - 1 - i);
    const uint32_t last = i + 1 == hosts.size() ? layers : std::clamp(ideal, first + 1, layers - left);
    stages.push_back({hosts[i], first, last});
    first = last;
  }
  return stages;
}

// Where sections of a stage are, on its host alone; fills in their part of the plan.
absl::Status PlaceStage(const Cluster& cluster, const Model& model, const PlanStage& stage, Plan& plan) {
  Model part = model;
  part.sections.clear();
  std::vector<size_t> numbers;
  const bool leads = stage.host == cluster.leader;
  for (size_t i = 0; i < model.sections.size(); ++i) {
    const SectionName& name = model.sections[i].name;
    const bool of_stage =
        name.kind == GroupKind::kOutput ? leads : name.layer >= stage.first && name.layer < stage.last;
    if (!of_stage) continue;
    part.sections.push_back(model.sections[i]);
    numbers.push_back(i);
  }
  if (!leads) {
    part.leader_memory_bytes = part.leader_bytes_per_token = 0;
    part.leader_operations_per_token = 0;
  }
  const absl::StatusOr<Plan> alone =
      MakePlan({{cluster.hosts[stage.host]}, 0}, part, {.objective = plan.objective});
  if (!alone.ok()) {
    return absl::Status(alone.status().code(),
                        absl::StrCat("host ", cluster.hosts[stage.host].name, ", layers ", stage.first,
                                     " to ", stage.last - 1, ": ", alone.status().message()));
  }
  uint32_t first_device = 0;
  for (uint32_t h = 0; h < stage.host; ++h) first_device += cluster.hosts[h].devices.size();
  for (size_t i = 0; i < numbers.size(); ++i) {
    for (uint32_t d : alone->assignment[i]) plan.assignment[numbers[i]].push_back(first_device + d);
  }
  for (size_t d = 0; d < alone->devices.size(); ++d) {
    DeviceUse& use = plan.devices[first_device + d];
    const DeviceRef device = use.device;
    use = alone->devices[d];
    use.device = device;
    use.neurons.resize(model.layers());
  }
  return absl::OkStatus();
}

// What a step takes: sections on their stage's host alone, and the residual stream to it and back.
PlanTime StagedTime(const Cluster& cluster, const Model& step_model, const Plan& plan) {
  const std::vector<DeviceRef> devices = ListDevices(cluster);
  Cluster led = cluster;  // as the stage sees it
  PlanTime time;
  time.leader_us = time.total_us = LeaderUs(cluster, step_model);
  for (size_t i = 0; i < step_model.sections.size(); ++i) {
    const std::vector<uint32_t>& placed = plan.assignment[i];
    if (!placed.empty()) led.leader = devices[placed.front()].host;
    const SectionTime section = ExpectedSectionTime(led, devices, step_model.sections[i], placed);
    time.kind_us[static_cast<size_t>(plan.sections[i].kind)] += section.total_us;
    time.total_us += section.total_us;
    time.sections.push_back(section);
  }
  for (const PlanStage& stage : plan.stages) {
    if (stage.host == cluster.leader) continue;
    const uint64_t bytes = step_model.sections.front().sent_bytes;
    time.link_us += LinkUs(cluster, stage.host, Section{{}, bytes, bytes, {}, false});
    ++time.round_trips;
  }
  time.total_us += time.link_us;
  return time;
}

std::vector<std::string> ExplainStages(const Cluster& cluster, const Plan& plan) {
  std::vector<std::string> lines = {
      absl::StrCat(StepSentence(plan), ", of which ", FormatTime(plan.step_time.link_us), " are for ",
                   FormatCount(plan.step_time.round_trips, "round trip"), ": ",
                   FormatCount(plan.stages.size(), "stage"), " were asked for, one after the other.")};
  for (const PlanStage& stage : plan.stages) {
    uint64_t bytes = 0;
    for (const DeviceUse& use : plan.devices) bytes += use.device.host == stage.host ? use.memory_bytes : 0;
    lines.push_back(absl::StrCat(cluster.hosts[stage.host].name, " leads layers ", stage.first, " to ",
                                 stage.last - 1, " and holds ", FormatBytes(bytes), "."));
  }
  lines.push_back(OtherStepsSentence(plan));
  return lines;
}

}  // namespace

absl::StatusOr<Plan> MakeStagedPlan(const Cluster& cluster, const Model& model, uint32_t stages,
                                    const Objective& objective) {
  Plan plan;
  plan.objective = objective;
  for (const Section& section : model.sections) plan.sections.push_back(section.name);
  const std::vector<uint32_t> hosts =
      LeadersOf(cluster, std::min(stages, std::max(uint32_t{1}, model.layers())));
  plan.stages = CutLayers(cluster, hosts, ForObjective(model, objective));
  plan.assignment.resize(model.sections.size());
  for (const DeviceRef& ref : ListDevices(cluster)) {
    DeviceUse& use = plan.devices.emplace_back();
    use.device = ref;
    use.memory_budget_bytes = cluster.hosts[ref.host].devices[ref.device].memory_bytes;
    use.neurons.assign(model.layers(), 0);
  }
  for (const PlanStage& stage : plan.stages) {
    if (absl::Status status = PlaceStage(cluster, model, stage, plan); !status.ok()) return status;
  }
  const auto time_of = [&](const Objective& of) {
    return StagedTime(cluster, ForObjective(model, of), plan);
  };
  plan.time = time_of({});
  plan.step_time = time_of(objective);
  plan.expected = ExpectationsOf(objective, [&](const Objective& of) { return time_of(of).total_us; });
  plan.explanation = ExplainStages(cluster, plan);
  return plan;
}

}  // namespace hearth::placement
