#ifndef HEARTH_DAEMON_PLANNING_MEMORY_BOOK_H_
#define HEARTH_DAEMON_PLANNING_MEMORY_BOOK_H_

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/planning/cluster_plan.h"
#include "daemon/planning/memory_claims.h"
#include "engine/base/mutex.h"

namespace hearth {

// A model and the hosts that may hold it.
struct PlanWish {
  std::string model;
  std::vector<PlanningHost> hosts;  // the first is the leader
  placement::Model description;
  // What the plans of other models hold by now, whatever they have reserved: they may be about to give it
  // back, but a plan that does without has not to wait for that.
  ReservedBytes held_by_others = {};
  placement::Objective objective = {};
};

// What the plans of each model hold that are loaded, by the model's name.
using HeldByModel = std::map<std::string, ReservedBytes>;

// What a plan may take of the devices' memory.
enum class Room {
  kLeft,  // what other models leave
  kMade,  // where that is too little, others give way whose groups can lie elsewhere
};

// What each model of a cluster takes of the devices' memory, and plans within it. Plans are made one at a
// time, so that two models never get the same memory. Thread-safe.
class MemoryBook {
 public:
  // Makes a plan as PlanCluster does.
  using Planner = std::function<absl::StatusOr<ClusterPlan>(
      const std::vector<PlanningHost>& hosts, const placement::Model& model, const ReservedBytes& reserved,
      const placement::PlanOptions& options)>;

  // The objective is each wish's own.
  explicit MemoryBook(const placement::PlanOptions& options, Planner planner = PlanCluster)
      : options_(options), planner_(std::move(planner)) {}

  // The plan that Reserve would make now. Errors: see PlanCluster.
  absl::StatusOr<ClusterPlan> Try(const PlanWish& wish, Room room);
  // A plan whose memory is the model's from then on. With kMade what others have reserved may have changed as
  // well: each is to ask anew, and gets a plan for what is left to it.
  absl::StatusOr<ClusterPlan> Reserve(const PlanWish& wish, Room room);
  // As Reserve with kMade, for a model whose plan in use takes `in_use`: where that has room beside what
  // others have reserved and `stays` says so of the plan that there would be, the model stays with it
  // (nullopt), and gives way from then on as this wish says.
  using Stays = std::function<bool(const ClusterPlan& instead)>;
  absl::StatusOr<std::optional<ClusterPlan>> ReserveUnlessItStays(const PlanWish& wish,
                                                                  const ReservedBytes& in_use,
                                                                  const Stays& stays);
  // The model stays with a plan that takes this, in place of what it has reserved.
  void Keep(const std::string& model, const ReservedBytes& use);

  // How it stands with the memory that a model has reserved, and waits for where it is not there yet.
  struct Standing {
    // Another model has it by now, since this one was made to give way, or the other one stays with its plan
    // after all.
    bool is_lost = false;
    std::optional<DeviceName> full = {};  // where it is not there yet
    bool gives_up = false;                // it and others wait for one another, and it is to end that
    bool is_news = false;                 // it has begun to wait, or waits no more: others are to look
  };
  Standing Look(const std::string& model, const ReservedBytes& use, const HeldByModel& held);
  // The model is gone, or cannot be placed.
  void Release(const std::string& model);

  // What a model has reserved; nothing where it is unknown.
  ReservedBytes UseOf(const std::string& model) const;
  ReservedBytes UseOfOthers(const std::string& model) const;

 private:
  struct Entry {
    std::shared_ptr<const PlanWish> wish;
    ReservedBytes use;
    bool waits = false;
  };
  // The plan of a wish, and what the others are to have then: in the order of Others.
  struct Arrangement {
    ClusterPlan plan;
    std::vector<ReservedBytes> others;
  };

  Entry* Find(const std::string& model) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<MemoryClaim> ClaimsOf(HeldByModel held) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  std::vector<Entry> Others(const std::string& model) const;
  absl::StatusOr<ClusterPlan> PlanBeside(const PlanWish& wish, const ReservedBytes& taken) const;
  absl::StatusOr<Arrangement> Arrange(const PlanWish& wish, const std::vector<Entry>& others,
                                      Room room) const;
  absl::StatusOr<Arrangement> MakeRoom(const PlanWish& wish, const std::vector<Entry>& others,
                                       bool wish_first) const;

  void Apply(const PlanWish& wish, const std::vector<Entry>& others, const Arrangement& arrangement);

  const placement::PlanOptions options_;
  const Planner planner_;
  Mutex planning_;
  mutable Mutex mutex_;
  std::vector<Entry> entries_ ABSL_GUARDED_BY(mutex_);  // in the order in which models came
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_PLANNING_MEMORY_BOOK_H_
