#ifndef HEARTH_PLACEMENT_STAGED_PLAN_H_
#define HEARTH_PLACEMENT_STAGED_PLAN_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "placement/cluster.h"
#include "placement/model.h"
#include "placement/objective.h"
#include "placement/plan.h"

namespace hearth::placement {

// The plan with `stages` stages (see PlanOptions): the leader's first, the output head on the leader's host,
// layers in proportion to how fast the hosts do a step of the
// objective's kind. Cluster and model are valid. RESOURCE_EXHAUSTED, naming
// the host, where a stage does not fit.
absl::StatusOr<Plan> MakeStagedPlan(const Cluster& cluster, const Model& model, uint32_t stages,
                                    const Objective& objective);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_STAGED_PLAN_H_
