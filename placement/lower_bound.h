#ifndef HEARTH_PLACEMENT_LOWER_BOUND_H_
#define HEARTH_PLACEMENT_LOWER_BOUND_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/plan.h"

namespace hearth::placement {

struct ProofLimits {
  uint32_t rounds = 40;           // of prices
  int nodes_per_problem = 20000;  // of a search tree
  double gap = 1e-3;              // of the bound, that is good enough
};

// What no plan can be faster than.
struct LowerBound {
  double total_us = 0;
  uint32_t problems = 0;    // sections that were split to optimality
  uint32_t unfinished = 0;  // of them, given up at the limit of nodes: the bound is valid and may be too low

  bool operator==(const LowerBound&) const = default;
};

// The expected time of a step of the plan's objective that every assignment within the devices' memory takes
// at least, by Dantzig-Wolfe decomposition: sections compete for memory at prices (a linear program), and at
// those prices each is split by itself to optimality (a mixed-integer program in the exact terms of
// plan_time.h). Sections and groups with the same figures are one problem. One thread and limits that are
// counts, so the same input gives the same bound.
//
// `plan` is one of this cluster and model; it starts the search. INVALID_ARGUMENT: see ValidateCluster and
// ValidateModel.
absl::StatusOr<LowerBound> ProveLowerBound(const Cluster& cluster, const Model& model, const Plan& plan,
                                           const ProofLimits& limits = {});

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_LOWER_BOUND_H_
