#include "daemon/cluster/cluster_model.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <chrono>
#include <iterator>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "daemon/cluster/cache_moves.h"
#include "daemon/planning/model_description.h"
#include "engine/attention/kv_cache.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_device.h"

namespace hearth {
namespace {

// How long the keeper waits at most where nothing is expected to happen.
constexpr absl::Duration kIdle = absl::Hours(1);
// How long a model waits for memory that others are to give back, which takes them a step.
constexpr absl::Duration kAwaitRoom = absl::Minutes(2);
// What a move must save of the time per token.
constexpr double kMoveMargin = 0.1;
// After how many single tokens the keeper looks how fast devices were.
constexpr uint32_t kTokensPerLook = 16;

// Whether it has room in the memory that is left to its model.
bool HasRoom(const ClusterPlan& plan, const placement::Cluster& now) {
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

ClusterModel::ClusterModel(std::string name, std::string path, std::shared_ptr<const GgufFile> file,
                           std::shared_ptr<const ClusterModelContext> context)
    : name_(std::move(name)), context_(std::move(context)) {
  file_.file = std::move(file);
  info_.name = name_;
  info_.path = std::move(path);
  info_.detail = "opening the file";
}

ClusterModel::~ClusterModel() = default;

void ClusterModel::Kick() {
  {
    MutexLock lock(&mutex_);
    kick_ = true;
  }
  kicked_.SignalAll();
}

// False when the time has passed without a kick.
bool ClusterModel::AwaitKick(absl::Duration at_most) {
  MutexLock lock(&mutex_);
  const auto end = CondVar::Clock::now() + absl::ToChronoNanoseconds(at_most);
  while (!kick_ && kicked_.WaitUntil(&mutex_, end)) {
  }
  return std::exchange(kick_, false);
}

void ClusterModel::Stop() {
  stop_ = true;
  SetState(ModelState::kUnloading, "being unloaded");
  Kick();
}

void ClusterModel::Run() {
  absl::Status status = OpenFile();
  if (status.ok()) {
    Keep();
  } else if (!stop_) {
    spdlog::error("model {}: {}", name_, std::string(status.message()));
    SetState(ModelState::kFailed, std::string(status.message()), status);
  }
  MutexLock lock(&mutex_);
  while (!stop_) kicked_.Wait(&mutex_);
  lock.Unlock();
  context_->roster->SetShards(name_, {});
  context_->memory->Release(name_);
}

// ---- The file.

absl::Status ClusterModel::OpenFile() {
  const NodeOptions& options = context_->options;
  HEARTH_ASSIGN_OR_RETURN(file_,
                          ReadModelFile(file_.file, options.sparsity, kUsualContext, options.arithmetic));
  HEARTH_RETURN_IF_ERROR(
      KvCacheBytes(file_.outline->spec, {.context_length = 1, .kv_type = options.kv_type}).status());
  pool_ = std::make_unique<ThreadPool>(context_->devices.front().threads);
  devices_ = std::make_unique<HostDevices>(context_->devices, pool_.get());

  MutexLock lock(&mutex_);
  info_.architecture = file_.outline->spec.architecture;
  info_.vocab_size = file_.outline->spec.n_vocab;
  info_.sparsity = std::string(SparsityModeName(file_.options.sparsity));
  info_.quantisation = file_.quantisation;
  return absl::OkStatus();
}

// Finds what the model's cache has room for on the hosts that are there now, and reserves it.
absl::Status ClusterModel::SettleCacheSize() {
  MutexLock trying(&context_->trying);
  const std::vector<Roster::Host> hosts = UsableHosts();
  const CacheWish wish{context_->options.context_length, context_->options.slots,
                       file_.outline->spec.context_length};
  const auto choose = [&](Room room) {
    return ChooseCacheSize(wish, [&](const CacheSize& tried) {
      HEARTH_RETURN_IF_ERROR(SetCacheSize(tried));
      return TryPlan(hosts, room).status();
    });
  };
  absl::StatusOr<CacheSize> size = choose(Room::kLeft);
  if (absl::IsResourceExhausted(size.status())) size = choose(Room::kMade);
  HEARTH_RETURN_IF_ERROR(size.status());
  file_.options.context_length = size->context;
  HEARTH_ASSIGN_OR_RETURN(ModelOutline outline, OutlineModel(*file_.file, file_.options));
  file_.outline = std::make_shared<const ModelOutline>(std::move(outline));
  HEARTH_RETURN_IF_ERROR(SetCacheSize(*size));
  HEARTH_RETURN_IF_ERROR(ReservePlan(hosts).status());
  spdlog::info("model {}: {}", name_, DescribeCacheSize(wish, *size));
  catalog_ = std::make_shared<BundleCatalog>(file_.file, file_.outline);
  MutexLock lock(&mutex_);
  shared_catalog_ = catalog_;
  info_.context_length = size->context;
  return absl::OkStatus();
}

absl::Status ClusterModel::SetCacheSize(const CacheSize& size) {
  cache_size_ = size;
  HEARTH_ASSIGN_OR_RETURN(description_, DescribeModel(*file_.outline, DecoderOptionsOf()));
  return absl::OkStatus();
}

DecoderOptions ClusterModel::DecoderOptionsOf() const {
  // Encoders read a text whole; those with long contexts were trained on texts of about this length.
  constexpr uint32_t kLongestText = 2048;
  const uint32_t text_rows = file_.outline->spec.causal ? 0 : std::min(cache_size_.context, kLongestText);
  return {.sequences = cache_size_.slots,
          .context_length = cache_size_.context,
          .max_rows = std::max(context_->options.max_rows, text_rows),
          .kv_type = context_->options.kv_type};
}

// Reads the whole file, for its digest; plans can be prepared then.
absl::Status ClusterModel::IdentifyFile() {
  const uint64_t file_bytes = file_.file->file_bytes();
  const auto progress = [&](uint64_t done) { SetProgress("computing the file's digest", done, file_bytes); };
  HEARTH_ASSIGN_OR_RETURN(
      digest_, DigestOfFile(*file_.file, context_->options.state_dir + "/digests", stop_, progress));
  preparer_ = MakePreparer();
  MutexLock lock(&mutex_);
  info_.digest = digest_;
  return absl::OkStatus();
}

std::unique_ptr<PlanPreparer> ClusterModel::MakePreparer() {
  PlanPreparer::Subject subject;
  subject.shard.model = name_;
  subject.shard.model_digest = digest_;
  subject.shard.options = file_.options;
  subject.shard.decoder = DecoderOptionsOf();
  subject.file = file_.file;
  subject.outline = file_.outline;
  subject.unit_bytes = GroupBytes(description_);
  subject.catalog = catalog_.get();
  subject.devices = devices_.get();
  PlanPreparer::Hooks hooks;
  hooks.want = [this](const ActivePlan& plan) { WantShards(&plan); };
  hooks.progress = [this](const std::string& detail, uint64_t done, uint64_t total) {
    SetProgress(detail, done, total);
  };
  hooks.await_change = [this] { AwaitKick(kIdle); };
  hooks.stopped = [this] { return stop_.load(); };
  hooks.spare_gpus = [this](const std::string& host) { return SpareGpus(host); };
  hooks.failed_load = [this](const Roster::Host& host, const std::string& reason) {
    NoteFailedLoad(host, reason);
  };
  return std::make_unique<PlanPreparer>(*context_->roster, std::move(subject), std::move(hooks));
}

// The leader's own weights and its decoder; once, when a first plan shows that the model fits.
absl::Status ClusterModel::LoadLeader() {
  if (decoder_) return absl::OkStatus();
  SetProgress("reading the leader's weights", 0, GroupBytes(description_));
  HEARTH_ASSIGN_OR_RETURN(model_, Model::Load(file_.file, file_.outline, *pool_));
  HEARTH_ASSIGN_OR_RETURN(decoder_, Decoder::Create(model_, DecoderOptionsOf(), *pool_));
  return absl::OkStatus();
}

// ---- Plans.

// The keeper's loop: makes a plan whenever the situation is not the one that the last was made for.
void ClusterModel::Keep() {
  bool first = true;
  while (!stop_) {
    ReleaseRetired();
    UpdateSpeeds();
    UpdateTrials();
    const Situation situation = CurrentSituation();
    if (!first && situation == planned_for_) {
      AwaitKick(UntilNextLook());
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
    if (usable) {
      context_->memory->Keep(name_, newest->plan.Use());
    } else {
      context_->memory->Release(name_);
    }
    context_->memory_changed();
  }
}

std::vector<Roster::Host> ClusterModel::UsableHosts() const {
  std::vector<Roster::Host> usable;
  const absl::Time now = absl::Now();
  for (Roster::Host& host : context_->roster->hosts()) {
    if (host.state != HostState::kAlive || !host.report.problem.empty()) continue;
    if (trials_.LeavesOut(host.name)) continue;
    MutexLock lock(&mutex_);
    if (backoff_.UsableFrom(host.name, host.session) <= now) usable.push_back(std::move(host));
  }
  return usable;
}

// How long until one of the hosts that sit out may take part again, or what is known of them is forgotten.
absl::Duration ClusterModel::UntilNextLook() const {
  const absl::Time now = absl::Now();
  absl::Duration next = speeds_.empty() ? kIdle : absl::FromChrono(DeviceSpeeds::kForgetAfter);
  next = std::min(next, trials_.NextExpiry() - now);
  for (const Roster::Host& host : context_->roster->hosts()) {
    MutexLock lock(&mutex_);
    const absl::Duration pause = backoff_.UsableFrom(host.name, host.session) - now;
    if (pause > absl::ZeroDuration()) next = std::min(next, pause);
  }
  return next;
}

ClusterModel::Situation ClusterModel::CurrentSituation() const {
  Situation situation;
  for (const Roster::Host& host : UsableHosts())
    situation.hosts.push_back({host.name, host.session, host.link});
  const std::shared_ptr<ActivePlan> newest = Newest();
  if (newest != nullptr && newest->broken) situation.broken_epoch = newest->epoch;
  situation.without_gpus = without_gpus_;
  situation.speeds = speeds_.version();
  situation.trials = trials_.version();
  situation.use_of_others = context_->memory->UseOfOthers(name_);
  return situation;
}

// Plans whose split is asked for do not follow speeds.
bool ClusterModel::IsForced() const {
  return context_->options.use_every_host || context_->options.stages > 1;
}

// The plan in use, where what it really takes matters to the next one; else null.
std::shared_ptr<ActivePlan> ClusterModel::PlanToLearnFrom() const {
  if (IsForced()) return nullptr;
  MutexLock lock(&mutex_);
  return active_ == nullptr || active_->broken ? nullptr : active_;
}

void ClusterModel::UpdateSpeeds() {
  const std::shared_ptr<ActivePlan> plan = PlanToLearnFrom();
  if (plan == nullptr) return;
  const DeviceSpeeds::Clock::time_point now = DeviceSpeeds::Clock::now();
  NoteSpeeds(*plan, context_->roster->hosts(), now, speeds_);
  std::set<std::string> used = {context_->options.name};
  for (const ActivePlan::Remote& remote : plan->remotes) used.insert(remote.host);
  speeds_.ForgetUnused(used, now);
}

// What an emulated GPU takes says nothing of the one that it stands for.
bool ClusterModel::AnySpeedIsPretended(const std::vector<Roster::Host>& hosts) const {
  const auto pretends = [](const HostCapacity& capacity) {
    return std::any_of(capacity.devices.begin(), capacity.devices.end(),
                       [](const DeviceCapacity& device) { return device.kind == "emulated-gpu"; });
  };
  return pretends(context_->own_capacity()) ||
         std::any_of(hosts.begin(), hosts.end(),
                     [&](const Roster::Host& host) { return pretends(host.capacity); });
}

// Sets what tokens really take beside what the plan in use expects.
void ClusterModel::UpdateTrials() {
  const absl::Time now = absl::Now();
  trials_.Expire(now);
  const std::vector<Roster::Host> there = context_->roster->hosts();
  for (const Roster::Host& host : there) trials_.See(host.name, host.session, host.link);
  const std::shared_ptr<ActivePlan> plan = PlanToLearnFrom();
  if (plan == nullptr || AnySpeedIsPretended(there)) return;
  const double measured_us = plan->token_times.MedianUs();
  if (measured_us == 0) return;
  HostTrials::Hosts used;
  for (const ActivePlan::Remote& remote : plan->remotes) used.insert(remote.host);
  const auto without = [this](const std::string& left_out) -> std::optional<double> {
    std::vector<Roster::Host> hosts = UsableHosts();
    std::erase_if(hosts, [&](const Roster::Host& host) { return host.name == left_out; });
    const absl::StatusOr<ClusterPlan> made = TryPlan(hosts, Room::kLeft);
    return made.ok() ? std::optional(made->plan.time.total_us) : std::nullopt;
  };
  trials_.Judge(used, measured_us, plan->expected_us, without, now);
}

bool ClusterModel::SpareGpus(const std::string& host) {
  const auto computes_on_gpu = [](const HostCapacity& capacity) {
    return std::any_of(capacity.devices.begin(), capacity.devices.end(), [](const DeviceCapacity& device) {
      return device.kind != "cpu" && device.read_bytes_per_s > 0;
    });
  };
  bool has_gpu = host == context_->options.name && computes_on_gpu(context_->own_capacity());
  for (const Roster::Host& other : context_->roster->hosts()) {
    has_gpu |= other.name == host && computes_on_gpu(other.capacity);
  }
  return has_gpu && without_gpus_.insert(host).second;
}

std::shared_ptr<ActivePlan> ClusterModel::Newest() const {
  MutexLock lock(&mutex_);
  return next_ != nullptr && (active_ == nullptr || !next_->broken) ? next_ : active_;
}

PlanWish ClusterModel::WishFor(const std::vector<Roster::Host>& hosts) const {
  std::vector<PlanningHost> planning = {{context_->options.name, context_->own_capacity(), {}}};
  for (const Roster::Host& host : hosts) planning.push_back({host.name, host.capacity, host.link});
  for (PlanningHost& host : planning) {
    for (DeviceCapacity& device : host.capacity.devices) {
      device.read_bytes_per_s =
          speeds_.BytesPerSecond({host.name, device.name}).value_or(device.read_bytes_per_s);
      if (device.kind == "cpu") continue;
      if (without_gpus_.contains(host.name)) device.read_bytes_per_s = 0;
      // A GPU's budget is for what it computes with as well.
      device.memory_budget_bytes =
          GpuDevice::WeightBudget(device.memory_budget_bytes, *file_.outline, DecoderOptionsOf());
    }
  }
  return {name_, std::move(planning), description_};
}

// What there would be.
absl::StatusOr<ClusterPlan> ClusterModel::TryPlan(const std::vector<Roster::Host>& hosts, Room room) const {
  return context_->memory->Try(WishFor(hosts), room);
}

// Other models give way where it takes that.
absl::StatusOr<ClusterPlan> ClusterModel::ReservePlan(const std::vector<Roster::Host>& hosts) {
  absl::StatusOr<ClusterPlan> plan = context_->memory->Reserve(WishFor(hosts), Room::kMade);
  if (plan.ok()) context_->memory_changed();
  std::vector<std::string> left_out = HostsLeftOut();
  if (!plan.ok()) {
    left_out.insert(left_out.begin(), std::string(plan.status().message()));
    return absl::Status(plan.status().code(), absl::StrJoin(left_out, "; "));
  }
  std::move(left_out.begin(), left_out.end(), std::back_inserter(plan->plan.explanation));
  return plan;
}

// A sentence for each host that is there but was not considered for a plan: why.
std::vector<std::string> ClusterModel::HostsLeftOut() const {
  std::vector<std::string> sentences = trials_.Reasons();
  const absl::Time now = absl::Now();
  for (const Roster::Host& host : context_->roster->hosts()) {
    if (host.state != HostState::kAlive) continue;
    std::string reason = host.report.problem;
    MutexLock lock(&mutex_);
    const absl::Duration pause = backoff_.UsableFrom(host.name, host.session) - now;
    if (reason.empty() && pause > absl::ZeroDuration()) {
      reason = absl::StrCat(backoff_.Reason(host.name), "; it is tried again in ",
                            absl::FormatDuration(absl::Ceil(pause, absl::Seconds(1))));
    }
    if (!reason.empty()) sentences.push_back(absl::StrCat("Host ", host.name, " is left out: ", reason));
  }
  return sentences;
}

absl::Status ClusterModel::Replan() {
  const std::shared_ptr<ActivePlan> newest = Newest();
  if (newest != nullptr && newest->broken) {
    SetState(ModelState::kLoading, absl::StrCat(LossOf(*newest), " and is being placed anew"));
  }
  // The header tells what fits: a model that does not is refused before its file is read.
  if (preparer_ == nullptr) {
    HEARTH_RETURN_IF_ERROR(SettleCacheSize());
    HEARTH_RETURN_IF_ERROR(IdentifyFile());
  }
  const std::vector<Roster::Host> hosts = UsableHosts();
  if (newest != nullptr && !newest->broken && newest->UsesSessions(hosts) && Stays(*newest, hosts)) {
    SetState(ModelState::kReady, "");
    return absl::OkStatus();
  }
  HEARTH_ASSIGN_OR_RETURN(ClusterPlan plan, ReservePlan(hosts));
  HEARTH_RETURN_IF_ERROR(AwaitRoom(plan));
  HEARTH_RETURN_IF_ERROR(LoadLeader());
  auto prepared = preparer_->Prepare(context_->next_epoch(), std::move(plan), hosts, newest.get());
  if (!prepared.ok()) {
    WantShards(nullptr);
    return prepared.status();
  }
  Publish(*std::move(prepared));
  return absl::OkStatus();
}

// Waits until others have let go of what `plan` counts on.
absl::Status ClusterModel::AwaitRoom(const ClusterPlan& plan) {
  const absl::Time deadline = absl::Now() + kAwaitRoom;
  for (;;) {
    const ReservedBytes reserved = context_->memory->UseOfOthers(name_),
                        held = context_->held_by_others(name_);
    const auto in_the_way = [&](const auto& use) {
      const auto still = held.find(use.first), meant = reserved.find(use.first);
      return still != held.end() && still->second > (meant == reserved.end() ? 0 : meant->second);
    };
    const ReservedBytes use = plan.Use();
    const auto full = std::find_if(use.begin(), use.end(), in_the_way);
    if (full == use.end()) return absl::OkStatus();
    if (stop_) return absl::AbortedError("stopped");
    const std::string where = absl::StrCat("host ", full->first.first, ", device ", full->first.second);
    SetProgress(absl::StrCat("waiting for memory that other models give back (", where, ")"), 0, 0);
    if (!AwaitKick(deadline - absl::Now())) {
      return absl::ResourceExhaustedError(
          absl::StrCat("other models did not give back the memory of ", where));
    }
  }
}

// Whether the plan in use stays in use, with what is expected of it by now.
bool ClusterModel::Stays(ActivePlan& in_use, const std::vector<Roster::Host>& hosts) {
  const absl::StatusOr<ClusterPlan> plan = TryPlan(hosts, Room::kMade);
  const std::optional<double> stay_us = plan.ok() ? UsIfItStays(in_use.plan, *plan) : std::nullopt;
  if (!stay_us) return false;
  in_use.expected_us = *stay_us;
  return true;
}

// The time per token that is expected of the plan in use by now where it is to stay in use; nullopt where the
// new one is worth a move, which takes time from those who wait, or memory is to be given back.
std::optional<double> ClusterModel::UsIfItStays(const ClusterPlan& in_use, const ClusterPlan& plan) const {
  if (SamePlacement(in_use, plan)) return plan.plan.time.total_us;
  if (IsForced() || !HasRoom(in_use, plan.cluster)) return std::nullopt;
  const std::optional<double> stay_us = TimeWith(in_use, plan.cluster, description_);
  const bool move = !stay_us || plan.plan.time.total_us < *stay_us * (1 - kMoveMargin);
  return move ? std::nullopt : stay_us;
}

bool ClusterModel::IsAlive(Roster::Session session) const {
  const std::optional<Roster::Host> host = context_->roster->Find(session);
  return host && host->state == HostState::kAlive;
}

// Tells the workers what to hold: the plan in use and the one that is being prepared.
void ClusterModel::WantShards(const ActivePlan* preparing) {
  std::map<std::string, std::vector<ShardDescription>> wanted;
  std::vector<std::shared_ptr<ActivePlan>> in_use;
  {
    MutexLock lock(&mutex_);
    in_use = {active_, next_};
  }
  for (const std::shared_ptr<ActivePlan>& plan : in_use) {
    if (plan == nullptr) continue;
    for (const ActivePlan::Remote& remote : plan->remotes) {
      // Of a broken plan the caches are still there, on the hosts that are.
      if (plan->broken && !IsAlive(remote.session)) continue;
      wanted[remote.host].push_back(remote.shard);
    }
  }
  if (preparing != nullptr) {
    for (const ActivePlan::Remote& remote : preparing->remotes) wanted[remote.host].push_back(remote.shard);
  }
  context_->roster->SetShards(name_, std::move(wanted));
}

void ClusterModel::Publish(std::shared_ptr<ActivePlan> plan) {
  std::shared_ptr<ActivePlan> skipped;  // destroyed without the lock
  {
    MutexLock lock(&mutex_);
    skipped = std::exchange(next_, plan);
    info_.plan_epoch = plan->epoch;
    info_.bytes_total = info_.bytes_done = GroupBytes(description_);
    // Together with the epoch, by which others find the model.
    ChangeState(ModelState::kReady, "", absl::OkStatus());
  }
  for (const ActivePlan::Remote& remote : plan->remotes) {
    context_->roster->OnLost(
        remote.session, plan,
        [weak = std::weak_ptr(plan), device = std::weak_ptr(remote.device)](const auto& reason) {
          if (const auto locked = device.lock()) locked->Close(reason);
          if (const auto locked = weak.lock()) locked->broken = true;
        });
  }
  if (skipped != nullptr) without_gpus_.clear();
  spdlog::info("model {}: plan {} is ready", name_, plan->epoch);
  context_->changed();
  ready_.SignalAll();
  WantShards(nullptr);
}

// Lets go of a plan that no step uses any more, here and on the workers.
void ClusterModel::ReleaseRetired() {
  std::vector<std::shared_ptr<ActivePlan>> retired;
  {
    MutexLock lock(&mutex_);
    retired.swap(retired_);
  }
  if (retired.empty()) return;
  retired.clear();  // their memory is free before another plan asks for it
  without_gpus_.clear();
  WantShards(nullptr);
  context_->memory_changed();
}

// ---- The scheduler's side.

bool ClusterModel::NewPlanWaits() const {
  MutexLock lock(&mutex_);
  return !stop_ && next_ != nullptr && !next_->broken;
}

absl::Status ClusterModel::PrepareStep() {
  std::shared_ptr<ActivePlan> former, plan;
  {
    MutexLock lock(&mutex_);
    if (stop_) return absl::UnavailableError(absl::StrCat("model ", name_, " is being unloaded"));
    if (next_ != nullptr && !next_->broken) {
      former = std::exchange(active_, next_);
      plan = std::exchange(next_, nullptr);
    } else if (active_ != nullptr && !active_->broken) {
      return absl::OkStatus();
    }
  }
  if (plan == nullptr) return Outage();
  TakeOverCaches(former.get(), *plan);
  decoder_->SetDevices(plan->devices());
  decoder_->SetStages(plan->stages());
  // What is cached was computed under a former plan, on a GPU perhaps.
  const bool alike_before = former == nullptr || reuse_.rows_alike;
  reuse_ = ReuseWith(*plan);
  reuse_.rows_alike &= alike_before;
  if (former != nullptr) {
    MutexLock lock(&mutex_);
    retired_.push_back(std::move(former));
  }
  Kick();
  return absl::OkStatus();
}

// GPUs round a prompt's attention differently, predictors are for generated tokens alone.
ReuseRules ClusterModel::ReuseWith(const ActivePlan& plan) const {
  const ClusterPlan& placed = plan.plan;
  const bool on_gpu = std::any_of(
      placed.plan.devices.begin(), placed.plan.devices.end(), [&](const placement::DeviceUse& use) {
        const placement::Device& device = placed.cluster.hosts[use.device.host].devices[use.device.device];
        return use.groups > 0 && device.kind == placement::DeviceKind::kGpu;
      });
  const bool predicted = file_.options.sparsity == SparsityMode::kPredicted;
  return {.rows_alike = !on_gpu && !predicted, .can_cut = !file_.outline->spec.has_recurrent_state()};
}

// What sequences have cached goes on with the plan, or they begin anew.
void ClusterModel::TakeOverCaches(const ActivePlan* former, ActivePlan& plan) {
  std::vector<uint32_t> lengths;
  for (uint32_t s = 0; s < decoder_->options().sequences; ++s) lengths.push_back(decoder_->SequenceLength(s));
  if (former == nullptr || std::count(lengths.begin(), lengths.end(), 0u) == std::ssize(lengths)) return;
  const absl::Status moved = MoveCaches(*file_.outline, *former, plan, lengths);
  if (moved.ok()) return;
  spdlog::info("model {}: sequences are computed again, since {}", name_, std::string(moved.message()));
  for (uint32_t s = 0; s < lengths.size(); ++s) HEARTH_CHECK(decoder_->Truncate(s, 0).ok());
}

// What is missing, for clients.
absl::Status ClusterModel::Outage() const {
  std::shared_ptr<ActivePlan> broken;
  std::string outlook = "it is being placed anew";
  {
    MutexLock lock(&mutex_);
    broken = active_;
    if (info_.state == ModelState::kFailed) outlook = info_.detail;
  }
  const std::string loss = broken == nullptr ? "has no plan yet" : LossOf(*broken);
  return absl::UnavailableError(absl::StrCat("model ", name_, " ", loss, ": ", outlook));
}

void ClusterModel::AwaitReady(int timeout_ms) {
  MutexLock lock(&mutex_);
  const auto end = CondVar::Clock::now() + std::chrono::milliseconds(timeout_ms);
  const auto usable = [](const auto& plan) { return plan != nullptr && !plan->broken; };
  while (!usable(next_) && !usable(active_) && ready_.WaitUntil(&mutex_, end)) {
  }
}

void ClusterModel::ReportLostDevice(const absl::Status& status) {
  std::shared_ptr<ActivePlan> plan;
  {
    MutexLock lock(&mutex_);
    plan = active_;
  }
  if (plan == nullptr) return;
  plan->broken = true;
  for (const ActivePlan::Remote& remote : plan->remotes) {
    if (!remote.device->lost()) continue;
    NoteLoss(remote.host);
    context_->roster->ReportLost(remote.session, std::string(status.message()));
  }
  Kick();
}

void ClusterModel::NoteToken(absl::Duration took) {
  {
    MutexLock lock(&mutex_);
    if (active_ != nullptr) active_->token_times.Add(absl::ToDoubleMicroseconds(took));
    if (++tokens_ < kTokensPerLook) return;
    tokens_ = 0;
  }
  Kick();
}

void ClusterModel::NoteLoss(const std::string& host) {
  const absl::Time now = absl::Now();
  MutexLock lock(&mutex_);
  backoff_.NoteLoss(host, now);
  const absl::Duration pause = backoff_.UsableFrom(host, 0) - now;
  if (pause <= absl::ZeroDuration()) return;
  spdlog::warn("model {}: host {} is left out for {}, since {}", name_, host, absl::FormatDuration(pause),
               backoff_.Reason(host));
}

void ClusterModel::NoteFailedLoad(const Roster::Host& host, const std::string& reason) {
  MutexLock lock(&mutex_);
  backoff_.NoteFailedLoad(host.name, host.session, reason, absl::Now());
}

std::string ClusterModel::LossOf(const ActivePlan& plan) const {
  std::vector<std::string> lost;
  for (const ActivePlan::Remote& remote : plan.remotes) {
    const std::optional<Roster::Host> host = context_->roster->Find(remote.session);
    if (host && host->state != HostState::kLost) continue;
    lost.push_back(absl::StrCat("host ", remote.host, host ? absl::StrCat(" (", host->detail, ")") : ""));
  }
  return lost.empty() ? "has no usable plan" : absl::StrCat("has lost ", absl::StrJoin(lost, ", "));
}

// ---- For any thread.

void ClusterModel::SetState(ModelState state, const std::string& detail, const absl::Status& error) {
  {
    MutexLock lock(&mutex_);
    if (!ChangeState(state, detail, error)) return;
  }
  context_->changed();
}

// False when there is nothing to change, or no more.
bool ClusterModel::ChangeState(ModelState state, const std::string& detail, const absl::Status& error) {
  if (info_.state == ModelState::kUnloading) return false;
  if (info_.state == state && info_.detail == detail) return false;
  info_.state = state;
  info_.detail = detail;
  info_.error = error;
  return true;
}

void ClusterModel::SetProgress(const std::string& detail, uint64_t done, uint64_t total) {
  {
    MutexLock lock(&mutex_);
    info_.detail = detail;
    info_.bytes_done = done;
    info_.bytes_total = total;
    if (info_.state == ModelState::kFailed) info_.state = ModelState::kLoading;
  }
  context_->changed();
}

ModelInfo ClusterModel::Info() const {
  MutexLock lock(&mutex_);
  ModelInfo info = info_;
  if (info.state != ModelState::kReady) return info;
  if (const absl::Status status = file_.file->CheckUnchanged(); !status.ok()) {
    info.state = ModelState::kFailed;
    info.detail = std::string(status.message());
    info.error = status;
  }
  return info;
}

bool ClusterModel::HasServed() const {
  const ModelInfo info = Info();
  // A model whose file has changed can never be planned again.
  const bool gone = info.state == ModelState::kUnloading || absl::IsDataLoss(info.error);
  return info.plan_epoch > 0 && !gone;
}

std::optional<PlanView> ClusterModel::View(const std::vector<Roster::Host>& hosts) const {
  const std::shared_ptr<ActivePlan> plan = Newest();
  if (plan == nullptr) return std::nullopt;
  return ViewOf(*plan, name_, hosts);
}

absl::StatusOr<std::vector<uint8_t>> ClusterModel::FindBundle(const Sha256Digest& sha256) const {
  std::shared_ptr<BundleCatalog> catalog;
  {
    MutexLock lock(&mutex_);
    catalog = shared_catalog_;
  }
  if (catalog == nullptr) return absl::NotFoundError(absl::StrCat("model ", name_, " has no plan yet"));
  return catalog->Find(sha256);
}

ReservedBytes ClusterModel::Held() const {
  MutexLock lock(&mutex_);
  std::vector<std::shared_ptr<ActivePlan>> loaded = retired_;
  loaded.insert(loaded.end(), {active_, next_});
  ReservedBytes held;
  for (const std::shared_ptr<ActivePlan>& plan : loaded) {
    if (plan == nullptr) continue;
    // What two of them have in common is there once.
    for (const auto& [device, bytes] : plan->plan.Use()) held[device] = std::max(held[device], bytes);
  }
  return held;
}

}  // namespace hearth
