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
#include "daemon/cluster/own_host.h"
#include "daemon/planning/disk_figures.h"
#include "daemon/planning/model_description.h"
#include "engine/attention/kv_cache.h"
#include "engine/base/check.h"
#include "engine/base/sha256.h"
#include "engine/base/status_macros.h"
#include "engine/device/gpu_device.h"

namespace hearth {
namespace {

// How long the keeper waits at most where nothing is expected to happen.
constexpr absl::Duration kIdle = absl::Hours(1);
// How long a model waits for memory that others are to give back, which takes them a step.
constexpr absl::Duration kAwaitRoom = absl::Minutes(2);
// After how many steps the keeper looks how fast devices were.
constexpr uint32_t kStepsPerLook = 16;
// Those who wait for a plan ask for it again and again; whether others are to be woken takes a plan to find
// out.
constexpr absl::Duration kWantsApart = absl::Seconds(5);

}  // namespace

ClusterModel::ClusterModel(const ModelSource& source, std::shared_ptr<const GgufFile> file,
                           std::shared_ptr<const GgufFile> adapter,
                           std::shared_ptr<const ClusterModelContext> context,
                           std::shared_ptr<const ClusterModel> drafts_for)
    : name_(source.name),
      objective_(source.objective.value_or(context->options.objective)),
      context_(std::move(context)),
      drafts_for_(drafts_for == nullptr ? std::nullopt
                                        : std::optional<Drafted>({drafts_for, drafts_for->cache_size_})),
      keeper_(context_->options.name, context_->options.use_every_host || context_->options.stages > 1),
      wanted_(drafts_for == nullptr) {
  file_.file = std::move(file);
  file_.options.adapter = std::move(adapter);
  info_.name = name_;
  info_.path = source.path;
  info_.adapters = source.adapters;
  info_.objective = objective_;
  info_.detail = "opening the file";
  info_.draft = source.draft;
}

ClusterModel::~ClusterModel() = default;

void ClusterModel::Kick() {
  {
    MutexLock lock(&mutex_);
    kick_ = true;
  }
  kicked_.SignalAll();
}

void ClusterModel::Want() {
  {
    const absl::Time now = absl::Now();
    MutexLock lock(&mutex_);
    if (now < want_again_) return;
    want_again_ = now + kWantsApart;
    wanted_ = true;
  }
  Kick();
}

// Whether somebody has waited for a plan since this was asked.
bool ClusterModel::TakeWish() {
  MutexLock lock(&mutex_);
  return std::exchange(wanted_, false);
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
    SetFailed(status);
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
  HEARTH_ASSIGN_OR_RETURN(file_, ReadModelFile(file_.file, WantedSparsity(), kUsualContext,
                                               options.arithmetic, file_.options.adapter));
  HEARTH_RETURN_IF_ERROR(CheckDraft());
  HEARTH_RETURN_IF_ERROR(
      KvCacheBytes(file_.outline->spec, {.context_length = 1, .kv_type = options.kv_type}).status());
  pool_ = std::make_unique<ThreadPool>(context_->devices.front().threads);
  devices_ = std::make_unique<HostDevices>(context_->devices, pool_.get());
  HEARTH_ASSIGN_OR_RETURN(disk_bytes_per_s_, MeasureDisk(*file_.file, *file_.outline, context_->devices));

  MutexLock lock(&mutex_);
  info_.architecture = file_.outline->spec.architecture;
  info_.vocab_size = file_.outline->spec.n_vocab;
  info_.sparsity = std::string(SparsityModeName(file_.options.sparsity));
  info_.sparsity_why = file_.sparsity_why;
  info_.quantisation = file_.quantisation;
  return absl::OkStatus();
}

// What is asked for is of the model that answers.
std::optional<SparsityMode> ClusterModel::WantedSparsity() const {
  return drafts_for_ ? std::nullopt : context_->options.sparsity;
}

// Whether it can guess for the other model, if it is to.
absl::Status ClusterModel::CheckDraft() const {
  if (!drafts_for_) return absl::OkStatus();
  const ModelSpec& spec = file_.outline->spec;
  if (!spec.causal || spec.has_recurrent_state()) {
    return absl::InvalidArgumentError(
        absl::StrCat(file_.file->name(), ": a model of the architecture ", spec.architecture,
                     " cannot guess for another one: its state cannot be taken back"));
  }
  const std::shared_ptr<const ClusterModel> drafted = drafts_for_->model.lock();
  if (drafted == nullptr) return absl::CancelledError("the model that it guesses for is gone");
  if (const absl::Status alike = CheckSameVocabulary(*file_.tokenizer, drafted->tokenizer()); !alike.ok())
    return absl::InvalidArgumentError(absl::StrCat(file_.file->name(), ": ", alike.message()));
  return absl::OkStatus();
}

// One that guesses has the cache of the model that it guesses for, as far as it was made for such texts.
CacheWish ClusterModel::WishForCache() const {
  const uint32_t trained = file_.outline->spec.context_length;
  if (drafts_for_) {
    const uint32_t context = drafts_for_->cache.context;
    return {trained == 0 ? context : std::min(context, trained), drafts_for_->cache.slots, trained};
  }
  return {context_->options.context_length, context_->options.slots, trained,
          objective_.kind == placement::ObjectiveKind::kThroughput ? objective_.rows : kUsualSlots};
}

// Finds what the model's cache has room for on the hosts that are there now, and reserves it. Neurons stay on
// a disk where memory does not do for the smallest cache, and then it is no larger.
absl::Status ClusterModel::SettleCacheSize() {
  MutexLock trying(&context_->trying);
  const std::vector<Roster::Host> hosts = UsableHosts();
  const CacheWish wish = WishForCache();
  const auto choose = [&](const CacheWish& wished, Room room, bool from_disk) {
    return ChooseCacheSize(wished, [&](const CacheSize& tried) -> absl::Status {
      HEARTH_RETURN_IF_ERROR(SetCacheSize(tried));
      HEARTH_ASSIGN_OR_RETURN(const ClusterPlan plan, TryPlan(hosts, room));
      if (from_disk || !placement::UsesDisk(plan.cluster, plan.plan)) return absl::OkStatus();
      return absl::ResourceExhaustedError("memory does not do without a disk");
    });
  };
  absl::StatusOr<CacheSize> size = choose(wish, Room::kLeft, false);
  if (absl::IsResourceExhausted(size.status())) size = choose(wish, Room::kMade, false);
  if (absl::IsResourceExhausted(size.status()) && disk_bytes_per_s_ > 0)
    size = choose(SmallestOf(wish), Room::kLeft, true);
  if (absl::IsResourceExhausted(size.status()) && HasDisk(context_->devices) && !file_.file->is_packed()) {
    return absl::ResourceExhaustedError(absl::StrCat(
        size.status().message(), "; packed (hearth-model pack), its neurons could stay on this host's disk"));
  }
  HEARTH_RETURN_IF_ERROR(size.status());
  file_.options.context_length = size->context;
  HEARTH_ASSIGN_OR_RETURN(ModelOutline outline, OutlineModel(*file_.file, file_.options));
  file_.outline = std::make_shared<const ModelOutline>(std::move(outline));
  HEARTH_RETURN_IF_ERROR(SetCacheSize(*size));
  HEARTH_RETURN_IF_ERROR(ReservePlan(nullptr, hosts).status());
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

// As much of what was asked for as there can be in a step.
placement::Objective ClusterModel::PlannedObjective() const {
  const DecoderOptions options = DecoderOptionsOf();
  return placement::AtMost(objective_, options.sequences, std::min(options.max_rows, options.context_length));
}

// Reads the whole file, for its digest; plans can be prepared then.
absl::Status ClusterModel::IdentifyFile() {
  const uint64_t file_bytes = file_.file->file_bytes();
  const auto progress = [&](uint64_t done) { SetProgress("computing the file's digest", done, file_bytes); };
  HEARTH_ASSIGN_OR_RETURN(digest_,
                          DigestOfFile(*file_.file, context_->options.digests_dir(), stop_, progress));
  identity_ = digest_;
  if (const GgufFile* adapter = file_.options.adapter.get(); adapter != nullptr) {
    HEARTH_ASSIGN_OR_RETURN(const auto of_adapter, adapter->metadata().GetString(kAdapterDigestKey));
    identity_ = absl::StrCat("sha256:", Sha256Hex(Sha256Of(absl::StrCat(digest_, *of_adapter))));
  }
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
  subject.free_memory = context_->options.free_memory;
  PlanPreparer::Hooks hooks;
  hooks.want = [this](std::shared_ptr<ActivePlan> plan) { SetPreparing(std::move(plan)); };
  hooks.progress = [this](const std::string& detail, uint64_t done, uint64_t total) {
    SetProgress(detail, done, total);
  };
  hooks.await_change = [this] {
    AwaitKick(kIdle);
    ReleaseRetired();  // others may wait for it
  };
  hooks.stopped = [this] { return stop_.load(); };
  hooks.spare_gpus = [this](const std::string& host) { return SpareGpus(host); };
  hooks.give_up_broken = [this] { GiveUpBroken(); };
  hooks.no_room_beside = [this] { no_room_beside_ = true; };
  hooks.leader_is_full = [this](const std::string& reason) { keeper_.NoteNoMemory(reason, absl::Now()); };
  hooks.failed_load = [this](const Roster::Host& host, const std::string& reason) {
    const std::shared_ptr<ActivePlan> newest = Newest();
    if (newest != nullptr && newest->broken) return GiveUpBroken();  // its memory may be what is missing
    keeper_.NoteFailedLoad(host, reason, absl::Now());
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
  while (!stop_) {
    ReleaseRetired();
    TakeNotes();
    const PlanKeeper::Hosts hosts = context_->roster->hosts();
    LearnFromPlan(hosts);
    keeper_.NoteOwner(context_->own_problem());
    if (!no_memory_.ok() && TakeWish()) SetFailed(WakeMissing());
    if (!keeper_.PlanIsDue(hosts, Newest().get(), TakenByOthers(), absl::Now())) {
      AwaitKick(keeper_.UntilNextLook(hosts, absl::Now()));
      continue;
    }
    const absl::Status status = Replan();
    SetPreparing(nullptr);
    const bool lacks_memory = absl::IsResourceExhausted(status) && !IsUsable(Newest());
    no_memory_ = lacks_memory ? status : absl::OkStatus();
    if (status.ok()) TakeWish();
    if (status.ok() || stop_) continue;
    StayAfter(lacks_memory && TakeWish() ? WakeMissing() : status);
  }
}

// Makes of a plan that could not be had that the model stays as it is: with the plan in use if that can be
// used.
void ClusterModel::StayAfter(const absl::Status& status) {
  const std::shared_ptr<ActivePlan> newest = Newest();
  const bool usable = IsUsable(newest);
  if (usable) context_->memory->Keep(name_, newest->plan.Use());
  if (absl::IsAborted(status)) {
    spdlog::info("model {}: {}; planning anew", name_, std::string(status.message()));
    return;
  }
  spdlog::error("model {}: {}", name_, std::string(status.message()));
  {
    MutexLock lock(&mutex_);
    given_up_.clear();  // nothing is on its way
  }
  if (usable) {
    SetState(ModelState::kReady, std::string(status.message()));
  } else {
    SetFailed(status);
  }
  if (!usable) context_->memory->Release(name_);
  // A broken plan holds what others may wait for.
  if (!usable && newest != nullptr && !context_->memory->UseOfOthers(name_).empty()) GiveUpBroken();
  context_->memory_changed();
}

// Where there would be a plan with hosts that are away, wakes these, and says so behind what is wrong. Only
// for who waits for the model: otherwise they may sleep.
absl::Status ClusterModel::WakeMissing() {
  std::vector<Roster::Host> hosts = UsableHosts();
  const size_t here = hosts.size();
  for (const Sleepers::Host& away : context_->away()) {
    Roster::Host& host = hosts.emplace_back();
    host.name = away.name();
    host.capacity = away.known.report.capacity;
    host.link = away.known.link;
  }
  if (hosts.size() == here) return no_memory_;
  const absl::StatusOr<ClusterPlan> plan = TryPlan(hosts, Room::kMade);
  if (!plan.ok()) return no_memory_;
  std::vector<std::string> names;
  for (size_t i = here; i < hosts.size(); ++i) {
    if (plan->Uses(i + 1)) names.push_back(hosts[i].name);  // the leader is the first
  }
  if (names.empty()) return no_memory_;
  return absl::Status(no_memory_.code(),
                      absl::StrCat(no_memory_.message(), "; ", context_->wake(name_, names)));
}

ReservedBytes ClusterModel::HeldByOthers() const {
  ReservedBytes held;
  for (const auto& [model, bytes] : context_->held()) {
    if (model != name_) AddBytes(bytes, held);
  }
  return held;
}

// Of each device: what they have reserved or still hold, whichever is more.
ReservedBytes ClusterModel::TakenByOthers() const {
  ReservedBytes taken = context_->memory->UseOfOthers(name_);
  for (const auto& [device, bytes] : HeldByOthers()) taken[device] = std::max(taken[device], bytes);
  return taken;
}

// What the scheduler's thread has left for the keeper.
void ClusterModel::TakeNotes() {
  std::vector<std::string> lost;
  bool own_gpu_failed = false;
  {
    MutexLock lock(&mutex_);
    lost.swap(lost_hosts_);
    own_gpu_failed = std::exchange(own_gpu_failed_, false);
  }
  if (own_gpu_failed && SpareGpus(context_->options.name))
    spdlog::warn("model {}: a card of this machine failed in a step; plans leave its cards out", name_);
  for (const std::string& host : lost) {
    const absl::Duration pause = keeper_.NoteLoss(host, absl::Now());
    if (pause <= absl::ZeroDuration()) continue;
    spdlog::warn("model {}: host {} is left out for {}, since it was lost again and again", name_, host,
                 absl::FormatDuration(pause));
  }
}

// Sets what tokens really take, and devices have counted, beside what the plan in use expects.
void ClusterModel::LearnFromPlan(const PlanKeeper::Hosts& hosts) {
  const absl::Time now = absl::Now();
  std::shared_ptr<ActivePlan> plan;
  {
    MutexLock lock(&mutex_);
    if (slots_.active() != nullptr && !slots_.active()->broken) plan = slots_.active();
  }
  if (plan != nullptr) {
    keeper_.NoteSpeeds(*plan, hosts, DeviceSpeeds::Clock::now());
    keeper_.NoteFiring(description_, FiringUnder(*plan, hosts));
    keeper_.SetFiring(description_);
  }
  const auto without = [&](const std::string& left_out) -> std::optional<ClusterPlan> {
    std::vector<Roster::Host> others = keeper_.UsableHosts(hosts, now);
    std::erase_if(others, [&](const Roster::Host& host) { return host.name == left_out; });
    absl::StatusOr<ClusterPlan> made = TryPlan(others, Room::kLeft);
    return made.ok() ? std::optional(*std::move(made)) : std::nullopt;
  };
  keeper_.Judge(plan.get(), description_, OwnCapacity(), hosts, without, now);
}

bool ClusterModel::SpareGpus(const std::string& host) {
  return keeper_.SpareGpus(host, OwnCapacity(), context_->roster->hosts());
}

std::shared_ptr<ActivePlan> ClusterModel::Newest() const {
  MutexLock lock(&mutex_);
  return slots_.Newest();
}

PlanKeeper::Hosts ClusterModel::UsableHosts() const {
  return keeper_.UsableHosts(context_->roster->hosts(), absl::Now());
}

HostCapacity ClusterModel::OwnCapacity() const {
  return WithDiskSpeed(context_->own_capacity(), description_, disk_bytes_per_s_);
}

PlanWish ClusterModel::WishFor(const std::vector<Roster::Host>& hosts) const {
  // A GPU's budget is for what it computes with as well.
  const auto gpu_budget = [this](uint64_t bytes) {
    return GpuDevice::WeightBudget(bytes, *file_.outline, DecoderOptionsOf());
  };
  PlanWish wish{name_, keeper_.Participants(OwnCapacity(), hosts, gpu_budget), description_, HeldByOthers(),
                PlannedObjective()};
  bool& only_leads = wish.hosts.front().only_leads;
  only_leads = only_leads && context_->memory->Try(wish, Room::kMade).ok();
  return wish;
}

// What there would be.
absl::StatusOr<ClusterPlan> ClusterModel::TryPlan(const std::vector<Roster::Host>& hosts, Room room) const {
  return context_->memory->Try(WishFor(hosts), room);
}

// Those of the planner, and what it did not know of.
std::vector<std::string> ClusterModel::ReasonsFor(const ClusterPlan& plan) const {
  std::vector<std::string> reasons = plan.plan.explanation;
  const std::vector<std::string> left_out = keeper_.HostsLeftOut(context_->roster->hosts(), absl::Now());
  reasons.insert(reasons.end(), left_out.begin(), left_out.end());
  if (keeper_.PlansByFiring()) {
    reasons.push_back("Neurons are placed by how often they fire now, which is not what the profile says.");
  }
  return reasons;
}

// Other models give way where it takes that. nullopt: the plan in use (null: there is none that can stay)
// stays in use, with what is expected of it by now.
absl::StatusOr<std::optional<ClusterPlan>> ClusterModel::ReservePlan(ActivePlan* in_use,
                                                                     const std::vector<Roster::Host>& hosts) {
  const auto stays = [&](const ClusterPlan& instead) {
    const std::optional<double> us = keeper_.UsIfItStays(in_use->plan, instead, description_);
    if (!us) return false;
    in_use->expected_us = *us;
    if (SamePlacement(in_use->plan, instead)) in_use->newer_reasons.Set(ReasonsFor(instead));
    return true;
  };
  MemoryBook& memory = *context_->memory;
  absl::StatusOr<std::optional<ClusterPlan>> plan =
      in_use == nullptr ? memory.Reserve(WishFor(hosts), Room::kMade)
                        : memory.ReserveUnlessItStays(WishFor(hosts), in_use->plan.Use(), stays);
  if (!plan.ok()) {
    std::vector<std::string> left_out = keeper_.HostsLeftOut(context_->roster->hosts(), absl::Now());
    left_out.insert(left_out.begin(), std::string(plan.status().message()));
    return absl::Status(plan.status().code(), absl::StrJoin(left_out, "; "));
  }
  if (*plan) {
    context_->memory_changed();
    (*plan)->plan.explanation = ReasonsFor(**plan);
  }
  return plan;
}

absl::Status ClusterModel::Replan() {
  const std::shared_ptr<ActivePlan> newest = Newest();
  const bool usable = IsUsable(newest);
  if (newest != nullptr && !usable) {
    SetState(ModelState::kLoading, absl::StrCat(LossOf(*newest), " and is being placed anew"));
  }
  // The header tells what fits: a model that does not is refused before its file is read.
  if (preparer_ == nullptr) {
    HEARTH_RETURN_IF_ERROR(SettleCacheSize());
    HEARTH_RETURN_IF_ERROR(IdentifyFile());
  }
  const std::vector<Roster::Host> hosts = UsableHosts();
  const bool may_stay = usable && newest->UsesSessions(hosts);
  HEARTH_ASSIGN_OR_RETURN(std::optional<ClusterPlan> plan,
                          ReservePlan(may_stay ? newest.get() : nullptr, hosts));
  if (!plan) {
    SetState(ModelState::kReady, "");
    return absl::OkStatus();
  }
  HEARTH_RETURN_IF_ERROR(AwaitRoom(*plan));
  HEARTH_RETURN_IF_ERROR(LoadLeader());
  return ChangeTo(*std::move(plan), hosts);
}

// Waits until others have let go of what `plan` counts on. Of models that wait for one another one gives up
// its plan first.
absl::Status ClusterModel::AwaitRoom(const ClusterPlan& plan) {
  const absl::Time deadline = absl::Now() + kAwaitRoom;
  for (;;) {
    const MemoryBook::Standing standing = context_->memory->Look(name_, plan.Use(), context_->held());
    if (standing.is_news) context_->memory_changed();
    if (stop_) return absl::AbortedError("stopped");
    if (standing.is_lost) {
      keeper_.NoteLostMemory(absl::Now());
      return absl::AbortedError("another model has the memory that this one was to have");
    }
    if (!standing.full) return absl::OkStatus();
    const std::string where = absl::StrCat("host ", standing.full->first, ", device ", standing.full->second);
    const std::shared_ptr<ActivePlan> newest = Newest();
    if (newest != nullptr && newest->broken) {
      GiveUpBroken();  // others may wait for what it holds
    } else if (newest != nullptr && standing.gives_up) {
      HEARTH_RETURN_IF_ERROR(GiveUpFirst(absl::StrCat("others wait for the memory of plan ", newest->epoch,
                                                      " and it for theirs (", where, ")")));
      ReleaseRetired();
      continue;
    }
    SetProgress(absl::StrCat("waiting for memory that other models give back (", where, ")"), 0, 0);
    const bool kicked = AwaitKick(deadline - absl::Now());
    ReleaseRetired();  // for which the others may wait
    if (!kicked) {
      return absl::ResourceExhaustedError(
          absl::StrCat("other models did not give back the memory of ", where));
    }
  }
}

// Beside the plan in use while that has room, else in two steps: that one is given up first.
absl::Status ClusterModel::ChangeTo(ClusterPlan plan, const std::vector<Roster::Host>& hosts) {
  std::shared_ptr<ActivePlan> former = Newest();
  no_room_beside_ = false;
  absl::StatusOr<std::shared_ptr<ActivePlan>> prepared =
      preparer_->Prepare(context_->next_epoch(), plan, hosts, former, PlanPreparer::Former::kInUse);
  if (!prepared.ok() && no_room_beside_) {
    const bool stays =
        former->UsesSessions(hosts) && !keeper_.IsWorthAnOutage(former->plan, plan, description_);
    if (stays) {
      keeper_.NoteNoMemory(std::string(prepared.status().message()), absl::Now());
      return prepared.status();
    }
    SetPreparing(nullptr);
    HEARTH_RETURN_IF_ERROR(
        GiveUpFirst(absl::StrCat("there is no room for another plan beside plan ", former->epoch)));
    LetGoOfRetired();  // the workers hear of that together with what they are to hold instead
    plan.plan.explanation.push_back(
        absl::StrCat("It came in two steps, since there was no room for it beside plan ", former->epoch,
                     ", which was given up first."));
    prepared = preparer_->Prepare(context_->next_epoch(), plan, hosts, std::move(former),
                                  PlanPreparer::Former::kGivenUp);
  }
  HEARTH_RETURN_IF_ERROR(prepared.status());
  Publish(*std::move(prepared));
  return absl::OkStatus();
}

// Takes the plan in use from the scheduler, and waits until no step uses it. Streams wait for the next one.
absl::Status ClusterModel::GiveUpFirst(const std::string& why) {
  spdlog::info("model {}: gives up its plan before it loads another one, since {}", name_, why);
  {
    MutexLock lock(&mutex_);
    given_up_ = why;
  }
  SetState(ModelState::kLoading, absl::StrCat("in two steps, since ", why, "; streams wait and go on then"));
  GiveUp();
  for (;;) {
    {
      MutexLock lock(&mutex_);
      if (!slots_.InUse()) return absl::OkStatus();
    }
    if (stop_) return absl::AbortedError("stopped");
    AwaitKick(kIdle);
  }
}

bool ClusterModel::IsAlive(Roster::Session session) const {
  return context_->roster->StateOf(session) == HostState::kAlive;
}

void ClusterModel::GiveUpBroken() {
  spdlog::info("model {}: lets go of a plan that is broken, to have room for another one", name_);
  GiveUp();
}

void ClusterModel::GiveUp() {
  {
    MutexLock lock(&mutex_);
    slots_.GiveUp();
  }
  context_->changed();  // so that its scheduler looks
}

// The plan that is being prepared, whose shards are wanted; null: there is none any more.
void ClusterModel::SetPreparing(std::shared_ptr<ActivePlan> plan) {
  {
    MutexLock lock(&mutex_);
    slots_.Prepare(std::move(plan));
  }
  WantShards();
}

// Tells the workers what to hold.
void ClusterModel::WantShards() {
  PlanSlots slots;
  {
    MutexLock lock(&mutex_);
    slots = slots_;
  }
  context_->roster->SetShards(name_,
                              slots.Wanted([this](Roster::Session session) { return IsAlive(session); }));
}

void ClusterModel::Publish(std::shared_ptr<ActivePlan> plan) {
  std::shared_ptr<ActivePlan> skipped;  // destroyed without the lock
  {
    MutexLock lock(&mutex_);
    slots_.Prepare(nullptr);
    skipped = slots_.Offer(plan);
    given_up_.clear();
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
  if (skipped != nullptr) keeper_.NoteRelease();
  spdlog::info("model {}: plan {} is ready", name_, plan->epoch);
  context_->changed();
  ready_.SignalAll();
}

// Lets go of a plan that no step uses any more, here and on the workers.
void ClusterModel::ReleaseRetired() {
  if (!LetGoOfRetired()) return;
  WantShards();
  context_->memory_changed();
}

// Here. False: there is none.
bool ClusterModel::LetGoOfRetired() {
  std::vector<std::shared_ptr<ActivePlan>> retired;
  {
    MutexLock lock(&mutex_);
    retired = slots_.TakeRetired();
  }
  if (retired.empty()) return false;
  retired.clear();  // their memory is free before another plan asks for it
  keeper_.NoteRelease();
  return true;
}

// ---- The scheduler's side.

bool ClusterModel::NewPlanWaits() const {
  MutexLock lock(&mutex_);
  return !stop_ && slots_.NewPlanWaits();
}

bool ClusterModel::PlanIsOnItsWay() const {
  MutexLock lock(&mutex_);
  return !stop_ && !given_up_.empty();
}

absl::Status ClusterModel::PrepareStep() {
  PlanSlots::Step step;
  {
    MutexLock lock(&mutex_);
    if (stop_) return absl::UnavailableError(absl::StrCat("model ", name_, " is being unloaded"));
    step = slots_.TakeOver();
  }
  if (step.plan == nullptr && step.former == nullptr) return step.usable ? absl::OkStatus() : Outage();
  TakeOverCaches(step.former.get(), step.plan.get());
  decoder_->SetDevices(step.plan == nullptr ? std::vector<Device*>() : step.plan->devices());
  if (step.plan == nullptr) {
    Retire();
    return Outage();
  }
  decoder_->SetStages(step.plan->stages());
  // What is cached was computed under a former plan, on a GPU perhaps.
  const bool alike_before = step.former == nullptr || reuse_.rows_alike;
  reuse_ = ReuseWith(*step.plan);
  reuse_.rows_alike &= alike_before;
  Retire();
  return absl::OkStatus();
}

// Leaves the former plan, if there is one, to the keeper, who lets go of it.
void ClusterModel::Retire() {
  {
    MutexLock lock(&mutex_);
    slots_.Retire();
  }
  Kick();
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
  return {.rows_alike = !on_gpu && !predicted,
          .can_cut = !file_.outline->spec.has_recurrent_state(),
          .rows_independent = !on_gpu};
}

// What sequences have cached goes on with the plan, or they begin anew; so they do without one (null).
void ClusterModel::TakeOverCaches(const ActivePlan* former, const ActivePlan* plan) {
  std::vector<uint32_t> lengths;
  for (uint32_t s = 0; s < decoder_->options().sequences; ++s) lengths.push_back(decoder_->SequenceLength(s));
  if (std::count(lengths.begin(), lengths.end(), 0u) == std::ssize(lengths)) return;
  const bool both = former != nullptr && plan != nullptr;
  const absl::Status moved = both ? MoveCaches(*file_.outline, *former, *plan, lengths)
                                  : absl::FailedPreconditionError("the plan that had them was let go");
  if (moved.ok()) return;
  spdlog::info("model {}: sequences are computed again, since {}", name_, std::string(moved.message()));
  for (uint32_t s = 0; s < lengths.size(); ++s) HEARTH_CHECK(decoder_->Truncate(s, 0).ok());
}

// What is missing, for clients.
absl::Status ClusterModel::Outage() {
  Want();
  std::shared_ptr<ActivePlan> broken;
  std::string outlook = "it is being placed anew";
  {
    MutexLock lock(&mutex_);
    broken = slots_.active();
    if (info_.state == ModelState::kFailed) outlook = info_.detail;
  }
  const std::string loss = broken == nullptr ? "has no plan yet" : LossOf(*broken);
  return absl::UnavailableError(absl::StrCat("model ", name_, " ", loss, ": ", outlook));
}

void ClusterModel::AwaitReady(int timeout_ms) {
  MutexLock lock(&mutex_);
  const auto end = CondVar::Clock::now() + std::chrono::milliseconds(timeout_ms);
  while (!slots_.Usable() && ready_.WaitUntil(&mutex_, end)) {
  }
}

void ClusterModel::ReportLostDevice(const absl::Status& status) {
  std::shared_ptr<ActivePlan> plan;
  {
    MutexLock lock(&mutex_);
    plan = slots_.active();
  }
  if (plan == nullptr) return;
  plan->broken = true;
  for (const ActivePlan::Remote& remote : plan->remotes) {
    if (!remote.device->lost()) continue;
    {
      MutexLock lock(&mutex_);
      lost_hosts_.push_back(remote.host);
    }
    context_->roster->ReportLost(remote.session, std::string(status.message()));
  }
  const std::vector<LocalDevice*>& own = plan->local->locals();
  if (std::any_of(own.begin(), own.end(),
                  [](const LocalDevice* device) { return !device->failure().ok(); })) {
    MutexLock lock(&mutex_);
    own_gpu_failed_ = true;
  }
  Kick();
}

void ClusterModel::NoteStep(uint32_t rows, absl::Duration took) {
  CountStep([&](ActivePlan& plan) { plan.step_times.Add(rows, absl::ToDoubleMicroseconds(took)); });
}

void ClusterModel::NotePromptStep(uint32_t rows, absl::Duration took) {
  CountStep([&](ActivePlan& plan) {
    plan.step_times.AddPrompt(plan.plan.plan.objective, rows, absl::ToDoubleMicroseconds(took));
  });
}

void ClusterModel::CountStep(const std::function<void(ActivePlan&)>& add) {
  {
    MutexLock lock(&mutex_);
    if (slots_.active() != nullptr) add(*slots_.active());
    if (++steps_ < kStepsPerLook) return;
    steps_ = 0;
  }
  Kick();
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

void ClusterModel::SetFailed(const absl::Status& status) {
  SetState(ModelState::kFailed, std::string(status.message()), status);
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
    info_.detail = given_up_.empty() ? detail : absl::StrCat("in two steps, since ", given_up_, ": ", detail);
    info_.bytes_done = done;
    info_.bytes_total = total;
    if (info_.state == ModelState::kFailed) info_.state = ModelState::kLoading;
  }
  context_->changed();
}

void ClusterModel::SetDraft(std::shared_ptr<ClusterModel> draft) {
  MutexLock lock(&mutex_);
  draft_ = std::move(draft);
}

std::shared_ptr<ServedModel> ClusterModel::draft() const {
  MutexLock lock(&mutex_);
  const std::shared_ptr<ClusterModel> draft = draft_;
  lock.Unlock();
  return draft != nullptr && draft->HasServed() ? draft : nullptr;
}

ModelInfo ClusterModel::Info() const {
  MutexLock lock(&mutex_);
  ModelInfo info = info_;
  const std::shared_ptr<const ClusterModel> draft = draft_;
  lock.Unlock();
  if (draft != nullptr) {
    ModelInfo of_draft = draft->Info();
    info.draft_state = of_draft.state;
    info.draft_detail = std::move(of_draft.detail);
  }
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
  PlanView view = ViewOf(*plan, name_, hosts);
  const bool has_others = std::any_of(hosts.begin(), hosts.end(), [](const Roster::Host& host) {
    return host.state == HostState::kAlive && host.problem().empty();
  });
  const std::string owners =
      has_others ? OwnersSentence(context_->options.name, context_->own_problem(), plan->plan) : "";
  if (!owners.empty()) absl::StrAppend(&view.explanation, "\n", owners);
  return view;
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

std::optional<ServedFiles> ClusterModel::Files() const {
  if (!HasServed()) return std::nullopt;
  return FilesOf(Info().path, digest_, file_.file, file_.options.profile);
}

ReservedBytes ClusterModel::Held() const {
  PlanSlots slots;
  {
    MutexLock lock(&mutex_);
    slots = slots_;
  }
  return slots.Held([this](Roster::Session session) { return IsAlive(session); });
}

}  // namespace hearth
