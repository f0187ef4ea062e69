#ifndef HEARTH_DAEMON_CLUSTER_PLAN_SLOTS_H_
#define HEARTH_DAEMON_CLUSTER_PLAN_SLOTS_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daemon/cluster/active_plan.h"
#include "daemon/planning/cluster_plan.h"
#include "daemon/weights/shard_description.h"

namespace hearth {

// The plans of a model that have shards somewhere: the one in preparation, the one that is ready, the one
// that steps compute with, the one before it while its caches are taken over, and those that nobody uses any
// more. Pure. Not thread-safe.
//
//   Prepare            Offer          TakeOver          TakeOver          Retire           TakeRetired
//   ------> preparing -------> next -----------> active -----------> left -------> retired ------------>
class PlanSlots {
 public:
  using Plan = std::shared_ptr<ActivePlan>;
  using IsAlive = std::function<bool(Roster::Session)>;
  using Shards = std::map<std::string, std::vector<ShardDescription>>;  // by host

  // A plan is being prepared, or (null) no longer.
  void Prepare(Plan plan) { preparing_ = std::move(plan); }
  // A plan is ready: the next step takes it over. The one that no step will use because of it; null: none.
  Plan Offer(Plan plan) { return std::exchange(next_, std::move(plan)); }

  // There is no room for another plan beside the one in use, or that one is broken: it goes before the next
  // step, and with it what was cached. One that waits for a step goes at once.
  void GiveUp();
  // Whether steps use or may use a plan, or one's caches are still being taken over.
  bool InUse() const { return next_ != nullptr || active_ != nullptr || left_ != nullptr; }

  // Between two steps.
  struct Step {
    Plan former;  // what steps do not compute with any more; Retire ends it when its caches have been taken
                  // over
    Plan plan;    // what they compute with from now on; null: nothing new
    bool usable = false;
  };
  Step TakeOver();
  // The caches of the former plan have been taken over, or are given up.
  void Retire();
  // Whether TakeOver would change something.
  bool NewPlanWaits() const;
  // Whether a step has a plan, now or after TakeOver.
  bool Usable() const;

  // The plan that the next one is compared with: the newest, but a broken one only where there is no other.
  Plan Newest() const;
  const Plan& active() const { return active_; }
  // Those that can be let go.
  std::vector<Plan> TakeRetired();

  // What workers are to hold. Of a broken plan the caches are still there, on the hosts that are.
  Shards Wanted(const IsAlive& is_alive) const;
  // What all of them take of each device of the hosts that are there: what two of them have in common
  // is there once.
  ReservedBytes Held(const IsAlive& is_alive) const;

 private:
  Plan preparing_;
  Plan next_;
  Plan active_;
  Plan left_;
  std::vector<Plan> retired_;
  bool give_up_ = false;
};

// Whether there is one and steps may compute with it.
bool IsUsable(const PlanSlots::Plan& plan);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_PLAN_SLOTS_H_
