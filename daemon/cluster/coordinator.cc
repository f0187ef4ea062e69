#include "daemon/cluster/coordinator.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <functional>
#include <iterator>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "daemon/capacity/shared_machine.h"
#include "daemon/membership/host_view.h"
#include "daemon/weights/model_copies.h"
#include "engine/base/check.h"
#include "engine/base/freed_memory.h"
#include "engine/base/printable.h"
#include "engine/base/split_name.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Each has threads of its own.
constexpr size_t kMaxModels = 64;
// Plans of one term; those of the next one have higher epochs.
constexpr uint64_t kEpochsOfATerm = 1'000'000;
// Between two times that models wake the same host.
constexpr absl::Duration kWakeAgainAfter = absl::Minutes(5);

std::string PhaseName(ShardPhase phase) {
  switch (phase) {
    case ShardPhase::kFetching:
      return "fetching weights";
    case ShardPhase::kLoading:
      return "loading weights";
    case ShardPhase::kReady:
      return "ready";
    case ShardPhase::kFailed:
      return "failed";
  }
  return "";
}

// What it reports, but with the budgets that plans count: a machine's memory is there once.
HostCapacity CountedCapacity(const Roster::Host& host) {
  HostCapacity capacity = host.report.capacity;
  for (DeviceCapacity& device : capacity.devices) {
    for (const DeviceCapacity& counted : host.capacity.devices) {
      if (counted.name == device.name) device.memory_budget_bytes = counted.memory_budget_bytes;
    }
  }
  return capacity;
}

HostView ShowHost(const Roster::Host& host) {
  HostView view;
  view.name = host.name;
  view.address = host.tensor_address;
  view.state = host.state;
  view.detail = host.detail.empty() ? host.problem() : host.detail;
  view.last_sync_ms = host.silent_ms;
  view.losses = host.losses;
  view.version = host.report.version;
  if (host.report.clock_unix_ms > 0)
    view.clock_unix_ms = host.report.clock_unix_ms + static_cast<int64_t>(host.silent_ms);
  view.weights_fetched_bytes = host.report.store.fetched_bytes;
  view.groups_from_cache = host.report.store.cached_bundles;
  ShowCapacity(CountedCapacity(host), view);
  return view;
}

// The shards that are on their way to a host.
void ShowTransfers(const Roster::Host& host, std::vector<TransferView>& transfers) {
  if (host.state == HostState::kLost) return;
  for (const ShardStatus& shard : host.report.shards) {
    if (shard.phase == ShardPhase::kReady) continue;
    TransferView transfer;
    transfer.host = host.name;
    transfer.model = shard.model;
    transfer.bytes_done = shard.bytes_done;
    transfer.bytes_total = shard.bytes_total;
    transfer.detail = shard.detail.empty() ? PhaseName(shard.phase)
                                           : absl::StrCat(PhaseName(shard.phase), ": ", shard.detail);
    transfers.push_back(std::move(transfer));
  }
}

absl::Status CheckSlots(const placement::Objective& objective, const std::optional<uint32_t>& slots) {
  if (objective.kind != placement::ObjectiveKind::kThroughput || !slots || objective.rows <= *slots)
    return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "the objective ", placement::ObjectiveText(objective), " is of ", objective.rows,
      " streams, and hearthd's --slots is ", *slots, "; give it more slots, or ask for fewer streams"));
}

// Whether a machine besides the coordinator's is there.
bool HasOthers(const std::vector<Roster::Host>& hosts) {
  return std::any_of(hosts.begin(), hosts.end(),
                     [](const Roster::Host& host) { return host.state == HostState::kAlive; });
}

// Why the host that somebody has named is not woken. `names`: of all that are known.
absl::Status CannotWake(const std::string& name, std::vector<std::string> names,
                        const std::vector<Roster::Host>& hosts) {
  if (std::find(names.begin(), names.end(), name) == names.end()) {
    std::sort(names.begin(), names.end());
    names.erase(std::unique(names.begin(), names.end()), names.end());
    return absl::NotFoundError(absl::StrCat("there is no machine called \"", Printable(name, kMaxNameBytes),
                                            "\": ", NameList(names)));
  }
  const bool is_lost = std::any_of(hosts.begin(), hosts.end(), [&](const Roster::Host& host) {
    return host.name == name && host.state == HostState::kLost;
  });
  return absl::FailedPreconditionError(
      is_lost ? absl::StrCat("machine ", name,
                             " has told no network card by which it could be woken: start it by hand")
              : absl::StrCat("machine ", name, " is here already"));
}

