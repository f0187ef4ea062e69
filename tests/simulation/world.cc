#include "tests/simulation/world.h"

#include <algorithm>
#include <cstdio>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "tests/simulation/clients.h"
#include "tests/simulation/coordinator.h"
#include "tests/simulation/worker.h"

namespace hearth::simulation {
namespace {

constexpr uint64_t kGiB = uint64_t{1} << 30;
// In which everything is ready again once nothing goes wrong any more: hosts sit out five minutes at most,
// ten where they did not pay.
constexpr Micros kRecovery = 660 * EventLoop::kSecond;

}  // namespace

World::World(const Options& options)
    : options_(options),
      random_(options.seed),
      network_(loop_, random_),
      clients_(std::make_unique<Clients>(*this)) {
  harsh_ = random_.Chance(0.3);
  trouble_every_ = random_.Uniform(0.3, 4) * EventLoop::kSecond;
  trouble_until_ = loop_.now() + static_cast<Micros>(random_.Uniform(5, 30) * EventLoop::kSecond);
  for (uint32_t i = 0; i < options.models; ++i)
    models_.push_back(std::make_unique<ToyModel>(absl::StrCat("m", i), random_));
  MakeHosts();
}

World::~World() {
  // Pieces give their memory back to machines.
  for (const auto& process : processes_) process->Die();
  for (const auto& host : hosts_) {
    if (host->daemon != nullptr) host->daemon->Crash();
  }
  if (coordinator_ != nullptr) coordinator_->Crash();
}

void World::MakeHosts() {
  const auto machine = [this]() {
    machines_.push_back(std::make_unique<Machine>());
    Machine& made = *machines_.back();
    made.number = static_cast<int>(machines_.size()) - 1;
    made.memory_bytes = static_cast<uint64_t>(random_.Uniform(1.5, 6) * static_cast<double>(kGiB));
    made.others_bytes = made.memory_bytes / 10;
    return &made;
  };
  machine();  // the coordinator's
  const uint64_t count = 1 + random_.Below(4);
  for (uint64_t i = 0; i < count; ++i) {
    auto host = std::make_unique<WorkerHost>();
    host->name = absl::StrCat("w", i);
    host->identity = {absl::StrCat("id-", host->name), "", absl::StrCat("home-", host->name)};
    // Now and then a second daemon of a machine.
    host->machine = random_.Chance(0.15) ? machines_[random_.Below(machines_.size())].get() : machine();
    host->read_bytes_per_s = random_.Uniform(0.3, 3) * 1e10;
    host->budget = random_.Uniform(0.3, 0.9);
    if (i > 0 && random_.Chance(0.05)) {  // with a copy of another's state directory
      host->identity.id = hosts_[0]->identity.id;
    }
    hosts_.push_back(std::move(host));
  }
}

std::string World::Run() {
  StartCoordinator();
  for (const auto& host : hosts_) {
    loop_.At(loop_.now() + static_cast<Micros>(random_.Exponential(EventLoop::kSecond)),
             [this, &host] { StartWorker(*host); });
  }
  clients_->Begin(trouble_until_);
  ScheduleTrouble();
  const auto run_for = [this](Micros time) {
    for (const Micros end = loop_.now() + time; loop_.now() < end && !violated();)
      loop_.RunUntil(std::min(end, loop_.now() + EventLoop::kSecond / 4));
  };
  run_for(trouble_until_ - loop_.now());
  // From now on nothing goes wrong.
  Log("nothing goes wrong from now on");
  network_.HealAll();
  network_.SetLoss(0);
  harsh_ = false;
  for (const auto& machine : machines_) machine->speed = 1;
  for (const auto& host : hosts_) {
    host->disk_is_full = false;
    if (host->daemon == nullptr) StartWorker(*host);
  }
  if (coordinator_ == nullptr) StartCoordinator();
  const Micros bound = loop_.now() + kRecovery;
  do {
    run_for(EventLoop::kSecond / 4);
  } while (!violated() && !IsSettled() && loop_.now() < bound);
  if (!violated() && !IsSettled()) Violate("not everything is ready again");
  if (violated()) return violation_;
  clients_->AskAll();
  do {
    run_for(2 * EventLoop::kSecond);
  } while (!violated() && !IsSettled() && loop_.now() < bound + kRecovery);
  if (!violated()) CheckAtRest();
  return violation_;
}

absl::StatusOr<ClusterPlan> World::MakePlan(const std::vector<PlanningHost>& hosts,
                                            const placement::Model& model, const ReservedBytes& reserved,
                                            const placement::PlanOptions& options) {
  std::string key = absl::StrCat(GroupBytes(model));
  for (const PlanningHost& host : hosts) {
    absl::StrAppend(&key, ";", host.name, " ", host.link.round_trip_us, " ", host.link.bytes_per_s);
    for (const DeviceCapacity& device : host.capacity.devices) {
      absl::StrAppend(&key, ",", device.name, " ", device.memory_budget_bytes, " ", device.read_bytes_per_s,
                      " ", device.operations_per_s);
    }
  }
  for (const auto& [device, bytes] : reserved)
    absl::StrAppend(&key, "|", device.first, " ", device.second, " ", bytes);
  const auto known = plans_.find(key);
  if (known != plans_.end()) return known->second;
  return plans_.emplace(key, PlanCluster(hosts, model, reserved, options)).first->second;
}

void World::Log(const std::string& line) const {
  if (options_.verbose) absl::PrintF("%10.6f %s\n", 1e-6 * static_cast<double>(loop_.now()), line);
}

void World::Violate(const std::string& what) {
  Log(absl::StrCat("VIOLATION: ", what));
  if (violation_.empty()) violation_ = what;
}

void World::CheckMemory() {
  for (const auto& machine : machines_) {
    if (machine->used_bytes + machine->others_bytes <= machine->memory_bytes) continue;
    Violate(absl::StrCat("machine ", machine->number, " holds ", machine->used_bytes, " bytes beside ",
                         machine->others_bytes, " of ", machine->memory_bytes));
  }
}

// ---- Life and death.

void World::StartCoordinator() {
  Log("the coordinator starts");
  auto coordinator = std::make_unique<Coordinator>(*this, *machines_[0], 1e10);
  coordinator_ = coordinator.get();
  processes_.push_back(std::move(coordinator));
  coordinator_->Start();
}

void World::CrashCoordinator() {
  Log("the coordinator dies");
  coordinator_->Crash();
  network_.Break(*coordinator_, true);
  coordinator_ = nullptr;
  clients_->LoseCoordinator();
}

void World::StartWorker(WorkerHost& host) {
  if (host.daemon != nullptr) return;
  Log(absl::StrCat(host.name, " starts"));
  auto worker = std::make_unique<Worker>(*this, host);
  host.daemon = worker.get();
  processes_.push_back(std::move(worker));
  host.daemon->Start();
}

void World::CrashWorker(WorkerHost& host, bool word) {
  Log(absl::StrCat(host.name, word ? " dies" : " dies without a word"));
  host.daemon->Crash();
  network_.Break(*host.daemon, word);
  host.daemon = nullptr;
}

// ---- What goes wrong.

void World::ScheduleTrouble() {
  loop_.At(loop_.now() + static_cast<Micros>(random_.Exponential(trouble_every_)), [this] {
    if (loop_.now() >= trouble_until_) return;
    MakeTrouble();
    ScheduleTrouble();
  });
}

void World::MakeTrouble() {
  WorkerHost& host = *hosts_[random_.Below(hosts_.size())];
  const auto lasts = static_cast<Micros>(random_.Exponential(2 * EventLoop::kSecond));
  const auto later = [&](std::function<void()> what) { loop_.At(loop_.now() + lasts, std::move(what)); };
  const int at = host.machine->number;
  switch (random_.Below(11)) {
    case 0:  // a partition, or one way cut
    case 1: {
      const uint64_t ways = random_.Below(3);
      Log(absl::StrCat("cut off: machine ", at, ways == 0 ? "" : ways == 1 ? ", to it" : ", from it"));
      if (ways != 2) network_.Cut(0, at);
      if (ways != 1) network_.Cut(at, 0);
      return later([this, at, ways] {
        if (loop_.now() >= trouble_until_) return;
        Log(absl::StrCat("healed: machine ", at));
        if (ways != 2) network_.Heal(0, at);
        if (ways != 1) network_.Heal(at, 0);
      });
    }
    case 2:  // a worker dies and comes back
    case 3: {
      if (host.daemon == nullptr) return;
      const bool boots = random_.Chance(0.3);
      for (const auto& other : hosts_) {
        const bool dies = other.get() == &host || (boots && at != 0 && other->machine == host.machine);
        if (dies && other->daemon != nullptr) CrashWorker(*other, !boots);
        if (dies) later([this, &other] { StartWorker(*other); });
      }
      if (boots && at != 0) ++host.machine->boots;
      return;
    }
    case 4:
      if (coordinator_ == nullptr || !random_.Chance(0.5)) return;
      CrashCoordinator();
      return later([this] {
        if (coordinator_ == nullptr) StartCoordinator();
      });
    case 5:
      if (host.daemon == nullptr) return;
      Log(absl::StrCat(host.name, " is stopped"));
      return host.daemon->Stop(loop_.now() + lasts);
    case 6:
      if (coordinator_ == nullptr) return;
      Log("the coordinator is stopped");
      return coordinator_->Stop(loop_.now() + lasts);
    case 7:
      Log(absl::StrCat(host.name, ": the disk is full"));
      host.disk_is_full = true;
      return later([&host] { host.disk_is_full = false; });
    case 8:
      host.disk_bytes_per_s = random_.Chance(0.5) ? 3e8 : 2e9;
      return;
    case 9:
      Log(absl::StrCat("machine ", at, " is busy"));
      host.machine->speed = random_.Uniform(0.001, 0.5);
      return later([&host] { host.machine->speed = 1; });
    default:
      network_.SetLoss(random_.Uniform(0, 0.2));
      network_.SetRoundTrip(static_cast<Micros>(random_.Uniform(100, 20'000)));
      return later([this] {
        network_.SetLoss(0);
        network_.SetRoundTrip(200);
      });
  }
}

// ---- What must be true.

bool World::IsSettled() const {
  if (coordinator_ == nullptr || !clients_->AllEnded()) return false;
  std::set<std::string> ids;
  for (const auto& host : hosts_) ids.insert(host->identity.id);
  size_t alive = 0;
  for (const RosterCore::Host& host : coordinator_->hosts()) alive += host.state == HostState::kAlive;
  if (alive != ids.size()) return false;
  for (size_t i = 0; i < models_.size(); ++i) {
    Keeper& keeper = *coordinator_->keepers()[i];
    if (keeper.is_preparing() || (keeper.fits() && !keeper.slots().Usable())) return false;
    if (!coordinator_->steps(i).idle()) return false;
  }
  // What a plan wanted that was given up meanwhile may not have been taken back everywhere yet.
  return std::all_of(hosts_.begin(), hosts_.end(), [](const auto& host) {
    return !host->daemon->in_cluster() || host->daemon->held_bytes() == host->daemon->wanted_bytes();
  });
}

void World::CheckAtRest() {
  for (const auto& host : hosts_) {
    const Worker& daemon = *host->daemon;
    if (!daemon.in_cluster()) continue;  // a copy is refused, and keeps what it had
    if (daemon.held_bytes() != daemon.wanted_bytes()) {
      Violate(absl::StrCat(host->name, " holds ", daemon.held_bytes(), " bytes, wanted are ",
                           daemon.wanted_bytes()));
    }
  }
  for (const auto& keeper : coordinator_->keepers()) {
    if (keeper->BetterPlanIsThere())
      Violate(absl::StrCat(keeper->model().name(), " does not use a better plan"));
  }
  coordinator_->CheckCapacity();
}

}  // namespace hearth::simulation
