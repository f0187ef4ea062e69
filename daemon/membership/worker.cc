#include "daemon/membership/worker.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <filesystem>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/membership/host_view.h"
#include "daemon/weights/weights_client.h"
#include "engine/base/status_macros.h"
#include "proto/certificates.h"

namespace hearth {
namespace {

// Where fetched weights are kept.
std::string CacheDirectory(const NodeOptions& options) {
  return options.cache_dir.empty() ? options.state_dir + "/cache" : options.cache_dir;
}

// The bound of the cache: what was asked for, or half of what the disk has free besides.
uint64_t CacheBytes(const NodeOptions& options, const std::string& directory) {
  if (options.cache_bytes > 0) return options.cache_bytes;
  HostCapacity capacity;
  UpdateFreeBytes(directory, capacity);
  return std::max<uint64_t>(capacity.disk_free_bytes / 2, 1);
}

// Between calls where the coordinator may be at several addresses.
constexpr std::chrono::milliseconds kPauseAmongSeveral{150};

// Between looks at the network cards, which people set once.
constexpr std::chrono::minutes kLookAtCards{1};

// Whether a coordinator that answers so would do so again.
bool IsRefusal(const absl::Status& status) {
  return absl::IsInvalidArgument(status) || absl::IsAlreadyExists(status) ||
         absl::IsFailedPrecondition(status) || absl::IsUnimplemented(status) ||
         absl::IsPermissionDenied(status);
}

// Who is refused for its certificate ought to see both clocks.
std::string OwnClock(const absl::Status& refusal) {
  if (!absl::IsUnauthenticated(refusal)) return "";
  return absl::StrCat(" (the clock of this machine says ", DayText(absl::Now()), ")");
}

}  // namespace

absl::StatusOr<std::unique_ptr<Worker>> Worker::Create(const NodeOptions& options, HostIdentity identity,
                                                       std::vector<HostDeviceSpec> devices,
                                                       HostCapacity capacity) {
  TlsContext tls;
  if (!options.key.empty()) {
    HEARTH_ASSIGN_OR_RETURN(tls, MakeTlsContext(options.key));
  }
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<TensorServer> server,
                          TensorServer::Open(options.tensor_listen, std::move(tls)));
  const std::string& on_disk = options.cache_dir.empty() ? options.state_dir : options.cache_dir;
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<BundleStore> store,
                          BundleStore::Open(CacheDirectory(options), CacheBytes(options, on_disk)));
  return std::unique_ptr<Worker>(new Worker(options, std::move(identity), std::move(devices),
                                            std::move(capacity), std::move(server), std::move(store)));
}

Worker::Worker(const NodeOptions& options, HostIdentity identity, std::vector<HostDeviceSpec> devices,
               HostCapacity capacity, std::unique_ptr<TensorServer> server,
               std::unique_ptr<BundleStore> store)
    : options_(options),
      identity_(std::move(identity)),
      capacity_(std::move(capacity)),
      devices_(std::move(devices)),
      server_(std::move(server)),
      weights_(MakeWeightsClient(options.join, options.key)),
      told_(options.told_file, options.join),
      yielding_(options.yield),
      loader_(devices_, *server_, *weights_, std::move(store), [this] {
        {
          MutexLock lock(&mutex_);
          report_now_ = true;
        }
        Wake();
        listener_.Call();
      }) {
  if (!options_.may_lead) return;
  copier_ = std::make_unique<ModelCopier>(MakeFilesClient(options_.join, options_.key),
                                          ModelCopies(options_.copies_dir),
                                          ModelCopierOptions{.digests_dir = options_.digests_dir()});
}

Worker::~Worker() { Stop(); }

void Worker::Start() {
  thread_ = std::thread([this] { Run(); });
}

void Worker::Stop() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
  }
  wake_.SignalAll();
  loader_.Stop();
  if (copier_ != nullptr) copier_->Stop();
  if (thread_.joinable()) thread_.join();
}

void Worker::SetOutcome(const absl::Status& outcome) {
  MutexLock lock(&mutex_);
  called_ = true;
  accepted_ |= outcome.ok();
  refusal_ = absl::OkStatus();
  refusals_ = IsRefusal(outcome) ? refusals_ + 1 : 0;
  if (!accepted_ && refusals_ >= options_.join.size() && refusals_ > 0) {
    refusal_ = absl::Status(
        outcome.code(), absl::StrCat("--join: ", coordinator_, " refuses this host: ", outcome.message()));
  }
  wake_.SignalAll();
}

absl::Status Worker::AwaitAccepted() {
  MutexLock lock(&mutex_);
  while (!stopped_ && !called_) wake_.Wait(&mutex_);
  return refusal_;
}

absl::Status Worker::Refusal() const {
  MutexLock lock(&mutex_);
  return refusal_;
}

void Worker::Wake() {
  {
    MutexLock lock(&mutex_);
    woken_ = true;
  }
  wake_.SignalAll();
}

void Worker::Run() {
  for (;;) {
    Synchronize();
    MutexLock lock(&mutex_);
    const auto pause =
        options_.join.size() > 1 ? std::min(sync_.NextPause(), kPauseAmongSeveral) : sync_.NextPause();
    const Clock::time_point end = Clock::now() + pause;
    while (!stopped_ && wake_.WaitUntil(&mutex_, end)) {
    }
    if (stopped_) return;
  }
}