TlsContext TlsOf(const LiveKey& key) {
  if (key.empty()) return nullptr;
  absl::StatusOr<TlsContext> context = MakeTlsContext(key);
  HEARTH_CHECK(context.ok());  // the home has just made it
  return *std::move(context);
}

}  // namespace

Coordinator::Coordinator(const NodeOptions& options, HostIdentity identity,
                         std::vector<HostDeviceSpec> devices, HostCapacity capacity, Pauses pauses)
    : options_(options),
      capacity_(std::move(capacity)),
      own_id_(identity.id),
      roster_(std::make_shared<Roster>(Roster::Options{.version = options.version,
                                                       .name = options.name,
                                                       .identity = std::move(identity),
                                                       .offered_bytes = OfferedBytes(capacity_)},
                                       TlsOf(options.key), options.places_to_lead)),
      sleepers_(options.kept_hosts),
      last_epoch_(options.term * kEpochsOfATerm),
      own_host_(options.yield, [this] { OnOwnerChanged(); }),
      pauses_(std::move(pauses)) {
  auto context = std::make_shared<ClusterModelContext>();
  context->options = options_;
  context->devices = std::move(devices);
  context->roster = roster_;
  context->own_capacity = [this] { return capacity_; };
  context->own_problem = [this] { return own_host_.problem(); };
  context->next_epoch = [this] { return ++last_epoch_; };
  context->memory =
      std::make_shared<MemoryBook>(placement::PlanOptions{.use_every_host = options_.use_every_host,
                                                          .stages = options_.stages,
                                                          .keep_attention = options_.keep_attention});
  context->held = [this] { return Held(); };
  context->away = [this] {
    return options_.wake && options_.wake_for_models ? sleepers_.Away(roster_->hosts())
                                                     : std::vector<Sleepers::Host>();
  };
  context->wake = [this](const std::string& model, const std::vector<std::string>& names) {
    return WakeForModel(model, names);
  };
  context->changed = [this] { OnModelsChanged(); };
  context->memory_changed = [this] { KickAll(); };
  context_ = std::move(context);
}

Coordinator::~Coordinator() { Stop(); }

void Coordinator::Start() {
  roster_->Start([this] { OnHostsChanged(); });
  {
    MutexLock lock(&pauses_mutex_);
    ShowPauses();
  }
  own_host_.Start();
  reaper_ = std::thread([this] { Reap(); });
}

void Coordinator::Stop() {
  std::vector<std::shared_ptr<ClusterModel>> models;
  {
    MutexLock lock(&mutex_);
    if (stopped_) return;
    stopped_ = true;
    for (const auto& entry : entries_) {
      entry->unloading = true;
      models.push_back(entry->model);
    }
  }
  own_host_.Stop();
  for (const auto& model : models) model->Stop();
  unloaded_.SignalAll();
  if (reaper_.joinable()) reaper_.join();
  roster_->Stop();
}

void Coordinator::OnModelsChanged() {
  StartDrafts();
  models_listener_.Call();
  cluster_listener_.Call();
}

void Coordinator::OnHostsChanged() {
  sleepers_.See(roster_->hosts());
  KickAll();
  cluster_listener_.Call();
}

void Coordinator::OnOwnerChanged() {
  if (const std::string problem = own_host_.problem(); HasOthers(roster_->hosts())) {
    spdlog::info("this machine {}", problem.empty()
                                        ? "may hold shares again"
                                        : "is to lead only, where others can hold the models: " + problem);
  }
  OnHostsChanged();
}

void Coordinator::KickAll() {
  for (const auto& model : Models()) model->Kick();
}

std::vector<std::shared_ptr<ClusterModel>> Coordinator::Models() const {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<ClusterModel>> models;
  for (const auto& entry : entries_) models.push_back(entry->model);
  return models;
}

