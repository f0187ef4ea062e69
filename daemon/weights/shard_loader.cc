#include "daemon/weights/shard_loader.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/freed_memory.h"
#include "engine/base/status_macros.h"
#include "engine/device/weight_source.h"
#include "engine/file/gguf_skeleton.h"

namespace hearth {
namespace {

constexpr std::chrono::seconds kLookAgain{1};
constexpr size_t kBundlesPerFetch = 1024;
constexpr uint64_t kStatusesPerFiring = 16;

// `with_firing`: also what it has seen of its neurons, which is much.
DeviceWork WorkDoneBy(const LocalDevice& device, bool with_firing) {
  DeviceCounters counters = device.counters();
  return {device.name(),
          std::move(counters.neurons_computed),
          std::move(counters.neurons_held),
          counters.bytes_touched,
          counters.single_row_bytes,
          counters.single_row_ns,
          with_firing ? device.firing() : std::vector<LayerFiring>()};
}

}  // namespace

ShardLoader::ShardLoader(HostDevices& devices, ShardPublisher& publisher, BundleSource& source,
                         std::unique_ptr<BundleStore> store, std::function<void()> changed,
                         std::function<uint64_t()> free_memory)
    : devices_(devices),
      publisher_(publisher),
      source_(source),
      store_(std::move(store)),
      changed_(std::move(changed)),
      free_memory_(std::move(free_memory)),
      pool_(0),
      thread_([this] { Run(); }) {}

ShardLoader::~ShardLoader() { Stop(); }

void ShardLoader::Stop() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
  }
  wake_.SignalAll();
  source_.Shutdown();
  if (thread_.joinable()) thread_.join();
}

void ShardLoader::SetDesired(const SessionToken& token, std::vector<ShardDescription> shards) {
  {
    MutexLock lock(&mutex_);
    wanted_token_ = token;
    wanted_shards_ = std::move(shards);
    ++wanted_;
  }
  wake_.SignalAll();
}

std::vector<ShardStatus> ShardLoader::Statuses() const {
  MutexLock lock(&mutex_);
  std::vector<ShardStatus> statuses;
  if (taken_ != wanted_) return statuses;  // epochs may mean something else by now
  const bool with_firing = ++asked_ % kStatusesPerFiring == 0;
  for (const auto& [epoch, job] : jobs_.all()) {
    ShardStatus status = job.status;
    if (job.held.share != nullptr) {
      for (const LocalDevice* device : job.held.share->locals())
        status.devices.push_back(WorkDoneBy(*device, with_firing && job.ready));
    }
    statuses.push_back(std::move(status));
  }
  return statuses;
}

BundleStoreCounters ShardLoader::counters() const {
  MutexLock lock(&mutex_);
  return counters_;
}

uint64_t ShardLoader::UsedBytes(const std::string& name) const {
  MutexLock lock(&mutex_);
  std::map<const void*, uint64_t> pieces;  // shares of two plans have some together
  for (const auto& [epoch, job] : jobs_.all()) {
    if (!job.ready) continue;
    for (const LocalDevice* device : job.held.share->locals()) {
      if (device->name() == name) device->AddPieces(pieces);
    }
  }
  uint64_t bytes = 0;
  for (const auto& [piece, of_piece] : pieces) bytes += of_piece;
  return bytes;
}

void ShardLoader::Run() {
  MutexLock lock(&mutex_);
  while (!stopped_) {
    if (taken_ != wanted_) {
      lock.Unlock();
      TakeDesired();
      lock.Lock();
      continue;
    }
    Job* job = jobs_.Next();
    const Clock::time_point now = Clock::now();
    if (!problem_.empty() && look_again_ <= now) {
      lock.Unlock();
      LookAgain();
      lock.Lock();
    } else if (job == nullptr || job->not_before > now) {
      const Clock::time_point next = job == nullptr ? Clock::time_point::max() : job->not_before;
      if (problem_.empty() && job == nullptr) {
        wake_.Wait(&mutex_);
      } else {
        wake_.WaitUntil(&mutex_, problem_.empty() ? next : std::min(next, look_again_));
      }
    } else {
      lock.Unlock();
      Work(*job);
      lock.Lock();
    }
  }
}

