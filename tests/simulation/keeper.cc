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
  if (phase_ == Phase::kGivingUp) return GoOnAlone();
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

bool Keeper::LetGoOfRetired() {
  if (slots_.TakeRetired().empty()) return false;
  keeper_.NoteRelease();
  return true;
}

void Keeper::ReleaseRetired() {
  if (!LetGoOfRetired()) return;
  WantShards();
  coordinator_.KickAll();
}

void Keeper::Keep() {
  const absl::Time now = world_.loop().time();
  for (const std::string& host : std::exchange(lost_hosts_, {})) keeper_.NoteLoss(host, now);
  const PlanKeeper::Hosts hosts = coordinator_.hosts();
  const SimulatedPlan* in_use = active() == nullptr || active()->broken ? nullptr : active();
  if (in_use != nullptr) keeper_.NoteSpeeds(*in_use, hosts, world_.loop().steady());
  const auto without = [&](const std::string& left_out) -> std::optional<ClusterPlan> {
    PlanKeeper::Hosts others = keeper_.UsableHosts(hosts, now);
    std::erase_if(others, [&](const auto& host) { return host.name == left_out; });
    absl::StatusOr<ClusterPlan> made = coordinator_.memory().Try(WishFor(others), Room::kLeft);
    return made.ok() ? std::optional(*std::move(made)) : std::nullopt;
  };
  keeper_.Judge(in_use, model_.description(), coordinator_.capacity(), hosts, without, now);
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
          HeldByOthers()};
}

ReservedBytes Keeper::HeldByOthers() {
  ReservedBytes held;
  for (const auto& [model, bytes] : coordinator_.Held()) {
    if (model != model_.name()) AddBytes(bytes, held);
  }
  return held;
}

ReservedBytes Keeper::TakenByOthers() {
  ReservedBytes taken = coordinator_.memory().UseOfOthers(model_.name());
  for (const auto& [device, bytes] : HeldByOthers()) taken[device] = std::max(taken[device], bytes);
  return taken;
}

absl::StatusOr<std::optional<ClusterPlan>> Keeper::Reserve(SimulatedPlan* in_use,
                                                           const PlanKeeper::Hosts& hosts) {
  if (in_use == nullptr) return coordinator_.memory().Reserve(WishFor(hosts), Room::kMade);
  const auto stays = [&](const ClusterPlan& instead) {
    const std::optional<double> us = keeper_.UsIfItStays(in_use->plan, instead, model_.description());
    if (us) in_use->expected_us = *us;
    return us.has_value();
  };
  return coordinator_.memory().ReserveUnlessItStays(WishFor(hosts), in_use->plan.Use(), stays);
}

absl::Status Keeper::Replan() {
  stays_for_memory_ = false;
  const PlanSlots::Plan newest = slots_.Newest();
  placed_hosts_ = keeper_.UsableHosts(coordinator_.hosts(), world_.loop().time());
  const bool may_stay = newest != nullptr && !newest->broken && newest->UsesSessions(placed_hosts_);
  absl::StatusOr<std::optional<ClusterPlan>> plan =
      Reserve(may_stay ? static_cast<SimulatedPlan*>(newest.get()) : nullptr, placed_hosts_);
  fits_ = plan.ok();
  HEARTH_RETURN_IF_ERROR(plan.status());
  if (!*plan) return absl::OkStatus();
  coordinator_.KickAll();
  placed_ = **std::move(plan);
  phase_ = Phase::kAwaitingRoom;
  room_until_ = world_.loop().time() + kAwaitRoom;
  AwaitRoom();
  return absl::OkStatus();
}

void Keeper::AwaitRoom() {
  const MemoryBook::Standing standing =
      coordinator_.memory().Look(model_.name(), placed_->Use(), coordinator_.Held());
  if (standing.is_news) coordinator_.KickAll();
  if (standing.is_lost) {
    keeper_.NoteLostMemory(world_.loop().time());
    return EndPlan(absl::AbortedError("another model has the memory that this one was to have"));
  }
  if (!standing.full) return BeginPlan();
  const PlanSlots::Plan newest = slots_.Newest();
  if (newest != nullptr && (newest->broken || standing.gives_up)) {
    if (!newest->broken)
      world_.Log(absl::StrCat(model_.name(), ": gives up plan ", newest->epoch, ", others wait for it"));
    GiveUp();
  }
  const absl::Duration left = room_until_ - world_.loop().time();
  if (left <= absl::ZeroDuration()) return EndPlan(absl::ResourceExhaustedError("others give nothing back"));
  coordinator_.After(absl::ToInt64Microseconds(left), [this, number = ++timer_] {
    if (number == timer_) Loop();
  });
}