std::vector<std::shared_ptr<ClusterModel>> Coordinator::AnsweringModels() const {
  std::vector<std::shared_ptr<ClusterModel>> models = Models();
  std::erase_if(models, [](const auto& model) { return model->is_draft(); });
  return models;
}

HeldByModel Coordinator::Held() const {
  HeldByModel held;
  for (const auto& model : Models()) AddBytes(model->Held(), held[model->name()]);
  return held;
}

// ---- Models.

absl::StatusOr<std::string> Coordinator::Load(const ModelSource& source) {
  const auto& [name, path, objective, draft, adapters] = source;
  HEARTH_RETURN_IF_ERROR(CheckPath("path", path));
  for (const AdapterSource& adapter : adapters)
    HEARTH_RETURN_IF_ERROR(CheckPath("path of a LoRA adapter", adapter.path));
  HEARTH_RETURN_IF_ERROR(CheckSlots(objective.value_or(options_.objective), options_.slots));
  const std::string chosen = name.empty() ? NameOfModelFile(path) : name;
  HEARTH_RETURN_IF_ERROR(CheckName(name.empty() ? "name (taken from the file's; give one)" : "name", chosen));
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file,
                          GgufFile::Open(ModelCopies(options_.copies_dir).Resolve(path)));
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> adapter, OpenAdapters(adapters, *file));
  const std::string file_name = file->name();
  std::shared_ptr<const GgufFile> draft_file;
  if (!draft.empty()) {
    HEARTH_RETURN_IF_ERROR(CheckPath("draft", draft));
    HEARTH_ASSIGN_OR_RETURN(draft_file, GgufFile::Open(ModelCopies(options_.copies_dir).Resolve(draft)));
  }
  std::unique_ptr<Entry> failed;
  {
    MutexLock lock(&mutex_);
    if (stopped_) return absl::UnavailableError("the daemon stops");
    failed = TakeFailed(chosen);
    for (const auto& entry : entries_) {
      if (entry->model->name() != chosen) continue;
      return absl::AlreadyExistsError(
          absl::StrCat("a model called ", chosen, " is here already; unload it or choose another name"));
    }
    if (entries_.size() >= kMaxModels) {
      return absl::ResourceExhaustedError(
          absl::StrCat(kMaxModels, " models are here already; unload one with `hearth unload NAME`"));
    }
    entries_.push_back(
        MakeEntry({chosen, path, objective, draft, adapters}, std::move(file), std::move(adapter), nullptr));
    entries_.back()->draft_file = std::move(draft_file);
  }
  if (failed != nullptr) {
    failed->model->Stop();
    failed->keeper.join();
  }
  spdlog::info("model {}: loading {}", chosen,
               file_name == path ? path : path + " from its copy " + file_name);
  for (const AdapterSource& of_model : adapters)
    spdlog::info("model {}: changed by {}", chosen, AdapterText(of_model));
  OnModelsChanged();
  return chosen;
}

std::unique_ptr<Coordinator::Entry> Coordinator::MakeEntry(
    const ModelSource& source, std::shared_ptr<const GgufFile> file, std::shared_ptr<const GgufFile> adapter,
    std::shared_ptr<const ClusterModel> drafts_for) const {
  auto entry = std::make_unique<Entry>();
  if (drafts_for != nullptr) entry->drafts_for = drafts_for->name();
  entry->model.reset(
      new ClusterModel(source, std::move(file), std::move(adapter), context_, std::move(drafts_for)),
      DeleteAndReturnMemory<ClusterModel>);
  entry->keeper = std::thread([model = entry->model] { model->Run(); });
  return entry;
}

// Begins to load the models that guess for those that can be asked by now.
void Coordinator::StartDrafts() {
  MutexLock lock(&mutex_);
  if (stopped_) return;
  std::vector<std::unique_ptr<Entry>> drafts;
  for (const auto& entry : entries_) {
    if (entry->draft_file == nullptr || entry->unloading || !entry->model->HasServed()) continue;
    const ModelSource draft{.name = absl::StrCat(entry->model->name(), ".draft"),
                            .path = entry->model->Info().draft};
    // A former one is still being unloaded.
    if (std::any_of(entries_.begin(), entries_.end(),
                    [&](const auto& other) { return other->model->name() == draft.name; }))
      continue;
    std::shared_ptr<const GgufFile> file = std::move(entry->draft_file);
    drafts.push_back(MakeEntry(draft, std::move(file), nullptr, entry->model));
    entry->model->SetDraft(drafts.back()->model);
  }
  std::move(drafts.begin(), drafts.end(), std::back_inserter(entries_));
}

