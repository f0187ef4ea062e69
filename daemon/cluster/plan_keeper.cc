#include "daemon/cluster/plan_keeper.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "placement/objective.h"

namespace hearth {
namespace {

// How long nobody looks where nothing is expected to happen.
constexpr absl::Duration kLongest = absl::Hours(1);
// What a move must save of the time of a step.
constexpr double kMoveMargin = 0.1;
// What it must save where nothing is generated meanwhile.
constexpr double kOutageMargin = 0.25;

bool ComputesOnGpu(const HostCapacity& capacity) {
  return std::any_of(capacity.devices.begin(), capacity.devices.end(), [](const DeviceCapacity& device) {
    return IsGpu(device) && device.read_bytes_per_s > 0;
  });
}

// What an emulated GPU takes says nothing of the one that it stands for.
bool PretendsSpeed(const HostCapacity& capacity) {
  return std::any_of(capacity.devices.begin(), capacity.devices.end(),
                     [](const DeviceCapacity& device) { return device.kind == "emulated-gpu"; });
}

// What such a step is expected to take.
double StepUs(const ClusterPlan& plan, const placement::Model& model, const placement::Objective& step) {
  return placement::ExpectedTime(plan.cluster, placement::ForObjective(model, step), plan.plan.assignment)
      .total_us;
}

// Whether the plan has room in the memory that is left to its model.
bool HasRoom(const ClusterPlan& plan, const placement::Cluster& now) {
  if (now.leader_only_leads && plan.Uses(plan.cluster.leader)) return false;
  const ReservedBytes use = plan.Use();
  for (const placement::Host& host : now.hosts) {
    for (const placement::Device& device : host.devices) {
      const auto found = use.find({host.name, device.name});
      if (found != use.end() && found->second > device.memory_bytes) return false;
    }
  }
  return true;
}

}  // namespace

absl::Duration PlanKeeper::NoteLoss(const std::string& host, absl::Time now) {
  backoff_.NoteLoss(host, now);
  return backoff_.UsableFrom(host, 0) - now;
}

void PlanKeeper::NoteFailedLoad(const RosterCore::Host& host, const std::string& reason, absl::Time now) {
  backoff_.NoteFailedLoad(host.name, host.session, reason, now);
}

void PlanKeeper::NoteNoMemory(const std::string& reason, absl::Time now) {
  backoff_.NoteFailedLoad(leader_, 0, reason, now);
  if (planned_for_) planned_for_->had_no_memory = true;
}

void PlanKeeper::NoteLostMemory(absl::Time now) {
  backoff_.NoteLoss(leader_, now);
  if (backoff_.UsableFrom(leader_, 0) <= now) {
    planned_for_.reset();
  } else if (planned_for_) {
    planned_for_->had_no_memory = true;
  }
}

bool PlanKeeper::SpareGpus(const std::string& host, const HostCapacity& own, const Hosts& hosts) {
  const bool has_gpu = (host == leader_ && ComputesOnGpu(own)) ||
                       std::any_of(hosts.begin(), hosts.end(), [&](const RosterCore::Host& other) {
                         return other.name == host && ComputesOnGpu(other.capacity);
                       });
  return has_gpu && without_gpus_.insert(host).second;
}

void PlanKeeper::NoteSpeeds(const ActivePlan& plan, const Hosts& hosts, DeviceSpeeds::Clock::time_point now) {
  if (forced_) return;
  hearth::NoteSpeeds(plan, hosts, now, speeds_);
  std::set<std::string> used;
  if (plan.plan.Uses(plan.plan.cluster.leader)) used.insert(leader_);
  for (const ActivePlan::Remote& remote : plan.remotes) used.insert(remote.host);
  speeds_.ForgetUnused(used, now);
}

void PlanKeeper::NoteFiring(const placement::Model& planned, absl::Span<const LayerFiring> seen) {
  if (!forced_) firing_.Note(planned, seen);
}

void PlanKeeper::Judge(const ActivePlan* plan, const placement::Model& model, const HostCapacity& own,
                       const Hosts& hosts, const PlanWithout& without, absl::Time now) {
  trials_.Expire(now);
  bool pretended = PretendsSpeed(own);
  for (const RosterCore::Host& host : hosts) {
    trials_.See(host.name, host.session, host.link);
    pretended |= PretendsSpeed(host.capacity);
  }
  // Without a host the plan may be one that the leader's owner would not have.
  if (forced_ || plan == nullptr || pretended || !own_problem_.empty()) return;
  const std::optional<StepTime> measured = plan->step_times.Usual(plan->plan.plan.objective);
  if (!measured) return;
  HostTrials::Hosts used;
  for (const ActivePlan::Remote& remote : plan->remotes) used.insert(remote.host);
  // Of single rows more is known by now than when the plan was made.
  const double expected_us =
      plan->expected_us * StepUs(plan->plan, model, measured->step) / StepUs(plan->plan, model, {});
  const auto expected_without = [&](const std::string& host) -> std::optional<double> {
    const std::optional<ClusterPlan> other = without(host);
    return other ? std::optional(StepUs(*other, model, measured->step)) : std::nullopt;
  };
  trials_.Judge(used, *measured, expected_us, expected_without, now);
}

bool PlanKeeper::PlanIsDue(const Hosts& hosts, const ActivePlan* newest, const ReservedBytes& taken_by_others,
                           absl::Time now) {
  Situation situation;
  for (const RosterCore::Host& host : hosts) {
    if (IsUsable(host, now)) situation.hosts.push_back({host.name, host.session, host.link});
  }
  if (newest != nullptr && newest->broken) situation.broken_epoch = newest->epoch;
  situation.without_gpus = without_gpus_;
  situation.own_problem = own_problem_;
  situation.had_no_memory = backoff_.UsableFrom(leader_, 0) > now;
  situation.speeds = speeds_.version();
  situation.trials = trials_.version();
  situation.firing = firing_.version();
  situation.taken_by_others = taken_by_others;
  // Models that find no memory in turn would change it for one another without end.
  const bool is_known = planned_for_ && planned_for_->broken_epoch == situation.broken_epoch &&
                        planned_for_->own_problem == situation.own_problem;
  if (situation.had_no_memory && is_known) return false;
  if (situation == planned_for_) return false;
  planned_for_ = std::move(situation);
  return true;
}

absl::Duration PlanKeeper::UntilNextLook(const Hosts& hosts, absl::Time now) const {
  absl::Duration next = speeds_.empty() ? kLongest : absl::FromChrono(DeviceSpeeds::kForgetAfter);
  next = std::min(next, trials_.NextExpiry() - now);
  if (const absl::Duration full = backoff_.UsableFrom(leader_, 0) - now; full > absl::ZeroDuration())
    next = std::min(next, full);
  for (const RosterCore::Host& host : hosts) {
    const absl::Duration pause = backoff_.UsableFrom(host.name, host.session) - now;
    if (pause > absl::ZeroDuration()) next = std::min(next, pause);
  }
  return next;
}

bool PlanKeeper::IsUsable(const RosterCore::Host& host, absl::Time now) const {
  return host.state == HostState::kAlive && host.problem().empty() && !trials_.LeavesOut(host.name) &&
         backoff_.UsableFrom(host.name, host.session) <= now;
}

PlanKeeper::Hosts PlanKeeper::UsableHosts(const Hosts& hosts, absl::Time now) const {
  Hosts usable;
  for (const RosterCore::Host& host : hosts) {
    if (IsUsable(host, now)) usable.push_back(host);
  }
  return usable;
}

std::vector<PlanningHost> PlanKeeper::Participants(
    const HostCapacity& own, const Hosts& usable, const std::function<uint64_t(uint64_t)>& gpu_budget) const {
  std::vector<PlanningHost> participants = {{leader_, own, {}, !own_problem_.empty() && !usable.empty()}};
  for (const RosterCore::Host& host : usable) participants.push_back({host.name, host.capacity, host.link});
  for (PlanningHost& host : participants) {
    for (DeviceCapacity& device : host.capacity.devices) {
      device.read_bytes_per_s =
          speeds_.BytesPerSecond({host.name, device.name}).value_or(device.read_bytes_per_s);
      if (!IsGpu(device)) continue;
      if (without_gpus_.contains(host.name)) device.read_bytes_per_s = 0;
      device.memory_budget_bytes = gpu_budget(device.memory_budget_bytes);
    }
  }
  return participants;
}

std::vector<std::string> PlanKeeper::HostsLeftOut(const Hosts& hosts, absl::Time now) const {
  std::vector<std::string> sentences = trials_.Reasons();
  for (const RosterCore::Host& host : hosts) {
    if (host.state != HostState::kAlive) continue;
    std::string reason = host.problem();
    const absl::Duration pause = backoff_.UsableFrom(host.name, host.session) - now;
    if (reason.empty() && pause > absl::ZeroDuration()) {
      reason = absl::StrCat(backoff_.Reason(host.name), "; it is tried again in ",
                            absl::FormatDuration(absl::Ceil(pause, absl::Seconds(1))));
    }
    if (!reason.empty()) sentences.push_back(absl::StrCat("Host ", host.name, " is left out: ", reason));
  }
  return sentences;
}

std::optional<double> PlanKeeper::UsIfItStays(const ClusterPlan& in_use, const ClusterPlan& plan,
                                              const placement::Model& model) const {
  if (!SamePlacement(in_use, plan) && SavesOf(kMoveMargin, in_use, plan, model)) return std::nullopt;
  return TimeWith(in_use, plan.cluster, model);
}

bool PlanKeeper::IsWorthAnOutage(const ClusterPlan& in_use, const ClusterPlan& plan,
                                 const placement::Model& model) const {
  return SavesOf(kOutageMargin, in_use, plan, model);
}

// Whether the move saves that share of what the objective's steps take, or has to be.
bool PlanKeeper::SavesOf(double share, const ClusterPlan& in_use, const ClusterPlan& plan,
                         const placement::Model& model) const {
  if (forced_ || !HasRoom(in_use, plan.cluster)) return true;
  const std::optional<double> stay_us =
      TimeWith(in_use, plan.cluster, placement::ForObjective(model, plan.plan.objective));
  return !stay_us || plan.plan.step_time.total_us < *stay_us * (1 - share);
}

}  // namespace hearth
