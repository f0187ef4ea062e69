#include "daemon/cluster/plan_slots.h"

#include <algorithm>
#include <set>
#include <string>

namespace hearth {

bool IsUsable(const PlanSlots::Plan& plan) { return plan != nullptr && !plan->broken; }

void PlanSlots::GiveUp() {
  give_up_ = active_ != nullptr;
  if (next_ != nullptr) retired_.push_back(std::exchange(next_, nullptr));
}

PlanSlots::Step PlanSlots::TakeOver() {
  const bool give_up = std::exchange(give_up_, false);
  if (IsUsable(next_)) {
    left_ = std::exchange(active_, std::exchange(next_, nullptr));
    return {left_, active_, true};
  }
  if (give_up && active_ != nullptr) {
    left_ = std::exchange(active_, nullptr);
    return {left_, nullptr, false};
  }
  return {nullptr, nullptr, IsUsable(active_)};
}

void PlanSlots::Retire() {
  if (left_ != nullptr) retired_.push_back(std::exchange(left_, nullptr));
}

std::vector<PlanSlots::Plan> PlanSlots::TakeRetired() {
  // No step will use it, and others are compared with the one in use.
  if (active_ != nullptr && next_ != nullptr && next_->broken)
    retired_.push_back(std::exchange(next_, nullptr));
  return std::exchange(retired_, {});
}

bool PlanSlots::Usable() const { return IsUsable(next_) || IsUsable(active_); }

PlanSlots::Plan PlanSlots::Newest() const {
  return next_ != nullptr && (active_ == nullptr || !next_->broken) ? next_ : active_;
}

bool PlanSlots::NewPlanWaits() const { return IsUsable(next_) || give_up_; }

PlanSlots::Shards PlanSlots::Wanted(const IsAlive& is_alive) const {
  Shards wanted;
  for (const Plan& plan : {left_, active_, next_, preparing_}) {
    if (plan == nullptr) continue;
    for (const ActivePlan::Remote& remote : plan->remotes) {
      if (plan != preparing_ && plan->broken && !is_alive(remote.session)) continue;
      wanted[remote.host].push_back(remote.shard);
    }
  }
  return wanted;
}

ReservedBytes PlanSlots::Held(const IsAlive& is_alive) const {
  std::vector<Plan> loaded = retired_;
  loaded.insert(loaded.end(), {left_, active_, next_, preparing_});
  ReservedBytes held;
  for (const Plan& plan : loaded) {
    if (plan == nullptr) continue;
    std::set<std::string> lost;
    for (const ActivePlan::Remote& remote : plan->remotes) {
      if (!is_alive(remote.session)) lost.insert(remote.host);
    }
    for (const auto& [device, bytes] : plan->plan.Use()) {
      if (!lost.contains(device.first)) held[device] = std::max(held[device], bytes);
    }
  }
  return held;
}

}  // namespace hearth