// A model of that name that could not be loaded, out of the list: another one may take its name. Null: there
// is none.
std::unique_ptr<Coordinator::Entry> Coordinator::TakeFailed(const std::string& name) {
  for (auto it = entries_.begin(); it != entries_.end(); ++it) {
    const ClusterModel& model = *(*it)->model;
    if (model.name() != name || (*it)->unloading) continue;
    if (model.HasServed() || model.Info().state != ModelState::kFailed) continue;
    std::unique_ptr<Entry> failed = std::move(*it);
    entries_.erase(it);
    return failed;
  }
  return nullptr;
}

absl::Status Coordinator::Unload(const std::string& name) {
  std::vector<std::shared_ptr<ClusterModel>> stopping;  // it, and what guesses for it
  {
    MutexLock lock(&mutex_);
    for (const auto& entry : entries_) {
      const bool meant = entry->model->is_draft() ? entry->drafts_for == name : entry->model->name() == name;
      if (!meant) continue;
      entry->unloading = true;
      stopping.push_back(entry->model);
    }
  }
  if (stopping.empty()) return NoSuchModel(name);
  for (const auto& model : stopping) model->Stop();
  unloaded_.SignalAll();
  return absl::OkStatus();
}

// Waits for the keepers of unloaded models and forgets the models; at the end of all models.
void Coordinator::Reap() {
  MutexLock lock(&mutex_);
  for (;;) {
    const auto found =
        std::find_if(entries_.begin(), entries_.end(), [](const auto& entry) { return entry->unloading; });
    if (found == entries_.end()) {
      if (stopped_) return;
      unloaded_.Wait(&mutex_);
      continue;
    }
    Entry* entry = found->get();
    lock.Unlock();
    entry->keeper.join();
    lock.Lock();
    const auto joined = std::find_if(entries_.begin(), entries_.end(),
                                     [entry](const auto& other) { return other.get() == entry; });
    const std::unique_ptr<Entry> finished = std::move(*joined);
    entries_.erase(joined);
    lock.Unlock();
    spdlog::info("model {}: unloaded", finished->model->name());
    KickAll();  // one may have waited for the memory
    OnModelsChanged();
    lock.Lock();
  }
}

std::vector<ModelInfo> Coordinator::List() const {
  std::vector<ModelInfo> infos;
  for (const auto& model : AnsweringModels()) infos.push_back(model->Info());
  return infos;
}

absl::StatusOr<std::shared_ptr<ServedModel>> Coordinator::Find(const std::string& name) const {
  const std::vector<std::shared_ptr<ClusterModel>> models = AnsweringModels();
  // Where none is named, one that failed does not stand beside one that works.
  const auto fails = [](const auto& model) {
    return !model->HasServed() && model->Info().state == ModelState::kFailed;
  };
  const auto working = std::count_if(models.begin(), models.end(), std::not_fn(fails));
  for (const auto& model : models) {
    const bool meant =
        name.empty() ? models.size() == 1 || (working == 1 && !fails(model)) : model->name() == name;
    if (!meant) continue;
    const ModelInfo info = model->Info();
    if (model->HasServed()) return model;
    if (info.state == ModelState::kFailed) {
      model->Want();
      return absl::FailedPreconditionError(
          absl::StrCat("model ", info.name, " could not be loaded: ", info.detail));
    }
    const uint64_t percent = info.bytes_total == 0 ? 0 : 100 * info.bytes_done / info.bytes_total;
    return absl::UnavailableError(info.state == ModelState::kUnloading
                                      ? absl::StrCat("model ", info.name, " is being unloaded")
                                      : absl::StrCat("model ", info.name, " is loading: ", info.detail, ", ",
                                                     percent, " %; please try again in a moment"));
  }
  return NoSuchModel(name);
}