void Worker::ChooseCoordinator() {
  std::string address = options_.join.current();
  const uint64_t version = options_.key.version();
  if (client_ != nullptr && address == coordinator_ && version == key_version_) return;
  coordinator_ = std::move(address);
  key_version_ = version;
  client_ = CoordinatorClient::Create(coordinator_, options_.key.get());
}

void Worker::Synchronize() {
  ChooseCoordinator();
  const std::unique_ptr<SyncCall> call = client_->Synchronize([this] { Wake(); });
  sync_.Begin(Clock::now());
  for (;;) {
    absl::Status ended;
    if (TakeAnswer(*call, ended)) {
      SetOutcome(absl::OkStatus());
      SetConnected(true, "");
    }
    const Clock::time_point now = Clock::now();
    if (ended.ok()) ended = sync_.CheckSilence(now);
    if (!ended.ok()) {
      SetOutcome(ended);
      SetConnected(false, absl::StrCat("calling ", coordinator_, ": ", ended.message(), OwnClock(ended)));
      options_.join.PassOver(coordinator_);
      return;
    }
    LookForOwner(now);
    LookAtCards(now);
    MutexLock lock(&mutex_);
    if (stopped_) return;
    if (sync_.ReportIsDue(report_now_, now)) {
      lock.Unlock();
      const bool sent = call->Send(MakeReport());
      lock.Lock();
      // Where the last report is still on its way, its end wakes this thread.
      if (sent) report_now_ = false;
      sync_.NoteReport(now);
    }
    while (!stopped_ && !woken_ && wake_.WaitUntil(&mutex_, sync_.next_report())) {
    }
    woken_ = false;
  }
}

void Worker::LookForOwner(Clock::time_point now) {
  if (!yielding_.Look(now)) return;
  {
    MutexLock lock(&mutex_);
    yields_ = yielding_.reason();
    report_now_ = true;
  }
  if (copier_ != nullptr) copier_->Rest(!yielding_.reason().empty());
  spdlog::info("{}", yielding_.reason().empty() ? "takes part again" : yielding_.reason());
  listener_.Call();
}

void Worker::LookAtCards(Clock::time_point now) {
  if (options_.network_cards == nullptr || now < look_at_cards_) return;
  look_at_cards_ = now + kLookAtCards;
  cards_ = options_.network_cards();
}

// Follows the newest answer. False when there is none; `ended` says when the stream is over.
bool Worker::TakeAnswer(SyncCall& call, absl::Status& ended) {
  absl::StatusOr<std::optional<DesiredShards>> answer = call.Take();
  if (!answer.ok()) {
    ended = answer.status();
    return false;
  }
  if (!answer->has_value()) return false;
  DesiredShards& desired = **answer;
  ended = told_.Take(desired.coordinators, desired.term);
  if (!ended.ok()) return false;
  if (!sync_.answered()) spdlog::info("in the cluster of {}", coordinator_);
  if (!sync_.TakeAnswer(desired, Clock::now())) return true;
  server_->SetSession(desired.token);
  if (copier_ != nullptr) copier_->Use(desired.token);
  loader_.SetDesired(desired.token, std::move(desired.shards));
  MutexLock lock(&mutex_);
  report_now_ = true;
  return true;
}

WorkerReport Worker::MakeReport() const {
  WorkerReport report;
  report.host = options_.name;
  report.version = options_.version;
  report.tensor_address = server_->address();
  report.capacity = CurrentCapacity();
  report.revision = sync_.revision();
  if (report.revision != 0) report.shards = loader_.Statuses();
  report.store = loader_.counters();
  report.identity = identity_;
  report.clock_unix_ms = absl::ToUnixMillis(absl::Now());
  report.network_cards = cards_;
  report.problem = yielding_.reason().empty() ? loader_.problem() : yielding_.reason();
  return report;
}

HostCapacity Worker::CurrentCapacity() const {
  HostCapacity capacity = capacity_;
  UpdateFreeBytes(options_.state_dir, capacity);
  for (DeviceCapacity& device : capacity.devices) {
    // One that is only reported says itself what is used of it.
    if (device.read_bytes_per_s > 0) device.memory_used_bytes = loader_.UsedBytes(device.name);
  }
  return capacity;
}

void Worker::SetConnected(bool connected, const std::string& detail) {
  {
    MutexLock lock(&mutex_);
    if (connected_ == connected && detail_ == detail) return;
    // Among several addresses all but one are expected to fail, again and again.
    const bool expected = options_.join.size() > 1 && !connected_ && warned_;
    warned_ = !connected;
    connected_ = connected;
    detail_ = detail;
    if (!connected && !expected) spdlog::warn("{}", detail);
  }
  listener_.Call();
}

ClusterSnapshot Worker::Snapshot() const {
  HostView view;
  view.name = options_.name;
  view.address = server_->address();
  view.version = options_.version;
  view.clock_unix_ms = absl::ToUnixMillis(absl::Now());
  ShowCapacity(CurrentCapacity(), view);
  MutexLock lock(&mutex_);
  view.state = connected_ ? HostState::kAlive : HostState::kJoining;
  view.detail = detail_.empty() ? yields_ : detail_;
  ClusterSnapshot snapshot;
  snapshot.hosts.push_back(std::move(view));
  return snapshot;
}

}  // namespace hearth
