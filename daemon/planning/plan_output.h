#ifndef HEARTH_DAEMON_PLANNING_PLAN_OUTPUT_H_
#define HEARTH_DAEMON_PLANNING_PLAN_OUTPUT_H_

#include <optional>
#include <string>

#include "placement/cluster.h"
#include "placement/plan.h"

namespace hearth {

// The plan as one JSON object, whose times are those of a step of its objective but for the first:
//   objective, time_per_token_us, tokens_per_second (of all its streams), step_us, leader_us, attention_us,
//   ffn_us, output_us, link_us, round_trips_per_token (of a step),
//   expected: [{objective, step_us, tokens_per_second}] of steps of each kind,
//   devices: [{host, device, kind, memory_bytes, memory_budget_bytes, groups (of all kinds), neuron_groups,
//              head_groups, output_runs, expected_bytes_per_token, neurons: [per layer]}],
//   layers: [{time_us, compute_us, link_us, slowest: host/device, round_trips, devices: [host/device per
//             group]}] of the FFNs, attention: [the same of the layers' attention], output: [the same of the
//   output head, one], explanation: [sentences],
//   lower_bound_us: what no plan's step can be faster than, where it was proved}
std::string PlanToJson(const placement::Cluster& cluster, const placement::Plan& plan,
                       std::optional<double> lower_bound_us = std::nullopt);

// The plan for people: the explanation, then a table of neurons per device and layer with the time that
// the layer takes, attention included (layers alike are joined).
std::string PlanToText(const placement::Cluster& cluster, const placement::Plan& plan);

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_PLAN_OUTPUT_H_
