#include "daemon/cluster/cluster_model.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/planning/model_description.h"
#include "engine/base/status_macros.h"
#include "placement/units.h"

namespace hearth {
namespace {

// The time a worker has to answer the hello of a plan that it says is ready.
constexpr std::chrono::seconds kConnectTimeout{2};
// Memory that must stay free when a plan is prepared beside the one in use.
constexpr uint64_t kMemoryMargin = uint64_t{256} << 20;

uint64_t FreeMemory() {
  HostCapacity capacity;
  UpdateFreeBytes("/", capacity);
  return capacity.memory_free_bytes;
}

// The number of a host's group in the outline.
uint32_t GroupNumber(const ModelOutline& outline, uint32_t layer, const NeuronGroup& group) {
  const std::vector<NeuronGroup>& groups = outline.neuron_groups[layer];
  const auto found = std::find_if(groups.begin(), groups.end(), [&](const NeuronGroup& other) {
    return other.block == group.block && other.neurons.front() == group.neurons.front();
  });
  return static_cast<uint32_t>(found - groups.begin());
}

}  // namespace

ClusterModel::ClusterModel(std::string name, std::string path, std::shared_ptr<const GgufFile> file,
                           std::shared_ptr<const ClusterModelContext> context)
    : name_(std::move(name)), path_(std::move(path)), context_(std::move(context)) {
  file_.file = std::move(file);
  info_.name = name_;
  info_.path = path_;
  info_.detail = "opening the file";
}

ClusterModel::~ClusterModel() = default;

void ClusterModel::Kick() {
  {
    std::lock_guard lock(mutex_);
    kick_ = true;
  }
  kicked_.notify_all();
}

void ClusterModel::Stop() {
  stop_ = true;
  SetState(ModelState::kUnloading, "being unloaded");
  Kick();
  ready_.notify_all();
}

void ClusterModel::Run() {
  absl::Status status = OpenFile();
  if (status.ok()) {
    Keep();
  } else if (!stop_) {
    spdlog::error("model {}: {}", name_, std::string(status.message()));
    SetState(ModelState::kFailed, std::string(status.message()), status);
  }
  std::unique_lock lock(mutex_);
  kicked_.wait(lock, [this] { return stop_.load(); });
  lock.unlock();
  context_->roster->SetShards(name_, {});
  SetUse({});
}

// ---- The file.

absl::Status ClusterModel::OpenFile() {
  const uint64_t file_bytes = file_.file->bytes().size();
  HEARTH_ASSIGN_OR_RETURN(
      digest_, DigestOfFile(path_, context_->options.state_dir + "/digests", stop_, [&](uint64_t done) {
        SetProgress("computing the file's digest", done, file_bytes);
      }));
  HEARTH_ASSIGN_OR_RETURN(
      file_, ReadModelFile(file_.file, context_->options.sparsity, context_->options.context_length));
  DecoderOptions decoder;
  decoder.sequences = context_->options.slots;
  decoder.context_length = file_.options.context_length;
  decoder.max_rows = context_->options.max_rows;
  decoder.kv_type = context_->options.kv_type;
  HEARTH_ASSIGN_OR_RETURN(const uint64_t kv_bytes, KvCacheBytes(file_.outline->spec, decoder));
  HEARTH_ASSIGN_OR_RETURN(description_, DescribeModel(*file_.outline, file_.options.sparsity, kv_bytes));
  catalog_ = std::make_shared<BundleCatalog>(file_.file, file_.outline);
  pool_ = std::make_unique<ThreadPool>(context_->devices.front().threads);
  devices_ = std::make_unique<HostDevices>(context_->devices, pool_.get());

  std::lock_guard lock(mutex_);
  shared_catalog_ = catalog_;
  info_.digest = digest_;
  info_.architecture = file_.outline->spec.architecture;
  info_.context_length = file_.options.context_length;
  info_.vocab_size = file_.outline->spec.n_vocab;
  info_.sparsity = std::string(SparsityModeName(file_.options.sparsity));
  info_.quantisation = file_.quantisation;
  return absl::OkStatus();
}

// The leader's own weights and its decoder; once, when a first plan shows that the model fits.
absl::Status ClusterModel::LoadLeader() {
  if (decoder_) return absl::OkStatus();
  SetProgress("reading the leader's weights", 0, GroupBytes(description_));
  HEARTH_ASSIGN_OR_RETURN(model_, Model::Load(file_.file, file_.options, *pool_));
  DecoderOptions options;
  options.sequences = context_->options.slots;
  options.context_length = file_.options.context_length;
  options.max_rows = context_->options.max_rows;
  options.kv_type = context_->options.kv_type;
  HEARTH_ASSIGN_OR_RETURN(decoder_, Decoder::Create(model_, options, *pool_));
  return absl::OkStatus();
}

// ---- Plans.

// The keeper's loop: makes a plan whenever the situation is not the one that the last was made for.
void ClusterModel::Keep() {
  bool first = true;
  while (!stop_) {
    ReleaseRetired();
    const Situation situation = CurrentSituation();
    if (!first && situation == planned_for_) {
      std::unique_lock lock(mutex_);
      kicked_.wait(lock, [this] { return kick_; });
      kick_ = false;
      continue;
    }
    first = false;
    planned_for_ = situation;
    const absl::Status status = Replan();
    if (status.ok() || stop_) continue;
    if (absl::IsAborted(status)) {
      spdlog::info("model {}: {}; planning anew", name_, std::string(status.message()));
      continue;
    }
    spdlog::error("model {}: {}", name_, std::string(status.message()));
    const std::shared_ptr<ActivePlan> newest = Newest();
    const bool usable = newest != nullptr && !newest->broken;
    SetState(usable ? ModelState::kReady : ModelState::kFailed, std::string(status.message()),
             usable ? absl::OkStatus() : status);
  }
}

std::vector<Roster::Host> ClusterModel::UsableHosts() const {
  std::vector<Roster::Host> usable;
  for (Roster::Host& host : context_->roster->hosts()) {
    if (host.state == HostState::kAlive && !refused_.contains(host.session))
      usable.push_back(std::move(host));
  }
  return usable;
}

ClusterModel::Situation ClusterModel::CurrentSituation() const {
  Situation situation;
  for (const Roster::Host& host : UsableHosts()) situation.hosts.emplace_back(host.name, host.session);
  const std::shared_ptr<ActivePlan> newest = Newest();
  if (newest != nullptr && newest->broken) situation.broken_epoch = newest->epoch;
  return situation;
}

std::shared_ptr<ActivePlan> ClusterModel::Newest() const {
  std::lock_guard lock(mutex_);
  return next_ != nullptr && (active_ == nullptr || !next_->broken) ? next_ : active_;
}

absl::Status ClusterModel::Replan() {
  const std::vector<Roster::Host> hosts = UsableHosts();
  std::vector<PlanningHost> planning = {{context_->options.name, context_->own_capacity(), {}}};
  for (const Roster::Host& host : hosts) planning.push_back({host.name, host.report.capacity, host.link});
  HEARTH_ASSIGN_OR_RETURN(ClusterPlan plan, context_->make_plan(name_, planning, description_));

  const std::shared_ptr<ActivePlan> newest = Newest();
  if (newest != nullptr && !newest->broken && SamePlacement(newest->plan, plan) &&
      newest->UsesSessions(hosts)) {
    SetState(ModelState::kReady, "");
    return absl::OkStatus();
  }
  HEARTH_RETURN_IF_ERROR(LoadLeader());
  return Activate(std::move(plan), hosts);
}

absl::Status ClusterModel::Activate(ClusterPlan cluster_plan, const std::vector<Roster::Host>& hosts) {
  auto plan = std::make_shared<ActivePlan>();
  plan->epoch = context_->next_epoch();
  plan->plan = std::move(cluster_plan);
  ShardDescription base;
  base.epoch = plan->epoch;
  base.model = name_;
  base.model_digest = digest_;
  base.sparsity = file_.options.sparsity;
  base.layers = file_.outline->spec.n_layers;
  base.max_rows = context_->options.max_rows;
  for (size_t i = 0; i < hosts.size(); ++i) {
    if (!plan->plan.Uses(i + 1)) continue;
    HEARTH_ASSIGN_OR_RETURN(ShardDescription shard, DescribeRemote(plan->plan, i + 1, base));
    plan->remotes.push_back({hosts[i].name, hosts[i].session, std::move(shard), nullptr});
  }
  plan->local =
      std::make_unique<LocalShard>(DescribeShard(PlacesOf(plan->plan, 0), *file_.outline, base), *devices_);
  spdlog::info("model {}: preparing plan {} with {} of {} other hosts", name_, plan->epoch,
               plan->remotes.size(), hosts.size());
  WantShards(plan.get());
  absl::Status status = LoadLocal(*plan);
  if (status.ok()) status = AwaitWorkers(*plan);
  if (status.ok()) status = Connect(*plan);
  if (!status.ok()) {
    WantShards(nullptr);
    return status;
  }
  Publish(std::move(plan));
  return absl::OkStatus();
}

absl::StatusOr<ShardDescription> ClusterModel::DescribeRemote(const ClusterPlan& plan, size_t host,
                                                              const ShardDescription& base) {
  const std::vector<GroupPlace> places = PlacesOf(plan, host);
  ShardDescription shard = DescribeShard(places, *file_.outline, base);
  size_t place = 0;
  for (ShardLayer& share : shard.shares) {
    for (PlacedGroup& group : share.groups) {
      HEARTH_ASSIGN_OR_RETURN(const BundleCatalog::Identity identity,
                              catalog_->Identify(places[place].layer, places[place].group));
      group.sha256 = identity.sha256;
      group.bytes = identity.bytes;
      ++place;
    }
    catalog_->ReleaseLayer(share.layer);
    if (stop_) return absl::AbortedError("stopped");
  }
  return shard;
}

// Tells the workers what to hold: the plan in use and the one that is being prepared.
void ClusterModel::WantShards(const ActivePlan* preparing) {
  std::map<std::string, std::vector<ShardDescription>> wanted;
  std::vector<std::shared_ptr<ActivePlan>> in_use;
  {
    std::lock_guard lock(mutex_);
    in_use = {active_, next_};
  }
  for (const std::shared_ptr<ActivePlan>& plan : in_use) {
    if (plan == nullptr || plan->broken) continue;
    for (const ActivePlan::Remote& remote : plan->remotes) wanted[remote.host].push_back(remote.shard);
  }
  if (preparing != nullptr) {
    for (const ActivePlan::Remote& remote : preparing->remotes) wanted[remote.host].push_back(remote.shard);
  }
  context_->roster->SetShards(name_, std::move(wanted));
}

absl::Status ClusterModel::LoadLocal(ActivePlan& plan) {
  LocalShard& shard = *plan.local;
  const std::shared_ptr<ActivePlan> former = Newest();
  if (former != nullptr) shard.Adopt(*former->local);
  HEARTH_RETURN_IF_ERROR(shard.Check());
  uint64_t missing = 0;
  for (const PlacedGroup* group : shard.missing()) missing += group->bytes;
  if (const uint64_t free = FreeMemory();
      former != nullptr && !former->broken && missing + kMemoryMargin > free) {
    return absl::ResourceExhaustedError(absl::StrCat(
        "keeps plan ", former->epoch, ": another one would need ", placement::FormatBytes(missing),
        " of memory beside it and ", placement::FormatBytes(free),
        " are free; unload the model and load it again to use the hosts that have joined"));
  }
  const uint64_t total = GroupBytes(description_);
  ThreadPool pool(std::max(1, ThreadPool::AvailableCores()));
  uint32_t last_layer = 0;
  const auto source = [&](const ShardLayer& share, const PlacedGroup& group) {
    if (share.layer != last_layer) catalog_->ReleaseLayer(last_layer);
    last_layer = share.layer;
    return catalog_->Extract(share.layer, GroupNumber(*file_.outline, share.layer, group.group));
  };
  const absl::Status loaded = shard.Load(source, pool, [&](uint64_t bytes) {
    SetProgress("reading weights", bytes, total);
    return StillPossible(plan) ? absl::OkStatus() : absl::AbortedError("a host was lost meanwhile");
  });
  catalog_->ReleaseLayer(last_layer);
  return loaded;
}

// Whether all hosts of a plan in preparation are still there.
bool ClusterModel::StillPossible(const ActivePlan& plan) const {
  if (stop_) return false;
  return std::all_of(plan.remotes.begin(), plan.remotes.end(), [&](const ActivePlan::Remote& remote) {
    const std::optional<Roster::Host> host = context_->roster->Find(remote.session);
    return host && host->state == HostState::kAlive;
  });
}

absl::Status ClusterModel::AwaitWorkers(ActivePlan& plan) {
  const uint64_t total = GroupBytes(description_);
  for (;;) {
    uint64_t done = plan.local->description().bytes();
    std::string waiting_for;
    for (const ActivePlan::Remote& remote : plan.remotes) {
      const std::optional<Roster::Host> host = context_->roster->Find(remote.session);
      if (stop_ || !host || host->state != HostState::kAlive) {
        return absl::AbortedError(absl::StrCat("host ", remote.host, " was lost while it got its shard"));
      }
      const ShardStatus* shard = host->up_to_date() ? host->Shard(plan.epoch) : nullptr;
      if (shard != nullptr && shard->phase == ShardPhase::kFailed) {
        refused_[remote.session] = shard->detail;
        return absl::AbortedError(
            absl::StrCat("host ", remote.host, " cannot load its shard: ", shard->detail));
      }
      if (shard != nullptr) done += shard->bytes_done;
      if (shard == nullptr || shard->phase != ShardPhase::kReady) waiting_for = remote.host;
    }
    if (waiting_for.empty()) return absl::OkStatus();
    SetProgress(absl::StrCat("waiting for the weights of host ", waiting_for), done, total);
    std::unique_lock lock(mutex_);
    kicked_.wait(lock, [this] { return kick_; });
    kick_ = false;
  }
}

absl::Status ClusterModel::Connect(ActivePlan& plan) {
  for (ActivePlan::Remote& remote : plan.remotes) {
    const std::optional<Roster::Host> host = context_->roster->Find(remote.session);
    if (!host) return absl::AbortedError(absl::StrCat("host ", remote.host, " was lost"));
    auto socket = OpenTensorConnection(host->tensor_address, host->token, plan.epoch,
                                       FrameSocket::Clock::now() + kConnectTimeout);
    if (!socket.ok()) {
      context_->roster->ReportLost(remote.session, std::string(socket.status().message()));
      return absl::AbortedError(std::string(socket.status().message()));
    }
    remote.device = std::make_shared<RemoteDevice>(remote.host, ShapeOf(remote.shard), *std::move(socket));
  }
  return absl::OkStatus();
}

void ClusterModel::Publish(std::shared_ptr<ActivePlan> plan) {
  std::shared_ptr<ActivePlan> skipped;  // destroyed without the lock
  {
    std::lock_guard lock(mutex_);
    skipped = std::exchange(next_, plan);
    info_.plan_epoch = plan->epoch;
    info_.bytes_total = info_.bytes_done = GroupBytes(description_);
  }
  for (const ActivePlan::Remote& remote : plan->remotes) {
    context_->roster->OnLost(remote.session, [weak = std::weak_ptr(plan),
                                              device = std::weak_ptr(remote.device)](const auto& reason) {
      if (const auto locked = device.lock()) locked->Close(reason);
      if (const auto locked = weak.lock()) locked->broken = true;
    });
  }
  spdlog::info("model {}: plan {} is ready", name_, plan->epoch);
  SetState(ModelState::kReady, "");
  ready_.notify_all();
  WantShards(nullptr);
}

// Lets go of a plan that no step uses any more, here and on the workers.
void ClusterModel::ReleaseRetired() {
  std::vector<std::shared_ptr<ActivePlan>> retired;
  {
    std::lock_guard lock(mutex_);
    retired.swap(retired_);
  }
  if (!retired.empty()) WantShards(nullptr);
}

// ---- The scheduler's side.

absl::Status ClusterModel::PrepareStep() {
  bool switched = false;
  {
    std::lock_guard lock(mutex_);
    if (stop_) return absl::UnavailableError(absl::StrCat("model ", name_, " is being unloaded"));
    if (next_ != nullptr && !next_->broken) {
      if (active_ != nullptr) retired_.push_back(std::move(active_));
      active_ = std::exchange(next_, nullptr);
      decoder_->SetDevices(active_->devices());
      switched = true;
    }
    if (active_ == nullptr || active_->broken) {
      return absl::UnavailableError(
          absl::StrCat("model ", name_, " has lost a host and is being placed anew; please try again"));
    }
  }
  if (switched) Kick();
  return absl::OkStatus();
}

void ClusterModel::AwaitReady(int timeout_ms) {
  std::unique_lock lock(mutex_);
  ready_.wait_for(lock, std::chrono::milliseconds(timeout_ms),
                  [this] { return stop_ || (next_ && !next_->broken) || (active_ && !active_->broken); });
}

void ClusterModel::ReportLostDevice(const absl::Status& status) {
  std::shared_ptr<ActivePlan> plan;
  {
    std::lock_guard lock(mutex_);
    plan = active_;
  }
  if (plan == nullptr) return;
  for (const ActivePlan::Remote& remote : plan->remotes) {
    if (!remote.device->lost()) continue;
    plan->broken = true;
    context_->roster->ReportLost(remote.session, std::string(status.message()));
  }
  Kick();
}

// ---- For any thread.

void ClusterModel::SetState(ModelState state, const std::string& detail, const absl::Status& error) {
  {
    std::lock_guard lock(mutex_);
    if (info_.state == ModelState::kUnloading) return;
    if (info_.state == state && info_.detail == detail) return;
    info_.state = state;
    info_.detail = detail;
    info_.error = error;
  }
  context_->changed();
}

void ClusterModel::SetProgress(const std::string& detail, uint64_t done, uint64_t total) {
  {
    std::lock_guard lock(mutex_);
    info_.detail = detail;
    info_.bytes_done = done;
    info_.bytes_total = total;
    if (info_.state == ModelState::kFailed) info_.state = ModelState::kLoading;
  }
  context_->changed();
}

ModelInfo ClusterModel::Info() const {
  std::lock_guard lock(mutex_);
  return info_;
}

std::optional<PlanView> ClusterModel::View(const std::vector<Roster::Host>& hosts) const {
  const std::shared_ptr<ActivePlan> plan = Newest();
  if (plan == nullptr) return std::nullopt;
  return ViewOf(*plan, name_, hosts);
}

absl::StatusOr<std::vector<uint8_t>> ClusterModel::FindBundle(const Sha256Digest& sha256) const {
  std::shared_ptr<BundleCatalog> catalog;
  {
    std::lock_guard lock(mutex_);
    catalog = shared_catalog_;
  }
  if (catalog == nullptr) return absl::NotFoundError(absl::StrCat("model ", name_, " has no plan yet"));
  return catalog->Find(sha256);
}

ReservedBytes ClusterModel::Use() const {
  std::lock_guard lock(mutex_);
  return use_;
}

void ClusterModel::SetUse(const ReservedBytes& use) {
  std::lock_guard lock(mutex_);
  use_ = use;
}

}  // namespace hearth