// What to say of a name that means none of the models, or of no name where there are several.
absl::Status Coordinator::NoSuchModel(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& model : AnsweringModels()) names.push_back(model->name());
  if (names.empty()) return absl::NotFoundError("no model is loaded: use `hearth load FILE`");
  const std::string problem =
      name.empty() ? "several models are loaded, name one"
                   : absl::StrCat("there is no model called \"", Printable(name, kMaxNameBytes), "\"");
  return absl::NotFoundError(absl::StrCat(problem, ": ", NameList(names)));
}

absl::StatusOr<Coordinator::NamedHost> Coordinator::HostToPause(const std::string& name,
                                                                const std::optional<HostId>& caller) const {
  std::vector<std::string> names = {options_.name};
  std::optional<NamedHost> wanted;
  bool is_host = false, is_itself = false;
  if (name == options_.name || (name.empty() && !caller)) wanted = NamedHost{options_.name, own_id_};
  for (const Roster::Host& host : roster_->hosts()) {
    const bool itself = caller && host.report.identity.id == caller->Text();
    is_host |= itself;
    names.push_back(host.name);
    if (name.empty() ? !itself : host.name != name) continue;
    is_itself = itself;
    wanted = NamedHost{host.name, host.report.identity.id};
  }
  if (is_host && wanted && !is_itself) {
    return absl::PermissionDeniedError(absl::StrCat(
        "a worker pauses and resumes itself only: run the command on ", name, " or on the coordinator"));
  }
  if (wanted) return *std::move(wanted);
  return absl::NotFoundError(
      absl::StrCat("there is no machine called \"", Printable(name, kMaxNameBytes), "\": ", NameList(names)));
}

absl::Status Coordinator::Pause(const std::string& name, absl::Time until,
                                const std::optional<HostId>& caller) {
  HEARTH_ASSIGN_OR_RETURN(const NamedHost host, HostToPause(name, caller));
  MutexLock lock(&pauses_mutex_);
  HEARTH_RETURN_IF_ERROR(pauses_.Pause(host.id, until, absl::Now()));
  spdlog::info("host {} is told to pause", host.name);
  ShowPauses();
  return absl::OkStatus();
}

absl::Status Coordinator::Resume(const std::string& name, const std::optional<HostId>& caller) {
  HEARTH_ASSIGN_OR_RETURN(const NamedHost host, HostToPause(name, caller));
  MutexLock lock(&pauses_mutex_);
  const absl::Status resumed = pauses_.Resume(host.id, absl::Now());
  if (absl::IsNotFound(resumed)) {
    return absl::FailedPreconditionError(absl::StrCat("machine ", host.name, " is not paused"));
  }
  HEARTH_RETURN_IF_ERROR(resumed);
  spdlog::info("host {} takes part again", host.name);
  ShowPauses();
  return absl::OkStatus();
}

absl::StatusOr<WokenHosts> Coordinator::Wake(const std::string& name) {
  const std::vector<Roster::Host> hosts = roster_->hosts();
  std::vector<Sleepers::Host> away = sleepers_.Away(hosts);
  if (!name.empty()) {
    std::vector<std::string> names = {options_.name};
    for (const Roster::Host& host : hosts) names.push_back(host.name);
    for (const Sleepers::Host& host : away) names.push_back(host.name());
    std::erase_if(away, [&](const Sleepers::Host& host) { return host.name() != name; });
    if (away.empty()) return CannotWake(name, std::move(names), hosts);
  }
  if (away.empty()) {
    return absl::FailedPreconditionError(
        "no machine is away that could be woken: it has to have joined from another machine before");
  }
  WokenHosts woken;
  HEARTH_ASSIGN_OR_RETURN(woken.broadcasts, SendTo(away));
  for (const Sleepers::Host& host : away) woken.hosts.push_back(ViewOf(host));
  return woken;
}

// To all their cards.
absl::StatusOr<std::vector<std::string>> Coordinator::SendTo(std::vector<Sleepers::Host>& hosts) {
  if (!options_.wake) return absl::UnimplementedError("hosts cannot be woken here");
  std::vector<MacAddress> macs;
  for (const Sleepers::Host& host : hosts) {
    for (const NetworkCard& card : host.known.report.network_cards) macs.push_back(card.mac);
  }
  HEARTH_ASSIGN_OR_RETURN(std::vector<std::string> broadcasts, options_.wake(macs));
  for (Sleepers::Host& host : hosts) {
    spdlog::info("host {} is sent magic packets", host.name());
    host.woken = absl::Now();
    sleepers_.NoteWoken(host);
  }
  cluster_listener_.Call();
  return broadcasts;
}

