#include "daemon/weights/shard_loader.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/group_weights.h"

namespace hearth {
namespace {

constexpr std::chrono::milliseconds kFetchAgain{500};
constexpr std::chrono::seconds kFailedAgain{5};
constexpr std::chrono::seconds kLookAgain{1};
constexpr size_t kBundlesPerFetch = 1024;

DeviceWork WorkOf(const CpuDevice& device) {
  DeviceCounters counters = device.counters();
  return {device.name(), std::move(counters.neurons_computed), std::move(counters.neurons_held),
          counters.bytes_touched};
}

}  // namespace

ShardLoader::ShardLoader(HostDevices& devices, ShardPublisher& publisher, BundleSource& source,
                         std::unique_ptr<BundleStore> store, std::function<void()> changed)
    : devices_(devices),
      publisher_(publisher),
      source_(source),
      store_(std::move(store)),
      changed_(std::move(changed)),
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
  for (const auto& [epoch, job] : jobs_) {
    ShardStatus status = job.status;
    for (const CpuDevice* device : job.shard->shard_devices()) status.devices.push_back(WorkOf(*device));
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
  absl::flat_hash_set<const FfnPiece*> pieces;  // shards of two plans share some
  for (const auto& [epoch, job] : jobs_) {
    if (!job.ready) continue;
    for (const CpuDevice* device : job.shard->shard_devices()) {
      if (device->name() != name) continue;
      for (uint32_t layer = 0; layer < device->layers(); ++layer) {
        for (const auto& piece : device->ffn(layer)) pieces.insert(piece.get());
      }
    }
  }
  uint64_t bytes = 0;
  for (const FfnPiece* piece : pieces) bytes += piece->shard->weight_bytes();
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
    Job* job = NextJob();
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

// The job to work on next: of those that are not ready the one that may be tried first.
ShardLoader::Job* ShardLoader::NextJob() {
  Job* next = nullptr;
  for (auto& [epoch, job] : jobs_) {
    if (!job.ready && (next == nullptr || job.not_before < next->not_before)) next = &job;
  }
  return next;
}

// Makes the jobs those of the newest desired state. Shards that it does not name go, after others have taken
// over from them what they want too; so do all shards of another session, whose epochs mean something else.
void ShardLoader::TakeDesired() {
  SessionToken token;
  std::vector<ShardDescription> shards;
  std::map<uint64_t, Job> jobs;
  std::map<uint64_t, Job> former;
  uint64_t taking = 0;
  {
    MutexLock lock(&mutex_);
    taking = wanted_;
    token = wanted_token_;
    shards = wanted_shards_;
    former = jobs_;
  }
  const bool same_session = token == token_;
  token_ = token;
  std::vector<Sha256Digest> wanted_bundles;
  for (ShardDescription& shard : shards) {
    for (const ShardLayer& share : shard.shares) {
      for (const PlacedGroup& group : share.groups) wanted_bundles.push_back(group.sha256);
    }
    const uint64_t epoch = shard.epoch;
    if (const auto kept = former.find(epoch); same_session && kept != former.end()) {
      jobs[epoch] = kept->second;
      continue;
    }
    Job& job = jobs[epoch];
    job.status.epoch = epoch;
    job.status.model = shard.model;
    job.status.bytes_total = shard.bytes();
    job.shard = std::make_shared<LocalShard>(std::move(shard), devices_);
    for (const auto& [other_epoch, other] : former) job.shard->Adopt(*other.shard);
  }
  store_->Protect(wanted_bundles);
  for (const auto& [epoch, job] : former) {
    if (!same_session || !jobs.contains(epoch)) publisher_.Withdraw(epoch);
  }
  {
    MutexLock lock(&mutex_);
    jobs_.swap(jobs);
    taken_ = taking;
  }
  changed_();
}

void ShardLoader::Work(Job& job) {
  const absl::Status status = Prepare(job);
  CopyCounters();
  if (status.ok()) {
    publisher_.Publish(job.shard);
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
  if (absl::IsFailedPrecondition(status)) {
    bytes_wanted_ = job.status.bytes_total - std::min(job.status.bytes_total, job.status.bytes_done);
    look_again_ = Clock::now() + kLookAgain;
    SetProblem(reason);
  }
  // These pass by themselves: a disk that is full, a coordinator that is gone for the moment, bytes that were
  // damaged on their way.
  const bool passes = absl::IsFailedPrecondition(status) || absl::IsUnavailable(status) ||
                      absl::IsDataLoss(status) || absl::IsNotFound(status) ||
                      absl::IsPermissionDenied(status) || absl::IsCancelled(status) ||
                      absl::IsDeadlineExceeded(status);
  job.not_before = Clock::now() + (passes ? Clock::duration(kFetchAgain) : Clock::duration(kFailedAgain));
  spdlog::warn("plan {} of model {}: {}", job.status.epoch, job.status.model, reason);
  SetPhase(job, passes ? ShardPhase::kFetching : ShardPhase::kFailed, reason);
}

absl::Status ShardLoader::Prepare(Job& job) {
  LocalShard& shard = *job.shard;
  HEARTH_RETURN_IF_ERROR(shard.Check());
  const std::vector<const PlacedGroup*> missing = shard.missing();
  std::vector<const PlacedGroup*> to_fetch;
  uint64_t bytes_at_hand = shard.description().bytes();
  for (const PlacedGroup* group : missing) {
    if (store_->Has(group->sha256, group->bytes)) continue;
    to_fetch.push_back(group);
    bytes_at_hand -= group->bytes;
  }
  SetBytesDone(job, bytes_at_hand);
  if (!to_fetch.empty()) SetPhase(job, ShardPhase::kFetching, "");
  HEARTH_RETURN_IF_ERROR(FetchMissing(job, to_fetch));
  SetPhase(job, ShardPhase::kLoading, "");
  const auto source = [&](const ShardLayer& share, const PlacedGroup& group) -> absl::StatusOr<GroupWeights> {
    HEARTH_ASSIGN_OR_RETURN(std::vector<uint8_t> bundle, ReadBundle(job, group));
    return GroupWeights::FromBundle(share.spec, group.group, std::move(bundle));
  };
  return shard.Load(source, pool_, [this](uint64_t) { return StillWanted(); });
}

// Fetches groups, several with one call; what has arrived of a bundle is kept when the call breaks.
absl::Status ShardLoader::FetchMissing(Job& job, const std::vector<const PlacedGroup*>& groups) {
  for (size_t begin = 0; begin < groups.size(); begin += kBundlesPerFetch) {
    const size_t count = std::min(kBundlesPerFetch, groups.size() - begin);
    std::vector<BundleSource::Range> ranges;
    for (size_t i = 0; i < count; ++i) {
      const PlacedGroup& group = *groups[begin + i];
      // One that had arrived whole when the daemon was stopped was never checked.
      const uint64_t partial = store_->PartialBytes(group.sha256);
      if (partial >= group.bytes && store_->Finish(group.sha256, group.bytes).ok()) continue;
      ranges.push_back({group.sha256, store_->PartialBytes(group.sha256)});
    }
    std::vector<uint64_t> sizes;
    for (const BundleSource::Range& range : ranges) {
      const auto group = std::find_if(groups.begin(), groups.end(), [&](const PlacedGroup* other) {
        return other->sha256 == range.sha256;
      });
      sizes.push_back((*group)->bytes);
    }
    if (ranges.empty()) continue;
    HEARTH_RETURN_IF_ERROR(source_.FetchBundles(
        token_, job.shard->description().model_digest, ranges,
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
absl::StatusOr<std::vector<uint8_t>> ShardLoader::ReadBundle(Job& job, const PlacedGroup& group) {
  absl::StatusOr<std::vector<uint8_t>> bundle = store_->Read(group.sha256, group.bytes);
  if (bundle.ok() || !absl::IsNotFound(bundle.status())) return bundle;
  spdlog::warn("{}; fetching it again", std::string(bundle.status().message()));
  HEARTH_RETURN_IF_ERROR(FetchMissing(job, {&group}));
  return store_->Read(group.sha256, group.bytes);
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