// What ClusterModel::ChangeTo does where the plan has no room beside the former one.
void Keeper::HaveNoRoomBeside(const absl::Status& status) {
  if (former_->UsesSessions(placed_hosts_) &&
      !keeper_.IsWorthAnOutage(former_->plan, *placed_, model_.description())) {
    stays_for_memory_ = true;
    keeper_.NoteNoMemory(std::string(status.message()), world_.loop().time());
    return EndPlan(status);
  }
  world_.Log(absl::StrCat(model_.name(), ": gives up plan ", former_->epoch, " first"));
  preparing_ = nullptr;
  slots_.Prepare(nullptr);
  WantShards();
  phase_ = Phase::kGivingUp;
  GiveUp();
}

void Keeper::GoOnAlone() {
  if (slots_.InUse()) return;
  LetGoOfRetired();
  alone_ = true;
  BeginPlan();
}

// What PlanPreparer does, up to the leader's own share.
void Keeper::BeginPlan() {
  if (!alone_) former_ = std::static_pointer_cast<SimulatedPlan>(slots_.Newest());
  auto plan = std::make_shared<SimulatedPlan>();
  plan->epoch = coordinator_.NextEpoch();
  plan->plan = *placed_;
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
  if (former_ != nullptr) {
    for (const PlacedUnit& placed : UnitsOf(plan->plan, 0)) {
      const auto piece = former_->local.find(placed.unit);
      if (piece != former_->local.end()) plan->local.insert(*piece);
    }
  }
  if (alone_) former_ = nullptr;
  LoadLocal(former_.get());
}

// The leader's share. `beside`: the former plan, where it stays until this one is ready.
void Keeper::LoadLocal(const SimulatedPlan* beside) {
  const std::shared_ptr<SimulatedPlan> plan = preparing_;
  uint64_t missing = 0, freed = 0;
  std::vector<UnitId> to_read;
  for (const PlacedUnit& placed : UnitsOf(plan->plan, 0)) {
    if (plan->local.contains(placed.unit)) continue;
    to_read.push_back(placed.unit);
    missing += model_.bytes(placed.unit);
  }
  const uint64_t free = coordinator_.machine().free_bytes();
  if (beside != nullptr && beside->broken && missing > free) {
    GiveUp();
    return EndPlan(absl::AbortedError("there is no room beside a plan that is broken"));
  }
  if (missing > free - std::min(free, beside != nullptr && !beside->broken ? kMemoryMargin : 0)) {
    const absl::Status full = absl::ResourceExhaustedError("the leader has no memory for another plan");
    if (beside != nullptr) {
      for (const auto& [unit, piece] : beside->local)
        freed += plan->local.contains(unit) ? 0 : piece->bytes();
      if (missing <= free + freed) return HaveNoRoomBeside(full);
      stays_for_memory_ = true;
    }
    keeper_.NoteNoMemory("it has no memory", world_.loop().time());
    return EndPlan(full);
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
    if (former_ != nullptr && IsInTheWay(*former_, *preparing_, progress))
      return HaveNoRoomBeside(absl::ResourceExhaustedError(progress.reason));
    const PlanSlots::Plan newest = slots_.Newest();
    if (newest != nullptr && newest->broken) {
      GiveUp();
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

void Keeper::GiveUp() {
  slots_.GiveUp();
  if (ready_) ready_();
}

// What ClusterModel::Keep does after Replan.
void Keeper::EndPlan(const absl::Status& status) {
  preparing_ = former_ = nullptr;
  alone_ = false;
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
  if (!usable && newest != nullptr && !coordinator_.memory().UseOfOthers(model_.name()).empty()) GiveUp();
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
  if (active() != nullptr) active()->step_times.Add(1, absl::ToDoubleMicroseconds(took));
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