// Each of the hosts once in a while, whatever the model asks for. What is waited for, in words.
std::string Coordinator::WakeForModel(const std::string& model, const std::vector<std::string>& names) {
  const auto others = [&](const Sleepers::Host& host) {
    return std::find(names.begin(), names.end(), host.name()) == names.end();
  };
  std::vector<Sleepers::Host> due = sleepers_.Away(roster_->hosts());
  std::erase_if(due, others);
  std::erase_if(due, [](const Sleepers::Host& host) { return absl::Now() < host.woken + kWakeAgainAfter; });
  if (!due.empty()) {
    spdlog::info("model {} does not fit without hosts that are away", model);
    if (const auto sent = SendTo(due); !sent.ok()) return std::string(sent.status().message());
  }
  return absl::StrCat("woken for it: ", absl::StrJoin(names, ", "));
}

void Coordinator::Forget(const HostId& id) {
  roster_->Forget(id);
  sleepers_.Forget(id);
}

// To those whom they concern.
void Coordinator::ShowPauses() {
  const std::map<std::string, absl::Time> pauses = pauses_.Now(absl::Now());
  const auto own = pauses.find(own_id_);
  own_host_.SetPause(own == pauses.end() ? absl::InfinitePast() : own->second);
  roster_->SetPauses(pauses);
}

absl::StatusOr<std::vector<uint8_t>> Coordinator::FindBundle(const std::string& model_digest,
                                                             const Sha256Digest& sha256) const {
  for (const auto& model : Models()) {
    if (model->Info().digest != model_digest) continue;
    absl::StatusOr<std::vector<uint8_t>> bundle = model->FindBundle(sha256);
    if (bundle.ok()) return bundle;
  }
  return absl::NotFoundError(absl::StrCat("no current plan has the bundle ", Sha256Hex(sha256)));
}

std::vector<ServedFiles> Coordinator::Files() const {
  std::vector<ServedFiles> files;
  for (const auto& model : Models()) {
    if (std::optional<ServedFiles> of_model = model->Files()) files.push_back(*std::move(of_model));
  }
  return files;
}

// ---- What the cluster shows.

HostView Coordinator::ShowOwnHost(const std::vector<Roster::Host>& others) const {
  HostView view;
  view.name = options_.name;
  view.state = HostState::kAlive;
  view.coordinator = true;
  if (HasOthers(others)) view.detail = own_host_.problem();
  view.version = options_.version;
  view.clock_unix_ms = absl::ToUnixMillis(absl::Now());
  HostCapacity capacity = capacity_;
  UpdateFreeBytes(options_.state_dir, capacity);
  const ReservedBytes used = context_->memory->UseOfOthers("");  // of all: none has no name
  for (DeviceCapacity& device : capacity.devices) {
    if (const auto found = used.find({options_.name, device.name}); found != used.end()) {
      device.memory_used_bytes = found->second;
    }
  }
  ShowCapacity(capacity, view);
  return view;
}

ClusterSnapshot Coordinator::Snapshot() const {
  ClusterSnapshot snapshot;
  const std::vector<Roster::Host> hosts = roster_->hosts();
  snapshot.hosts.push_back(ShowOwnHost(hosts));
  for (const auto& model : Models()) {
    if (std::optional<PlanView> plan = model->View(hosts)) snapshot.plans.push_back(*std::move(plan));
  }
  for (const Roster::Host& host : hosts) {
    snapshot.hosts.push_back(ShowHost(host));
    if (host.state == HostState::kAlive) {
      snapshot.links.push_back({options_.name, host.name, host.link.round_trip_us, host.link.bytes_per_s});
    }
    ShowTransfers(host, snapshot.transfers);
  }
  for (const Sleepers::Host& host : sleepers_.Away(hosts)) snapshot.away.push_back(ViewOf(host));
  return snapshot;
}

}  // namespace hearth
