#ifndef HEARTH_DAEMON_PLANNING_CLUSTER_PLAN_H_
#define HEARTH_DAEMON_PLANNING_CLUSTER_PLAN_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/capacity/capacity.h"
#include "daemon/weights/shard_description.h"
#include "placement/plan.h"

namespace hearth {

// From what hosts can do and what a model needs to who holds which neurons. Pure.

// A host that may take part; the first of a list is the leader (the coordinator's own host).
struct PlanningHost {
  std::string name;
  HostCapacity capacity;
  placement::Link link;     // of no meaning for the leader
  bool only_leads = false;  // the leader: it is to hold no units
};

using DeviceName = std::pair<std::string, std::string>;  // of its host, and its own
// Bytes that other models hold on the devices of the cluster.
using ReservedBytes = std::map<DeviceName, uint64_t>;
// Adds `more`, device by device.
void AddBytes(const ReservedBytes& more, ReservedBytes& sum);

struct ClusterPlan {
  placement::Cluster cluster;  // hosts as given; without devices on which nothing can be placed
  placement::Plan plan;

  // Expected bytes of weights on each device that holds any.
  ReservedBytes Use() const;
  // Whether a host (by its number) holds anything.
  bool Uses(size_t host) const;
};

// Plans `model` for the hosts, the memory that is left to it. Errors: see placement::MakePlan.
absl::StatusOr<ClusterPlan> PlanCluster(const std::vector<PlanningHost>& hosts, const placement::Model& model,
                                        const ReservedBytes& reserved, const placement::PlanOptions& options);

// What a host (by its number) holds, in rising order of layers; bundles left out.
std::vector<PlacedUnit> UnitsOf(const ClusterPlan& plan, size_t host);

// Whether both plans put every unit on the same host and device.
bool SamePlacement(const ClusterPlan& a, const ClusterPlan& b);

// The time of a step that is expected if the plan's units stay where they are while the cluster is what `now`
// says; nullopt where a host or device that has some is not there any more. `model`: as the step sees it.
std::optional<double> TimeWith(const ClusterPlan& plan, const placement::Cluster& now,
                               const placement::Model& model);

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_CLUSTER_PLAN_H_
