#include "daemon/planning/plan_output.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "placement/units.h"

namespace hearth {
namespace {

using nlohmann::json;
using placement::GroupKind;

std::string NameOf(const placement::Cluster& cluster, const placement::DeviceRef& ref) {
  return absl::StrCat(cluster.hosts[ref.host].name, "/", cluster.hosts[ref.host].devices[ref.device].name);
}

json DeviceJson(const placement::Cluster& cluster, const placement::DeviceUse& use) {
  const placement::Host& host = cluster.hosts[use.device.host];
  const placement::Device& device = host.devices[use.device.device];
  return {{"host", host.name},
          {"device", device.name},
          {"kind", std::string(placement::DeviceKindName(device.kind))},
          {"memory_bytes", use.memory_bytes},
          {"memory_budget_bytes", use.memory_budget_bytes},
          {"groups", use.groups},
          {"neuron_groups", use.kind_groups[static_cast<size_t>(GroupKind::kNeurons)]},
          {"head_groups", use.kind_groups[static_cast<size_t>(GroupKind::kHeads)]},
          {"output_runs", use.kind_groups[static_cast<size_t>(GroupKind::kOutput)]},
          {"expected_bytes_per_token", use.expected_bytes},
          {"neurons", use.neurons}};
}

json SectionJson(const placement::Cluster& cluster, const placement::Plan& plan, size_t section) {
  const placement::SectionTime& time = plan.step_time.sections[section];
  json groups = json::array();
  for (uint32_t d : plan.assignment[section]) groups.push_back(NameOf(cluster, plan.devices[d].device));
  return {{"time_us", time.total_us},
          {"compute_us", time.compute_us},
          {"link_us", time.link_us},
          {"slowest", NameOf(cluster, plan.devices[time.slowest_device].device)},
          {"round_trips", time.round_trips},
          {"devices", std::move(groups)}};
}

// What the document calls a kind's sections.
const char* ListOf(GroupKind kind) {
  switch (kind) {
    case GroupKind::kHeads:
      return "attention";
    case GroupKind::kNeurons:
      return "layers";
    case GroupKind::kOutput:
      break;
  }
  return "output";
}

double KindUs(const placement::Plan& plan, GroupKind kind) {
  return plan.step_time.kind_us[static_cast<size_t>(kind)];
}

double LayerUs(const placement::Plan& plan, size_t layer) {
  double us = 0;
  for (size_t i = 0; i < plan.sections.size(); ++i) {
    const placement::SectionName& name = plan.sections[i];
    if (name.kind != GroupKind::kOutput && name.layer == layer) us += plan.step_time.sections[i].total_us;
  }
  return us;
}

// One line of the table: neurons on each device in one layer, and its time.
std::string TableRow(const placement::Plan& plan, const std::vector<size_t>& widths, size_t layer) {
  std::string row;
  for (size_t d = 0; d < plan.devices.size(); ++d) {
    absl::StrAppendFormat(&row, "  %*d", static_cast<int>(widths[d]), plan.devices[d].neurons[layer]);
  }
  absl::StrAppendFormat(&row, "  %10s", placement::FormatTime(LayerUs(plan, layer)));
  return row;
}

std::string LayerRange(size_t first, size_t last) {
  return first == last ? absl::StrCat(first) : absl::StrCat(first, "-", last);
}

}  // namespace

std::string PlanToJson(const placement::Cluster& cluster, const placement::Plan& plan,
                       std::optional<double> lower_bound_us) {
  const placement::Expectation own{plan.objective, plan.step_time.total_us};
  json document = {{"objective", placement::ObjectiveText(plan.objective)},
                   {"time_per_token_us", own.us_per_token()},
                   {"tokens_per_second", own.tokens_per_second()},
                   {"step_us", own.step_us},
                   {"expected", json::array()},
                   {"leader_us", plan.step_time.leader_us},
                   {"attention_us", KindUs(plan, GroupKind::kHeads)},
                   {"ffn_us", KindUs(plan, GroupKind::kNeurons)},
                   {"output_us", KindUs(plan, GroupKind::kOutput)},
                   {"link_us", plan.step_time.link_us},
                   {"round_trips_per_token", plan.step_time.round_trips},
                   {"devices", json::array()},
                   {"layers", json::array()},
                   {"attention", json::array()},
                   {"output", json::array()},
                   {"explanation", plan.explanation}};
  for (const placement::Expectation& expected : plan.expected) {
    document["expected"].push_back({{"objective", placement::ObjectiveText(expected.objective)},
                                    {"step_us", expected.step_us},
                                    {"tokens_per_second", expected.tokens_per_second()}});
  }
  for (const placement::DeviceUse& use : plan.devices)
    document["devices"].push_back(DeviceJson(cluster, use));
  for (size_t i = 0; i < plan.assignment.size(); ++i)
    document[ListOf(plan.sections[i].kind)].push_back(SectionJson(cluster, plan, i));
  if (lower_bound_us) document["lower_bound_us"] = *lower_bound_us;
  return document.dump();
}

std::string PlanToText(const placement::Cluster& cluster, const placement::Plan& plan) {
  std::string text;
  for (const std::string& line : plan.explanation) absl::StrAppend(&text, line, "\n");
  absl::StrAppend(&text, "\nNeurons per layer:\n");
  absl::StrAppendFormat(&text, "%-9s", "layer");
  std::vector<size_t> widths;
  for (const placement::DeviceUse& use : plan.devices) {
    const std::string name = NameOf(cluster, use.device);
    widths.push_back(std::max(name.size(), size_t{8}));
    absl::StrAppendFormat(&text, "  %*s", static_cast<int>(widths.back()), name);
  }
  absl::StrAppendFormat(&text, "  %10s\n", "time");
  const size_t layers = plan.devices.empty() ? 0 : plan.devices.front().neurons.size();
  for (size_t first = 0; first < layers;) {
    const std::string row = TableRow(plan, widths, first);
    size_t last = first;
    while (last + 1 < layers && TableRow(plan, widths, last + 1) == row) ++last;
    absl::StrAppendFormat(&text, "%-9s%s\n", LayerRange(first, last), row);
    first = last + 1;
  }
  return text;
}

}  // namespace hearth
