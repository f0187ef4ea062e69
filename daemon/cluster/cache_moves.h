#ifndef HEARTH_DAEMON_CLUSTER_CACHE_MOVES_H_
#define HEARTH_DAEMON_CLUSTER_CACHE_MOVES_H_

#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/cluster/active_plan.h"
#include "engine/outline/model_outline.h"

namespace hearth {

// The head groups whose cached positions the devices of `to` do not have: they lie elsewhere under `from`.
// What lies in the same cache under both stays there. FAILED_PRECONDITION when caches are lost: the host that
// had them, or its session, is gone, or they cannot be copied.
absl::StatusOr<std::vector<UnitId>> CachesToMove(const ActivePlan& from, const ActivePlan& to,
                                                 const std::function<bool(const UnitId&)>& can_be_copied);

// Brings what sequences have cached from the devices of one plan to those of the next.
// `lengths`: positions of each sequence that are cached.
//
// FAILED_PRECONDITION: see CachesToMove; the sequences have then to be computed again. UNAVAILABLE when a
// device of the next plan was lost meanwhile. Neither plan computes meanwhile.
absl::Status MoveCaches(const ModelOutline& outline, const ActivePlan& from, const ActivePlan& to,
                        const std::vector<uint32_t>& lengths);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_CACHE_MOVES_H_
