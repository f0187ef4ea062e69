#ifndef HEARTH_DAEMON_CLUSTER_PLAN_KEEPER_H_
#define HEARTH_DAEMON_CLUSTER_PLAN_KEEPER_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "absl/types/span.h"
#include "daemon/cluster/active_plan.h"
#include "daemon/membership/roster_core.h"
#include "daemon/planning/cluster_plan.h"
#include "daemon/planning/device_speeds.h"
#include "daemon/planning/firing_figures.h"
#include "daemon/planning/host_backoff.h"
#include "daemon/planning/host_trials.h"
#include "placement/model.h"

namespace hearth {

// Decides when a model is planned anew, with which hosts and figures, and whether another plan is worth a
// move: from the hosts that are there and from what plans have shown so far. Pure: hosts and time are passed
// in. Not thread-safe.
class PlanKeeper {
 public:
  using Hosts = std::vector<RosterCore::Host>;

  // `leader`: name of the coordinator's own host. `forced`: how plans split is asked for, whatever is
  // measured.
  PlanKeeper(std::string leader, bool forced) : leader_(std::move(leader)), forced_(forced) {}

  // ---- What has happened.

  // The host was lost in a step: for how long it sits out; not at all where that is not positive.
  absl::Duration NoteLoss(const std::string& host, absl::Time now);
  // It could not load its share.
  void NoteFailedLoad(const RosterCore::Host& host, const std::string& reason, absl::Time now);
  // Plans the host without its GPUs until plans are let go. False where it has none or they are left out
  // already.
  bool SpareGpus(const std::string& host, const HostCapacity& own, const Hosts& hosts);
  // There was no memory for what was planned, of which nothing tells when that is over: a plan is due after a
  // while, and no sooner unless the one in use breaks.
  void NoteNoMemory(const std::string& reason, absl::Time now);
  // Another model has got the memory of what was planned: a plan is due at once, but where that happens again
  // and again after ever longer whiles.
  void NoteLostMemory(absl::Time now);
  // Why the coordinator's own host is to hold nothing; empty: it may.
  void NoteOwner(const std::string& problem) { own_problem_ = problem; }
  // The memory of a plan is free again.
  void NoteRelease() { without_gpus_.clear(); }
  // What the devices of the plan in use have counted; see DeviceSpeeds.
  void NoteSpeeds(const ActivePlan& plan, const Hosts& hosts, DeviceSpeeds::Clock::time_point now);
  // What they have seen of how often neurons fire, beside `planned`, what plans are made for; see
  // FiringFigures.
  void NoteFiring(const placement::Model& planned, absl::Span<const LayerFiring> seen);
  // The plan that there would be without a host; nullopt: none.
  using PlanWithout = std::function<std::optional<ClusterPlan>(const std::string& host)>;
  // Sets what steps take beside what the plan in use (null: none), which is of `model`, expects; see
  // HostTrials.
  void Judge(const ActivePlan* plan, const placement::Model& model, const HostCapacity& own,
             const Hosts& hosts, const PlanWithout& without, absl::Time now);

  // ---- What follows.

  // Whether the situation is another than at the last call that said so. `taken_by_others`: memory that other
  // models have; `newest`: the newest plan (null: none).
  bool PlanIsDue(const Hosts& hosts, const ActivePlan* newest, const ReservedBytes& taken_by_others,
                 absl::Time now);
  // How long it can at most be until a plan is due if nothing happens.
  absl::Duration UntilNextLook(const Hosts& hosts, absl::Time now) const;
  // The model with the frequencies that plans are to be made for.
  void SetFiring(placement::Model& model) const { firing_.Apply(model); }
  // Whether these are other than the model's profile says.
  bool PlansByFiring() const { return firing_.version() > 0; }
  // The hosts that a plan may use.
  Hosts UsableHosts(const Hosts& hosts, absl::Time now) const;
  // They and the leader, which is to hold nothing where its owner wants it and there are others, as a plan is
  // to see them. `gpu_budget`: what of a GPU's memory weights may take.
  std::vector<PlanningHost> Participants(const HostCapacity& own, const Hosts& usable,
                                         const std::function<uint64_t(uint64_t)>& gpu_budget) const;
  // A sentence for each host that is there but is not used: why.
  std::vector<std::string> HostsLeftOut(const Hosts& hosts, absl::Time now) const;
  // The time per token that is expected of the plan in use by now where it is to stay in use; nullopt where
  // another one is worth a move, which takes time from those who wait, or memory is to be given back.
  std::optional<double> UsIfItStays(const ClusterPlan& in_use, const ClusterPlan& plan,
                                    const placement::Model& model) const;
  // Whether `plan` is worth that those who wait do so until it is loaded, since it has no room beside the one
  // in use.
  bool IsWorthAnOutage(const ClusterPlan& in_use, const ClusterPlan& plan,
                       const placement::Model& model) const;

 private:
  // What a plan depends on.
  struct Situation {
    struct Participant {
      std::string name;
      RosterCore::Session session = 0;
      placement::Link link;

      bool operator==(const Participant&) const = default;
    };
    std::vector<Participant> hosts;  // that may take part
    uint64_t broken_epoch = 0;       // of the newest plan if it cannot be used any more
    std::set<std::string> without_gpus;
    std::string own_problem;
    bool had_no_memory = false;
    uint64_t speeds = 0;  // version
    uint64_t trials = 0;  // version
    uint64_t firing = 0;  // version
    ReservedBytes taken_by_others;

    bool operator==(const Situation&) const = default;
  };

  bool IsUsable(const RosterCore::Host& host, absl::Time now) const;
  bool SavesOf(double share, const ClusterPlan& in_use, const ClusterPlan& plan,
               const placement::Model& model) const;

  const std::string leader_;
  const bool forced_;
  std::optional<Situation> planned_for_;
  DeviceSpeeds speeds_;
  HostTrials trials_;
  FiringFigures firing_;
  HostBackoff backoff_;
  std::set<std::string> without_gpus_;  // hosts
  std::string own_problem_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CLUSTER_PLAN_KEEPER_H_