// Makes the jobs those of the newest desired state. Shards that it does not name go, after others have taken
// over from them what they want too; so do all shards of another session, whose epochs mean something else.
void ShardLoader::TakeDesired() {
  Jobs former, jobs;
  uint64_t taking = 0;
  std::vector<Sha256Digest> wanted_bundles;
  {
    MutexLock lock(&mutex_);
    taking = wanted_;
    former = jobs_;
    jobs = former.Follow(wanted_token_, wanted_shards_);
  }
  for (auto& [epoch, job] : jobs.all()) {
    wanted_bundles.push_back(job.description.skeleton.sha256);
    for (const PlacedUnit& placed : job.description.units) wanted_bundles.push_back(placed.bundle.sha256);
    if (job.held.share != nullptr) continue;
    // Where the model is known already, so that what the former shares hold of it is not let go.
    if (std::shared_ptr<const ModelOutline> outline = KnownOutlineOf(job.description)) {
      job.held.share = MakeShare(job.description, std::move(outline), former).value_or(nullptr);
    }
  }
  store_->Protect(wanted_bundles);
  for (const uint64_t epoch : former.EndedIn(jobs)) publisher_.Withdraw(epoch);
  {
    MutexLock lock(&mutex_);
    std::swap(jobs_, jobs);
    taken_ = taking;
  }
  changed_();
}

void ShardLoader::Work(Job& job) {
  const absl::Status status = Prepare(job);
  CopyCounters();
  if (status.ok()) {
    publisher_.Publish(job.status.epoch, job.held.share, job.held.stage);
    spdlog::info("plan {} of model {}: {} bytes of weights are ready", job.status.epoch, job.status.model,
                 job.status.bytes_total);
    {
      MutexLock lock(&mutex_);
      job.ready = true;
      problem_.clear();
    }
    SetPhase(job, ShardPhase::kReady, "");
    return;
  }
  if (absl::IsAborted(status)) return;  // the desired state has changed
  const std::string reason(status.message());
  const ShardFailure failure = JudgeShardFailure(status);
  if (failure.disk_is_full) {
    bytes_wanted_ = job.status.bytes_total - std::min(job.status.bytes_total, job.status.bytes_done);
    look_again_ = Clock::now() + kLookAgain;
    SetProblem(reason);
  }
  job.not_before = Clock::now() + failure.again_after;
  spdlog::warn("plan {} of model {}: {}", job.status.epoch, job.status.model, reason);
  SetPhase(job, failure.phase, reason);
}

