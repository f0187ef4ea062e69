#include "daemon/planning/memory_book.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// What of a model cannot move: the leader's own part.
ReservedBytes FixedPart(const PlanWish& wish) {
  if (wish.hosts.empty() || wish.hosts.front().capacity.devices.empty()) return {};
  const PlanningHost& leader = wish.hosts.front();
  return {{{leader.name, leader.capacity.devices.front().name}, wish.description.leader_memory_bytes}};
}

}  // namespace

absl::StatusOr<ClusterPlan> MemoryBook::Try(const PlanWish& wish, Room room) {
  MutexLock planning(&planning_);
  HEARTH_ASSIGN_OR_RETURN(Arrangement arrangement, Arrange(wish, Others(wish.model), room));
  return std::move(arrangement.plan);
}

absl::StatusOr<ClusterPlan> MemoryBook::Reserve(const PlanWish& wish, Room room) {
  MutexLock planning(&planning_);
  const std::vector<Entry> others = Others(wish.model);
  HEARTH_ASSIGN_OR_RETURN(Arrangement arrangement, Arrange(wish, others, room));
  MutexLock lock(&mutex_);
  for (size_t i = 0; i < others.size(); ++i) {
    for (Entry& entry : entries_) {  // one that is gone by now has nothing
      if (entry.wish.model == others[i].wish.model) entry.use = arrangement.others[i];
    }
  }
  const auto known = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.wish.model == wish.model; });
  Entry& entry = known == entries_.end() ? entries_.emplace_back() : *known;
  entry = {wish, arrangement.plan.Use()};
  return std::move(arrangement.plan);
}

void MemoryBook::Keep(const std::string& model, const ReservedBytes& use) {
  MutexLock lock(&mutex_);
  for (Entry& entry : entries_) {
    if (entry.wish.model == model) entry.use = use;
  }
}

bool MemoryBook::StillHas(const std::string& model, const ReservedBytes& use) const {
  MutexLock lock(&mutex_);
  ReservedBytes all;
  const Entry* own = nullptr;
  for (const Entry& entry : entries_) {
    AddBytes(entry.use, all);
    if (entry.wish.model == model) own = &entry;
  }
  if (own == nullptr || own->use != use) return false;
  for (const PlanningHost& host : own->wish.hosts) {
    for (const DeviceCapacity& device : host.capacity.devices) {
      const std::pair key(host.name, device.name);
      if (use.contains(key) && all.at(key) > device.memory_budget_bytes) return false;
    }
  }
  return true;
}

void MemoryBook::Release(const std::string& model) {
  MutexLock lock(&mutex_);
  std::erase_if(entries_, [&](const Entry& entry) { return entry.wish.model == model; });
}

ReservedBytes MemoryBook::UseOf(const std::string& model) const {
  MutexLock lock(&mutex_);
  for (const Entry& entry : entries_) {
    if (entry.wish.model == model) return entry.use;
  }
  return {};
}

ReservedBytes MemoryBook::UseOfOthers(const std::string& model) const {
  MutexLock lock(&mutex_);
  ReservedBytes use;
  for (const Entry& entry : entries_) {
    if (entry.wish.model != model) AddBytes(entry.use, use);
  }
  return use;
}

std::vector<MemoryBook::Entry> MemoryBook::Others(const std::string& model) const {
  MutexLock lock(&mutex_);
  std::vector<Entry> others;
  for (const Entry& entry : entries_) {
    if (entry.wish.model != model) others.push_back(entry);
  }
  return others;
}

absl::StatusOr<ClusterPlan> MemoryBook::PlanBeside(const PlanWish& wish, const ReservedBytes& taken) const {
  return planner_(wish.hosts, wish.description, taken, options_);
}

absl::StatusOr<MemoryBook::Arrangement> MemoryBook::Arrange(const PlanWish& wish,
                                                            const std::vector<Entry>& others,
                                                            Room room) const {
  Arrangement as_it_is;
  ReservedBytes taken;
  for (const Entry& other : others) {
    as_it_is.others.push_back(other.use);
    AddBytes(other.use, taken);
  }
  ReservedBytes taken_by_now = taken;
  for (const auto& [device, bytes] : wish.held_by_others)
    taken_by_now[device] = std::max(taken_by_now[device], bytes);
  absl::StatusOr<ClusterPlan> plan = PlanBeside(wish, taken_by_now);
  if (absl::IsResourceExhausted(plan.status()) && taken_by_now != taken) plan = PlanBeside(wish, taken);
  if (plan.ok()) {
    as_it_is.plan = *std::move(plan);
    return as_it_is;
  }
  if (room == Room::kLeft || others.empty() || !absl::IsResourceExhausted(plan.status()))
    return plan.status();
  for (const bool wish_first : {true, false}) {
    absl::StatusOr<Arrangement> made = MakeRoom(wish, others, wish_first);
    if (made.ok()) return made;
  }
  std::vector<std::string> names;
  for (const Entry& other : others) names.push_back(other.wish.model);
  return absl::ResourceExhaustedError(absl::StrCat(plan.status().message(), "; that is beside ",
                                                   absl::StrJoin(names, ", "),
                                                   ", which cannot give way any further"));
}

// Plans all anew, one after the other, each beside those before it and what cannot move of those after it.
absl::StatusOr<MemoryBook::Arrangement> MemoryBook::MakeRoom(const PlanWish& wish,
                                                             const std::vector<Entry>& others,
                                                             bool wish_first) const {
  std::vector<const PlanWish*> order;
  for (const Entry& other : others) order.push_back(&other.wish);
  order.insert(wish_first ? order.begin() : order.end(), &wish);
  Arrangement made;
  ReservedBytes taken;
  for (size_t i = 0; i < order.size(); ++i) {
    ReservedBytes not_free = taken;
    for (size_t later = i + 1; later < order.size(); ++later) AddBytes(FixedPart(*order[later]), not_free);
    HEARTH_ASSIGN_OR_RETURN(ClusterPlan plan, PlanBeside(*order[i], not_free));
    AddBytes(plan.Use(), taken);
    if (order[i] == &wish) {
      made.plan = std::move(plan);
    } else {
      made.others.push_back(plan.Use());
    }
  }
  return made;
}

}  // namespace hearth
