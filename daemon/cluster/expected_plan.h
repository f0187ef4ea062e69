#ifndef HEARTH_DAEMON_CLUSTER_EXPECTED_PLAN_H_
#define HEARTH_DAEMON_CLUSTER_EXPECTED_PLAN_H_

#include "absl/status/statusor.h"
#include "daemon/cluster/cluster_model.h"
#include "daemon/cluster_view.h"
#include "engine/spec/model_figures.h"

namespace hearth {

// The plan that a model of these figures would get now, for a single stream and a usual context: as a file
// would be planned that is being loaded, but nothing is reserved. Errors as ClusterView::Expect.
absl::StatusOr<ExpectedPlan> ExpectPlan(const ModelFigures& figures, const ClusterModelContext& context);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_EXPECTED_PLAN_H_
