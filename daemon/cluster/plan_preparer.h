#ifndef HEARTH_DAEMON_CLUSTER_PLAN_PREPARER_H_
#define HEARTH_DAEMON_CLUSTER_PLAN_PREPARER_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/cluster/active_plan.h"
#include "daemon/membership/roster.h"
#include "daemon/planning/cluster_plan.h"
#include "daemon/weights/bundle_catalog.h"
#include "daemon/weights/shard_description.h"

namespace hearth {

// Turns a plan on paper into one that a decoder can use: describes every host's shard, loads the leader's
// own, waits until the workers have theirs and connects to them. Blocks; used by one thread.
class PlanPreparer {
 public:
  struct Hooks {
    // Tells the workers to hold the shards of this plan, besides those in use.
    std::function<void(std::shared_ptr<ActivePlan> plan)> want;
    std::function<void(const std::string& detail, uint64_t bytes_done, uint64_t bytes_total)> progress;
    // Blocks until hosts or their reports may have changed, or the model is to stop.
    std::function<void()> await_change;
    std::function<bool()> stopped;
    // A host had no room for its share: plans it without its GPUs from now on, whose memory may still be a
    // former plan's. False where it has none or they are left out already.
    std::function<bool(const std::string& host)> spare_gpus;
    // There is no room for the plan beside a former one that is broken.
    std::function<void()> give_up_broken;
    // There is no room for the plan beside the former one, which is in use, and there would be without that.
    std::function<void()> no_room_beside;
    // The leader has no memory for its share.
    std::function<void(const std::string& reason)> leader_is_full;
    // A host could not load its share, for that reason.
    std::function<void(const Roster::Host& host, const std::string& reason)> failed_load;
  };

  // What the plan is for; pointers are borrowed.
  struct Subject {
    ShardDescription shard;  // model, digest, options; neither skeleton nor units
    std::shared_ptr<const GgufFile> file;
    std::shared_ptr<const ModelOutline> outline;
    uint64_t unit_bytes = 0;  // of all units
    BundleCatalog* catalog = nullptr;
    HostDevices* devices = nullptr;         // the leader's
    std::function<uint64_t()> free_memory;  // that the leader may still take
  };

  PlanPreparer(Roster& roster, Subject subject, Hooks hooks);

  // Of the plan that another one is to replace.
  enum class Former {
    kInUse,    // until the other one is ready; also where there is none
    kGivenUp,  // no step uses it, the workers may drop its shards: what it has can be taken over, the rest
               // goes
  };
  // Prepares `plan`, made for the leader and `hosts` in this order. The leader takes over what it holds for
  // `former` (null: there is none), of which a caller lets go that has given it up. ABORTED when a host was
  // lost meanwhile, or cannot load its shard: plan anew. RESOURCE_EXHAUSTED when there is no memory for the
  // plan besides a former one that is in use.
  absl::StatusOr<std::shared_ptr<ActivePlan>> Prepare(uint64_t epoch, const ClusterPlan& plan,
                                                      const std::vector<Roster::Host>& hosts,
                                                      std::shared_ptr<const ActivePlan> former, Former is);

 private:
  absl::StatusOr<ActivePlan::Remote> DescribeRemote(const ClusterPlan& plan, size_t number,
                                                    const Roster::Host& host, uint64_t epoch);
  absl::Status LoadLocal(ActivePlan& plan, const ActivePlan* beside);
  absl::Status CheckRoomBeside(const ActivePlan& plan, const ActivePlan& former);
  absl::Status AwaitWorkers(const ActivePlan& plan, const ActivePlan* beside);
  absl::Status JudgeFailedLoad(const ActivePlan& plan, const ActivePlan* beside,
                               const ShardProgress& progress);
  absl::Status Connect(ActivePlan& plan);
  bool StillPossible(const ActivePlan& plan) const;

  Roster& roster_;
  const Subject subject_;
  const Hooks hooks_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_PLAN_PREPARER_H_
