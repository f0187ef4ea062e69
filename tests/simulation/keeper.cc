#include "tests/simulation/keeper.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/cluster/cache_moves.h"
#include "engine/base/status_macros.h"
#include "tests/simulation/coordinator.h"
#include "tests/simulation/worker.h"

namespace hearth::simulation {
namespace {

constexpr Micros kConnectTimeout = 2'000'000;
constexpr double kReadBytesPerSecond = 4e9;
constexpr absl::Duration kAwaitRoom = absl::Minutes(2);
constexpr uint32_t kTokensPerLook = 16;
// Of the leader's memory, that stays free when a plan is prepared beside the one in use.
constexpr uint64_t kMemoryMargin = uint64_t{256} << 20;

uint64_t AsIs(uint64_t bytes) { return bytes; }

}  // namespace

Keeper::Keeper(Coordinator& coordinator, const ToyModel& model)
    : coordinator_(coordinator),
      world_(coordinator.world()),
      model_(model),
      keeper_(coordinator.name(), false) {}

void Keeper::Kick() {
  if (std::exchange(kicked_, true)) return;
  coordinator_.After(0, [this] {
    kicked_ = false;
    Loop();
  });
}

void Keeper::Loop() {
  ReleaseRetired();
  switch (phase_) {
    case Phase::kIdle:
      return Keep();
    case Phase::kAwaitingRoom:
      return AwaitRoom();
    case Phase::kAwaitingWorkers:
      return LookAtPreparing();
    default:
      return;
  }
}

void Keeper::ReleaseRetired() {
  if (slots_.TakeRetired().empty()) return;
  keeper_.NoteRelease();
  WantShards();
  coordinator_.KickAll();
}

void Keeper::Keep() {
  const absl::Time now = world_.loop().time();
  for (const std::string& host : std::exchange(lost_hosts_, {})) keeper_.NoteLoss(host, now);
  const PlanKeeper::Hosts hosts = coordinator_.hosts();
  const SimulatedPlan* in_use = active() == nullptr || active()->broken ? nullptr : active();
  if (in_use != nullptr) keeper_.NoteSpeeds(*in_use, hosts, world_.loop().steady());
  const auto without = [&](const std::string& left_out) -> std::optional<double> {
    PlanKeeper::Hosts others = keeper_.UsableHosts(hosts, now);
    std::erase_if(others, [&](const auto& host) { return host.name == left_out; });
    const absl::StatusOr<ClusterPlan> made = coordinator_.memory().Try(WishFor(others), Room::kLeft);
    return made.ok() ? std::optional(made->plan.time.total_us) : std::nullopt;
  };
  keeper_.Judge(in_use, coordinator_.capacity(), hosts, without, now);
  const PlanSlots::Plan newest = slots_.Newest();
  if (!keeper_.PlanIsDue(hosts, newest.get(), TakenByOthers(), now)) {
    const absl::Duration wait = keeper_.UntilNextLook(hosts, now);
    coordinator_.After(absl::ToInt64Microseconds(wait) + 1, [this, number = ++timer_] {
      if (number == timer_) Loop();
    });
    return;
  }
  const absl::Status status = Replan();
  if (phase_ == Phase::kIdle) EndPlan(status);  // else it goes on, and ends later
}

PlanWish Keeper::WishFor(const PlanKeeper::Hosts& hosts) {
  return {model_.name(), keeper_.Participants(coordinator_.capacity(), hosts, AsIs), model_.description(),
          coordinator_.HeldByOthers(*this)};
}

ReservedBytes Keeper::TakenByOthers() {
  ReservedBytes taken = coordinator_.memory().UseOfOthers(model_.name());
  for (const auto& [device, bytes] : coordinator_.HeldByOthers(*this))
    taken[device] = std::max(taken[device], bytes);
  return taken;
}

bool Keeper::Stays(SimulatedPlan& in_use, const PlanKeeper::Hosts& hosts) {
  const absl::StatusOr<ClusterPlan> plan = coordinator_.memory().Try(WishFor(hosts), Room::kMade);
  const std::optional<double> stay_us =
      plan.ok() ? keeper_.UsIfItStays(in_use.plan, *plan, model_.description()) : std::nullopt;
  if (stay_us) in_use.expected_us = *stay_us;
  return stay_us.has_value();
}

absl::Status Keeper::Replan() {
  stays_for_memory_ = false;
  const PlanSlots::Plan newest = slots_.Newest();
  placed_hosts_ = keeper_.UsableHosts(coordinator_.hosts(), world_.loop().time());
  if (newest != nullptr && !newest->broken && newest->UsesSessions(placed_hosts_) &&
      Stays(static_cast<SimulatedPlan&>(*newest), placed_hosts_)) {
    coordinator_.memory().Keep(model_.name(), newest->plan.Use());
    return absl::OkStatus();
  }
  absl::StatusOr<ClusterPlan> plan = coordinator_.memory().Reserve(WishFor(placed_hosts_), Room::kMade);
  fits_ = plan.ok();
  HEARTH_RETURN_IF_ERROR(plan.status());
  coordinator_.KickAll();
  placed_ = *std::move(plan);
  phase_ = Phase::kAwaitingRoom;
  room_until_ = world_.loop().time() + kAwaitRoom;
  AwaitRoom();
  return absl::OkStatus();
}

void Keeper::AwaitRoom() {
  const ReservedBytes reserved = coordinator_.memory().UseOfOthers(model_.name()),
                      held = coordinator_.HeldByOthers(*this);
  const ReservedBytes use = placed_->Use();
  const bool is_full = std::any_of(use.begin(), use.end(), [&](const auto& wanted) {
    const auto still = held.find(wanted.first), meant = reserved.find(wanted.first);
    return still != held.end() && still->second > (meant == reserved.end() ? 0 : meant->second);
  });
  if (!coordinator_.memory().StillHas(model_.name(), use))
    return EndPlan(absl::AbortedError("another model has the memory that this one was to have"));
  if (!is_full) return BeginPlan();
  if (const PlanSlots::Plan newest = slots_.Newest(); newest != nullptr && newest->broken) GiveUpBroken();
  const absl::Duration left = room_until_ - world_.loop().time();
  if (left <= absl::ZeroDuration()) return EndPlan(absl::ResourceExhaustedError("others give nothing back"));
  coordinator_.After(absl::ToInt64Microseconds(left), [this, number = ++timer_] {
    if (number == timer_) Loop();
  });
}

// What PlanPreparer does, up to the leader's own share.
void Keeper::BeginPlan() {
  const PlanSlots::Plan newest = slots_.Newest();
  const auto* former = static_cast<const SimulatedPlan*>(newest.get());
  auto plan = std::make_shared<SimulatedPlan>();
  plan->epoch = coordinator_.NextEpoch();
  plan->plan = *std::exchange(placed_, std::nullopt);
  plan->expected_us = plan->plan.plan.time.total_us;
  for (size_t i = 0; i < placed_hosts_.size(); ++i) {
    if (!plan->plan.Uses(i + 1)) continue;
    ShardDescription shard = model_.shard();
    shard.epoch = plan->epoch;
    shard.units = UnitsOf(plan->plan, i + 1);
    for (PlacedUnit& placed : shard.units) placed.bundle = model_.bundle(placed.unit);
    plan->remotes.push_back(
        {placed_hosts_[i].name, placed_hosts_[i].session, StepShape(plan->epoch), std::move(shard), nullptr});
  }
  plan->connections.resize(plan->remotes.size());
  world_.Log(absl::StrCat(model_.name(), ": preparing plan ", plan->epoch, " with ", plan->remotes.size(),
                          " of ", placed_hosts_.size(), " other hosts"));
  preparing_ = plan;
  phase_ = Phase::kLoading;
  slots_.Prepare(plan);
  CheckBudgets();
  WantShards();
  uint64_t missing = 0;
  std::vector<UnitId> to_read;
  for (const PlacedUnit& placed : UnitsOf(plan->plan, 0)) {
    if (former != nullptr && former->local.contains(placed.unit)) {
      plan->local[placed.unit] = former->local.at(placed.unit);
    } else {
      to_read.push_back(placed.unit);
      missing += model_.bytes(placed.unit);
    }
  }
  const uint64_t free = coordinator_.machine().free_bytes();
  const bool beside = former != nullptr && !former->broken;
  if (former != nullptr && former->broken && missing > free) {
    GiveUpBroken();
    return EndPlan(absl::AbortedError("there is no room beside a plan that is broken"));
  }
  if (missing > free - std::min(free, beside ? kMemoryMargin : 0)) {
    stays_for_memory_ = beside;
    return EndPlan(absl::ResourceExhaustedError("the leader has no memory for another plan"));
  }
  for (const UnitId& unit : to_read) {
    auto piece = std::make_shared<Piece>(coordinator_.machine(), model_.bytes(unit));
    piece->cache_id = world_.random().Next();
    plan->local[unit] = std::move(piece);
  }
  world_.CheckMemory();
  const auto takes = static_cast<Micros>(1e6 * static_cast<double>(missing) / kReadBytesPerSecond);
  coordinator_.After(takes, [this, weak = std::weak_ptr(plan)] {
    if (preparing_ == nullptr || weak.lock() != preparing_) return;
    phase_ = Phase::kAwaitingWorkers;
    LookAtPreparing();
  });
}

void Keeper::LookAtPreparing() {
  if (preparing_ == nullptr) return;
  const ShardProgress progress = LookAtShards(*preparing_, [this](RosterCore::Session session) {
    return coordinator_.roster().Find(session, world_.loop().now_ms());
  });
  if (progress.failed) {
    const PlanSlots::Plan newest = slots_.Newest();
    if (newest != nullptr && newest->broken) {
      GiveUpBroken();
    } else {
      keeper_.NoteFailedLoad(*progress.failed, progress.reason, world_.loop().time());
    }
  }
  if (!progress.status.ok()) return EndPlan(progress.status);
  if (!progress.waiting_for.empty()) return;
  phase_ = Phase::kConnecting;
  for (const auto& [unit, piece] : preparing_->local) {
    if (unit.kind == UnitKind::kHeads) preparing_->caches[unit] = {0, piece->cache_id};
  }
  Connect(0);
}

void Keeper::Connect(size_t number) {
  const std::shared_ptr<SimulatedPlan> plan = preparing_;
  if (number == plan->remotes.size()) return Publish();
  const ActivePlan::Remote& remote = plan->remotes[number];
  const std::optional<RosterCore::Host> host =
      coordinator_.roster().Find(remote.session, world_.loop().now_ms());
  if (!host) return EndPlan(absl::AbortedError(absl::StrCat("host ", remote.host, " was lost")));
  Worker* worker = coordinator_.WorkerOf(remote.session);
  if (worker == nullptr) return EndPlan(absl::AbortedError(absl::StrCat("host ", remote.host, " was lost")));
  const std::shared_ptr<Line> line = world_.network().Connect(coordinator_, *worker);
  // The plan has the line, and not the line the plan.
  const std::weak_ptr<SimulatedPlan> weak = plan;
  const auto fail = [this, weak, session = remote.session] {
    if (preparing_ == nullptr || weak.lock() != preparing_) return;
    coordinator_.ReportLost(session, "it does not answer a hello");
    EndPlan(absl::AbortedError("a host does not answer a hello"));
  };
  line->OnClosed(0, fail);
  SimulatedPlan::Device& device = plan->connections[number];
  device.line = line;
  device.worker = worker;
  device.patience = std::make_unique<Patience>(ExpectedTimesOf(plan->plan.plan, ToyModel::kLayers));
  const auto welcome = [this, weak, number](const std::map<UnitId, uint64_t>& caches) {
    const std::shared_ptr<SimulatedPlan> greeted = weak.lock();
    if (greeted == nullptr || preparing_ != greeted || phase_ != Phase::kConnecting) return;
    for (const auto& [unit, id] : caches) greeted->caches[unit] = {greeted->remotes[number].session, id};
    ++greeted->connections[number].tickets;  // it has answered
    Connect(number + 1);
  };
  line->Send(0, [line, worker, token = host->token, epoch = plan->epoch, welcome] {
    const auto caches = worker->Greet(line, token, epoch);
    if (caches) line->Send(1, [welcome, caches = *caches] { welcome(caches); });
  });
  coordinator_.After(kConnectTimeout, [weak, number, fail] {
    const std::shared_ptr<SimulatedPlan> asked = weak.lock();
    if (asked != nullptr && asked->connections[number].tickets == 0) fail();
  });
}

void Keeper::Publish() {
  const std::shared_ptr<SimulatedPlan> plan = preparing_;
  if (slots_.Offer(plan) != nullptr) keeper_.NoteRelease();
  for (size_t i = 0; i < plan->remotes.size(); ++i) {
    SimulatedPlan::Device& device = plan->connections[i];
    device.line->OnClosed(0, [weak = std::weak_ptr(plan), i] {
      if (const auto locked = weak.lock()) locked->connections[i].lost = true;
    });
    const auto state = coordinator_.roster().StateOf(plan->remotes[i].session);
    if (state && *state != HostState::kLost) continue;
    device.lost = true;
    plan->broken = true;
  }
  world_.Log(absl::StrCat(model_.name(), ": plan ", plan->epoch, " is ready"));
  EndPlan(absl::OkStatus());
  if (ready_) ready_();
}

void Keeper::GiveUpBroken() {
  slots_.GiveUpBroken();
  if (ready_) ready_();
}

// What ClusterModel::Keep does after Replan.
void Keeper::EndPlan(const absl::Status& status) {
  preparing_ = nullptr;
  placed_.reset();
  phase_ = Phase::kIdle;
  slots_.Prepare(nullptr);
  WantShards();
  Kick();
  if (status.ok()) return;
  world_.Log(absl::StrCat(model_.name(), ": ", status.message()));
  const PlanSlots::Plan newest = slots_.Newest();
  const bool usable = newest != nullptr && !newest->broken;
  if (usable) coordinator_.memory().Keep(model_.name(), newest->plan.Use());
  if (absl::IsAborted(status)) return;
  if (!usable) coordinator_.memory().Release(model_.name());
  if (!usable && newest != nullptr && !coordinator_.memory().UseOfOthers(model_.name()).empty())
    GiveUpBroken();
  coordinator_.KickAll();
}

void Keeper::WantShards() {
  coordinator_.roster().SetShards(model_.name(), slots_.Wanted([this](RosterCore::Session session) {
    return coordinator_.roster().StateOf(session) == HostState::kAlive;
  }));
  coordinator_.RunEffects();
}

ReservedBytes Keeper::Held() {
  return slots_.Held([this](RosterCore::Session session) {
    return coordinator_.roster().StateOf(session) == HostState::kAlive;
  });
}

// What the plans of all models take of a device is there, each model counted with the larger one of its two.
void Keeper::CheckBudgets() {
  ReservedBytes budgets;
  for (const RosterCore::Host& host : coordinator_.hosts()) {
    if (host.state == HostState::kLost) continue;
    for (const DeviceCapacity& device : host.capacity.devices)
      budgets[{host.name, device.name}] = device.memory_budget_bytes;
  }
  for (const DeviceCapacity& device : coordinator_.capacity().devices) {
    budgets[{coordinator_.name(), device.name}] = device.memory_budget_bytes;
  }
  ReservedBytes sum;
  for (const auto& keeper : coordinator_.keepers()) {
    for (const auto& [device, bytes] : keeper->Held()) sum[device] += bytes;
  }
  for (const auto& [device, bytes] : budgets) {
    if (sum[device] <= bytes) continue;
    world_.Violate(
        absl::StrCat("plans take ", sum[device], " bytes of ", device.first, ", which offers ", bytes));
  }
}

// ---- For steps: what ClusterModel does on the scheduler's thread.

bool Keeper::PrepareStep(std::vector<uint32_t>& lengths) {
  PlanSlots::Step step = slots_.TakeOver();
  if (step.plan == nullptr && step.former == nullptr) return step.usable;
  TakeOverCaches(static_cast<SimulatedPlan*>(step.former.get()), static_cast<SimulatedPlan*>(step.plan.get()),
                 lengths);
  const bool usable = step.plan != nullptr;
  slots_.Retire();
  Kick();
  return usable;
}

void Keeper::TakeOverCaches(SimulatedPlan* former, SimulatedPlan* plan, std::vector<uint32_t>& lengths) {
  if (std::count(lengths.begin(), lengths.end(), 0u) == std::ssize(lengths)) return;
  const bool both = former != nullptr && plan != nullptr;
  const absl::Status moved = both ? MoveCaches(*former, *plan, lengths)
                                  : absl::FailedPreconditionError("the plan that had them was let go");
  if (moved.ok()) return;
  world_.Log(absl::StrCat(model_.name(), ": sequences are computed again, since ", moved.message()));
  if (!world_.Is(Bug::kKeepsLostCache)) std::fill(lengths.begin(), lengths.end(), 0);
}

absl::Status Keeper::MoveCaches(SimulatedPlan& former, SimulatedPlan& plan,
                                const std::vector<uint32_t>& lengths) {
  HEARTH_ASSIGN_OR_RETURN(const std::vector<UnitId> moves,
                          CachesToMove(former, plan, [](const UnitId&) { return true; }));
  for (const UnitId& unit : moves) {
    const Pieces* from = PiecesOf(former, former.caches.at(unit).first);
    if (from == nullptr) return absl::FailedPreconditionError("a host does not answer");
    Pieces* to = PiecesOf(plan, plan.caches.at(unit).first);
    if (to == nullptr) return absl::UnavailableError("a host does not answer");
    to->at(unit)->slots.resize(ToyModel::kSlots);
    from->at(unit)->slots.resize(ToyModel::kSlots);
    for (size_t slot = 0; slot < lengths.size(); ++slot) {
      const std::vector<uint64_t>& positions = from->at(unit)->slots[slot];
      if (lengths[slot] == 0) continue;
      if (positions.size() < lengths[slot]) {
        world_.Violate("a cache holds less than the decoder believes");
        return absl::InternalError("short");
      }
      to->at(unit)->slots[slot].assign(positions.begin(), positions.begin() + lengths[slot]);
    }
  }
  return absl::OkStatus();
}

Pieces* Keeper::PiecesOf(SimulatedPlan& plan, RosterCore::Session session) {
  if (session == 0) return &plan.local;
  for (size_t i = 0; i < plan.remotes.size(); ++i) {
    SimulatedPlan::Device& device = plan.connections[i];
    if (plan.remotes[i].session != session) continue;
    const bool cut =
        world_.network().IsCutEitherWay(coordinator_.machine().number, device.worker->machine().number);
    Pieces* pieces = device.lost || cut ? nullptr : device.worker->PiecesOf(device.line);
    if (pieces == nullptr) device.lost = true;
    return pieces;
  }
  return nullptr;
}

void Keeper::ReportLostDevice() {
  SimulatedPlan* plan = active();
  if (plan == nullptr) return;
  plan->broken = true;
  for (size_t i = 0; i < plan->remotes.size(); ++i) {
    if (!plan->connections[i].lost) continue;
    lost_hosts_.push_back(plan->remotes[i].host);
    coordinator_.ReportLost(plan->remotes[i].session, "a step has failed");
  }
  Kick();
}

void Keeper::NoteToken(absl::Duration took) {
  if (active() != nullptr) active()->token_times.Add(absl::ToDoubleMicroseconds(took));
  if (++tokens_ < kTokensPerLook) return;
  tokens_ = 0;
  Kick();
}

void Keeper::OnLost(RosterCore::Session session) {
  const PlanSlots::Plan newest = slots_.Newest();
  for (const PlanSlots::Plan& plan : {slots_.active(), newest}) {
    if (plan == nullptr) continue;
    for (size_t i = 0; i < plan->remotes.size(); ++i) {
      if (plan->remotes[i].session != session) continue;
      static_cast<SimulatedPlan&>(*plan).connections[i].lost = true;
      plan->broken = true;
    }
  }
}

bool Keeper::BetterPlanIsThere() {
  if (stays_for_memory_) return false;
  const PlanSlots::Plan newest = slots_.Newest();
  const PlanKeeper::Hosts usable = keeper_.UsableHosts(coordinator_.hosts(), world_.loop().time());
  const absl::StatusOr<ClusterPlan> fresh = coordinator_.memory().Try(WishFor(usable), Room::kMade);
  if (!fresh.ok() || newest == nullptr) return fresh.ok();
  return !keeper_.UsIfItStays(newest->plan, *fresh, model_.description()).has_value();
}

}  // namespace hearth::simulation
