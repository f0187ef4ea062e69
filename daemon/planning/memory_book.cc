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

ReservedBytes BudgetsOf(const PlanWish& wish) {
  ReservedBytes budgets;
  for (const PlanningHost& host : wish.hosts) {
    for (const DeviceCapacity& device : host.capacity.devices)
      budgets[{host.name, device.name}] = device.memory_budget_bytes;
  }
  return budgets;
}

// Whether the budgets have room for all of `use`, or for what they know of it.
bool FitBudgets(const ReservedBytes& use, const ReservedBytes& budgets) {
  return std::all_of(use.begin(), use.end(), [&](const auto& used) {
    const auto budget = budgets.find(used.first);
    return budget == budgets.end() || used.second <= budget->second;
  });
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
  Apply(wish, others, arrangement);
  return std::move(arrangement.plan);
}

absl::StatusOr<std::optional<ClusterPlan>> MemoryBook::ReserveUnlessItStays(const PlanWish& wish,
                                                                            const ReservedBytes& in_use,
                                                                            const Stays& stays) {
  MutexLock planning(&planning_);
  const std::vector<Entry> others = Others(wish.model);
  HEARTH_ASSIGN_OR_RETURN(Arrangement arrangement, Arrange(wish, others, Room::kMade));
  ReservedBytes together = in_use;
  for (const Entry& other : others) AddBytes(other.use, together);
  std::erase_if(together, [&](const auto& used) { return !in_use.contains(used.first); });
  if (FitBudgets(together, BudgetsOf(wish)) && stays(arrangement.plan)) {
    MutexLock lock(&mutex_);
    if (Entry* entry = Find(wish.model)) *entry = {std::make_shared<const PlanWish>(wish), in_use};
    return std::nullopt;
  }
  Apply(wish, others, arrangement);
  return std::move(arrangement.plan);
}

void MemoryBook::Apply(const PlanWish& wish, const std::vector<Entry>& others,
                       const Arrangement& arrangement) {
  MutexLock lock(&mutex_);
  for (size_t i = 0; i < others.size(); ++i) {
    Entry* entry = Find(others[i].wish->model);
    if (entry == nullptr) continue;  // it is gone by now
    entry->use = arrangement.others[i];
    entry->waits = false;  // until it has looked
  }
  Entry* known = Find(wish.model);
  Entry& entry = known == nullptr ? entries_.emplace_back() : *known;
  entry = {std::make_shared<const PlanWish>(wish), arrangement.plan.Use()};
}

void MemoryBook::Keep(const std::string& model, const ReservedBytes& use) {
  MutexLock lock(&mutex_);
  if (Entry* entry = Find(model)) {
    entry->use = use;
    entry->waits = false;
  }
}

MemoryBook::Standing MemoryBook::Look(const std::string& model, const ReservedBytes& use,
                                      const HeldByModel& held) {
  MutexLock lock(&mutex_);
  Entry* own = Find(model);
  if (own == nullptr || own->use != use) return {.is_lost = true};
  const size_t number = own - entries_.data();
  std::vector<MemoryClaim> claims = ClaimsOf(held);
  ReservedBytes all;
  for (const Entry& entry : entries_) AddBytes(entry.use, all);
  std::erase_if(all, [&](const auto& used) { return !use.contains(used.first); });
  Standing standing{.is_lost = !FitBudgets(all, claims[number].budgets)};
  if (!standing.is_lost) standing.full = FullDevice(claims, number);
  standing.is_news = own->waits != standing.full.has_value();
  own->waits = claims[number].waits = standing.full.has_value();
  standing.gives_up = WhoGivesUp(claims) == number;
  return standing;
}

// Of the models with an entry, in their order, and behind them of those that still hold what they had.
std::vector<MemoryClaim> MemoryBook::ClaimsOf(HeldByModel held) const {
  std::vector<MemoryClaim> claims;
  for (const Entry& entry : entries_) {
    claims.push_back({BudgetsOf(*entry.wish), entry.use, {}, entry.waits});
    if (const auto known = held.extract(entry.wish->model)) claims.back().held = known.mapped();
  }
  for (auto& [model, bytes] : held) claims.push_back({{}, {}, std::move(bytes), false});
  return claims;
}

void MemoryBook::Release(const std::string& model) {
  MutexLock lock(&mutex_);
  std::erase_if(entries_, [&](const Entry& entry) { return entry.wish->model == model; });
}

ReservedBytes MemoryBook::UseOf(const std::string& model) const {
  MutexLock lock(&mutex_);
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.wish->model == model; });
  return found == entries_.end() ? ReservedBytes() : found->use;
}

ReservedBytes MemoryBook::UseOfOthers(const std::string& model) const {
  MutexLock lock(&mutex_);
  ReservedBytes use;
  for (const Entry& entry : entries_) {
    if (entry.wish->model != model) AddBytes(entry.use, use);
  }
  return use;
}

// Null: it has none.
MemoryBook::Entry* MemoryBook::Find(const std::string& model) {
  const auto found = std::find_if(entries_.begin(), entries_.end(),
                                  [&](const Entry& entry) { return entry.wish->model == model; });
  return found == entries_.end() ? nullptr : &*found;
}

std::vector<MemoryBook::Entry> MemoryBook::Others(const std::string& model) const {
  MutexLock lock(&mutex_);
  std::vector<Entry> others;
  for (const Entry& entry : entries_) {
    if (entry.wish->model != model) others.push_back(entry);
  }
  return others;
}

absl::StatusOr<ClusterPlan> MemoryBook::PlanBeside(const PlanWish& wish, const ReservedBytes& taken) const {
  placement::PlanOptions options = options_;
  options.objective = wish.objective;
  return planner_(wish.hosts, wish.description, taken, options);
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
  for (const Entry& other : others) names.push_back(other.wish->model);
  return absl::ResourceExhaustedError(absl::StrCat(plan.status().message(), "; that is beside ",
                                                   absl::StrJoin(names, ", "),
                                                   ", which cannot give way any further"));
}

// Plans all anew, one after the other, each beside those before it and what cannot move of those after it.
absl::StatusOr<MemoryBook::Arrangement> MemoryBook::MakeRoom(const PlanWish& wish,
                                                             const std::vector<Entry>& others,
                                                             bool wish_first) const {
  std::vector<const PlanWish*> order;
  for (const Entry& other : others) order.push_back(other.wish.get());
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
