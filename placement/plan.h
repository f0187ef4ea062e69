#ifndef HEARTH_PLACEMENT_PLAN_H_
#define HEARTH_PLACEMENT_PLAN_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/objective.h"
#include "placement/plan_time.h"

namespace hearth::placement {

struct PlanOptions {
  Objective objective = {};
  // Every host gets a share of every section in proportion to its speed, as if links cost nothing, even where
  // that makes generation slower: for demonstrations and tests of the split. The explanation says what it
  // costs.
  bool use_every_host = false;
  // How many hosts lead a stage each: consecutive layers, all of whose groups are on that host. 1: the leader
  // leads all layers and every section may be shared. More need fewer round trips, and do not make a single
  // token faster. At most as many as there are hosts and layers are used.
  uint32_t stages = 1;
  // What a host must save to be used, as a share of a step's time: less than that is lost in what
  // measurements err by.
  double margin = 0.05;
  // Heads, their caches and output rows stay on the leader's host: a host that is lost then costs no context.
  bool keep_attention = false;
};

// What one device holds under a plan.
struct DeviceUse {
  DeviceRef device;
  // Groups with their caches, and the leader's own memory on its first device; all of a disk's that has any.
  uint64_t memory_bytes = 0;
  uint64_t memory_budget_bytes = 0;                    // Device::memory_bytes
  uint64_t groups = 0;                                 // of all kinds
  std::array<uint64_t, kGroupKinds> kind_groups = {};  // of each
  std::vector<uint64_t> neurons;                       // per layer
  double expected_bytes = 0;                           // of groups, read per token

  bool operator==(const DeviceUse&) const = default;
};

// Layers [first, last) that a host leads.
struct PlanStage {
  uint32_t host = 0;  // index into Cluster::hosts
  uint32_t first = 0;
  uint32_t last = 0;

  bool operator==(const PlanStage&) const = default;
};

// A complete placement: every group of every section is on exactly one device, within all memory budgets.
struct Plan {
  std::vector<SectionName> sections;  // of the model; assignment and time.sections are theirs, in this order
  Assignment assignment;
  std::vector<PlanStage> stages;  // of all layers, in their order
  Objective objective = {};
  PlanTime time;  // of a token of a single stream
  // Of a step of the objective's kind, which the plan makes as short as it can: the same for latency.
  PlanTime step_time;
  std::vector<Expectation> expected;     // of a step of each kind; its own objective is one of them
  std::vector<DeviceUse> devices;        // one per device of the cluster, as ListDevices numbers them
  std::vector<std::string> explanation;  // sentences for people

  bool operator==(const Plan&) const = default;
};

// The plan with the smallest expected time of a step of the objective's kind that the heuristic finds, of
// hosts that save the margin each; never slower than what the leader's host reaches alone where it can hold
// the model (unless use_every_host asks for it). Disks hold what the memory of all hosts together cannot. The
// same input gives the same plan on every machine; where two choices are equal the device with the lower
// number gets the group. Against the optimum it is 2 % slower on average in tiny clusters with tight memory
// (tests/placement/oracle_test.cc), and within 1 or 2 % of what lower_bound.h proves for large ones
// (tests/bench/placement.cc).
//
// INVALID_ARGUMENT: see ValidateCluster and ValidateModel. RESOURCE_EXHAUSTED: the model does not fit all
// devices together, or the leader's own part does not fit its first device; the message says how much is
// missing and where.
absl::StatusOr<Plan> MakePlan(const Cluster& cluster, const Model& model, const PlanOptions& options = {});

// Whether some neurons are on a disk of the cluster that the plan is for.
bool UsesDisk(const Cluster& cluster, const Plan& plan);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_PLAN_H_