absl::Status ShardLoader::Prepare(Job& job) {
  if (job.held.share == nullptr) {
    HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<const ModelOutline> outline, OutlineOf(job));
    Jobs others;
    {
      MutexLock lock(&mutex_);
      others = jobs_;
    }
    HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<HostShare> share,
                            MakeShare(job.description, std::move(outline), others));
    MutexLock lock(&mutex_);
    job.held.share = std::move(share);
  }
  HEARTH_RETURN_IF_ERROR(job.held.share->Check());
  HEARTH_ASSIGN_OR_RETURN(const uint64_t missing, job.held.share->MissingBytes());
  const uint64_t free = free_memory_();
  {
    MutexLock lock(&mutex_);
    job.status.short_bytes = ShortBytes(missing, free);
  }
  HEARTH_RETURN_IF_ERROR(CheckRoom(missing, free));
  std::map<UnitId, BundleId> bundles;
  for (const PlacedUnit& placed : job.description.units) bundles[placed.unit] = placed.bundle;
  std::vector<BundleId> to_fetch;
  absl::flat_hash_set<Sha256Digest> seen;  // units may have equal weights
  uint64_t bytes_at_hand = job.description.bytes();
  for (const UnitId& unit : job.held.share->missing()) {
    const BundleId& bundle = bundles.at(unit);
    if (store_->Has(bundle.sha256, bundle.bytes) || !seen.insert(bundle.sha256).second) continue;
    to_fetch.push_back(bundle);
    bytes_at_hand -= bundle.bytes;
  }
  SetBytesDone(job, bytes_at_hand);
  if (!to_fetch.empty()) SetPhase(job, ShardPhase::kFetching, "");
  HEARTH_RETURN_IF_ERROR(FetchMissing(job, to_fetch));
  SetPhase(job, ShardPhase::kLoading, "");
  BundleWeights source(job.held.share->shared_outline(),
                       [&](const UnitId& unit) { return ReadBundle(job, bundles.at(unit)); });
  HEARTH_RETURN_IF_ERROR(job.held.share->Load(source, pool_, [this](uint64_t) { return StillWanted(); }));
  if (job.held.share->shares().front().led_layers.empty()) return absl::OkStatus();
  HEARTH_ASSIGN_OR_RETURN(job.held.stage, LedStage::Load(*job.held.share, source, pool_));
  return absl::OkStatus();
}

// Null where no share is made of it.
std::shared_ptr<const ModelOutline> ShardLoader::KnownOutlineOf(const ShardDescription& description) const {
  for (const KnownOutline& known : outlines_) {
    if (known.skeleton == description.skeleton && known.options == description.options) {
      return known.outline.lock();
    }
  }
  return nullptr;
}

// What the job's model is, from its skeleton, which is fetched where it is not here.
absl::StatusOr<std::shared_ptr<const ModelOutline>> ShardLoader::OutlineOf(Job& job) {
  const ShardDescription& description = job.description;
  if (std::shared_ptr<const ModelOutline> known = KnownOutlineOf(description)) return known;
  if (!store_->Has(description.skeleton.sha256, description.skeleton.bytes)) {
    SetPhase(job, ShardPhase::kFetching, "");
    HEARTH_RETURN_IF_ERROR(FetchMissing(job, {description.skeleton}));
  }
  HEARTH_ASSIGN_OR_RETURN(std::vector<uint8_t> bytes, ReadBundle(job, description.skeleton));
  struct Outlined {
    std::unique_ptr<GgufFile> skeleton;
    ModelOutline outline;  // of it
  };
  auto outlined = std::make_shared<Outlined>();
  HEARTH_ASSIGN_OR_RETURN(outlined->skeleton,
                          ParseSkeleton(std::move(bytes), absl::StrCat("model ", description.model)));
  HEARTH_ASSIGN_OR_RETURN(outlined->outline, OutlineModel(*outlined->skeleton, description.options));
  std::shared_ptr<const ModelOutline> outline(outlined, &outlined->outline);
  std::erase_if(outlines_, [](const KnownOutline& known) { return known.outline.expired(); });
  outlines_.push_back({description.skeleton, description.options, outline});
  return outline;
}

// An empty share of the devices that has taken over what the others hold of it.
absl::StatusOr<std::shared_ptr<HostShare>> ShardLoader::MakeShare(const ShardDescription& description,
                                                                  std::shared_ptr<const ModelOutline> outline,
                                                                  const Jobs& others) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<DeviceShare> shares,
                          SharesOf(description.units, *outline, devices_.specs()));
  HEARTH_RETURN_IF_ERROR(KvCacheBytes(outline->spec, description.decoder).status());
  std::shared_ptr<HostShare> share(
      new HostShare(std::move(outline), description.decoder, std::move(shares), devices_),
      DeleteAndReturnMemory<HostShare>);
  for (const auto& [epoch, other] : others.all()) {
    const bool same = other.description.model == description.model &&
                      other.description.model_digest == description.model_digest;
    if (same && other.held.share != nullptr) share->Adopt(*other.held.share);
  }
  return share;
}

// Fetches bundles, several with one call; what has arrived of a bundle is kept when the call breaks.
absl::Status ShardLoader::FetchMissing(Job& job, const std::vector<BundleId>& bundles) {
  SessionToken token;
  {
    MutexLock lock(&mutex_);
    token = jobs_.token();
  }
  for (size_t begin = 0; begin < bundles.size(); begin += kBundlesPerFetch) {
    const size_t end = std::min(bundles.size(), begin + kBundlesPerFetch);
    std::vector<BundleSource::Range> ranges;
    std::vector<uint64_t> sizes;
    for (size_t i = begin; i < end; ++i) {
      const BundleId& bundle = bundles[i];
      // One that had arrived whole when the daemon was stopped was never checked.
      const uint64_t partial = store_->PartialBytes(bundle.sha256);
      if (partial >= bundle.bytes && store_->Finish(bundle.sha256, bundle.bytes).ok()) continue;
      ranges.push_back({bundle.sha256, store_->PartialBytes(bundle.sha256)});
      sizes.push_back(bundle.bytes);
    }
    if (ranges.empty()) continue;
    HEARTH_RETURN_IF_ERROR(source_.FetchBundles(
        token, job.description.model_digest, ranges,
        [&](size_t range, uint64_t offset, absl::Span<const uint8_t> data) -> absl::Status {
          HEARTH_RETURN_IF_ERROR(StillWanted());
          if (offset + data.size() > sizes[range])
            return absl::DataLossError("a bundle is longer than announced");
          HEARTH_RETURN_IF_ERROR(store_->Append(ranges[range].sha256, offset, data));
          SetBytesDone(job, job.status.bytes_done + data.size());
          if (offset + data.size() < sizes[range]) return absl::OkStatus();
          return store_->Finish(ranges[range].sha256, sizes[range]);
        }));
    CopyCounters();
  }
  return absl::OkStatus();
}

// A bundle from the store; one that turns out to be damaged there is fetched again.
absl::StatusOr<std::vector<uint8_t>> ShardLoader::ReadBundle(Job& job, const BundleId& wanted) {
  absl::StatusOr<std::vector<uint8_t>> bundle = store_->Read(wanted.sha256, wanted.bytes);
  if (bundle.ok() || !absl::IsNotFound(bundle.status())) return bundle;
  spdlog::warn("{}; fetching it again", std::string(bundle.status().message()));
  HEARTH_RETURN_IF_ERROR(FetchMissing(job, {wanted}));
  return store_->Read(wanted.sha256, wanted.bytes);
}

void ShardLoader::SetProblem(const std::string& problem) {
  {
    MutexLock lock(&mutex_);
    if (problem_ == problem) return;
    problem_ = problem;
  }
  changed_();
}

// Whether the disk would take what it did not.
void ShardLoader::LookAgain() {
  look_again_ = Clock::now() + kLookAgain;
  if (store_->Probe(bytes_wanted_).ok()) SetProblem("");
}

std::string ShardLoader::problem() const {
  MutexLock lock(&mutex_);
  return problem_;
}

absl::Status ShardLoader::StillWanted() const {
  MutexLock lock(&mutex_);
  if (stopped_ || taken_ != wanted_) return absl::AbortedError("the desired state has changed");
  return absl::OkStatus();
}

void ShardLoader::SetPhase(Job& job, ShardPhase phase, const std::string& detail) {
  {
    MutexLock lock(&mutex_);
    job.status.phase = phase;
    job.status.detail = detail;
  }
  changed_();
}

void ShardLoader::SetBytesDone(Job& job, uint64_t bytes) {
  MutexLock lock(&mutex_);
  job.status.bytes_done = std::min(bytes, job.status.bytes_total);
}

void ShardLoader::CopyCounters() {
  MutexLock lock(&mutex_);
  counters_ = store_->counters();
}

}  // namespace hearth
