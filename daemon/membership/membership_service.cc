#include "daemon/membership/membership_service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "daemon/membership/conversion.h"
#include "engine/base/mutex.h"
#include "proto/hearth/v1/worker.grpc.pb.h"

namespace hearth {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
constexpr int kMaxBundlesPerRequest = 4096;

grpc::Status ToGrpc(const absl::Status& status) {
  return grpc::Status(static_cast<grpc::StatusCode>(status.code()), std::string(status.message()));
}

// One worker's Synchronize stream. gRPC calls the On... functions one at a time, but Push and End come from
// other threads; mutex_ orders them all. Deletes itself in OnDone.
class SyncReactor : public grpc::ServerBidiReactor<v1::WorkerState, v1::DesiredState> {
 public:
  SyncReactor(Roster& roster, std::string peer) : roster_(roster), peer_(std::move(peer)) {
    handle_ = std::make_shared<Handle>(this);
    StartRead(&state_);
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      LeaveRoster("its stream has ended");
      EndWith(absl::OkStatus());
      return;
    }
    if (const absl::Status status = TakeState(); !status.ok()) {
      LeaveRoster(std::string(status.message()));
      EndWith(status);
      return;
    }
    StartRead(&state_);
    WriteDesired();
  }

  void OnWriteDone(bool ok) override {
    bool again = false;
    {
      MutexLock lock(&mutex_);
      writing_ = false;
      again = ok && write_again_;
    }
    if (again) WriteDesired();
  }

  void OnCancel() override {
    LeaveRoster("its stream has ended");
    EndWith(absl::CancelledError("cancelled"));
  }

  void OnDone() override {
    LeaveRoster("its stream has ended");
    handle_->Forget();
    delete this;
  }

 private:
  // What the roster holds; it may outlive the reactor.
  class Handle : public SessionStream {
   public:
    explicit Handle(SyncReactor* reactor) : reactor_(reactor) {}
    void Push() override {
      MutexLock lock(&mutex_);
      if (reactor_ != nullptr) reactor_->WriteDesired();
    }
    void End(const absl::Status& status) override {
      MutexLock lock(&mutex_);
      if (reactor_ != nullptr) reactor_->EndWith(status);
    }
    void Forget() {
      MutexLock lock(&mutex_);
      reactor_ = nullptr;
    }

   private:
    Mutex mutex_;
    SyncReactor* reactor_ ABSL_GUARDED_BY(mutex_);
  };

  absl::Status TakeState() {
    absl::StatusOr<WorkerReport> report = FromProto(state_);
    if (!report.ok()) return report.status();
    std::optional<Roster::Session> session;
    {
      MutexLock lock(&mutex_);
      if (ended_) return absl::CancelledError("the stream has ended");
      worker_revision_ = report->revision;
      session = session_;
    }
    if (session) return roster_.Report(*session, *std::move(report));
    const absl::StatusOr<Roster::Session> opened = roster_.Open(*report, peer_, handle_);
    if (!opened.ok()) return opened.status();
    MutexLock lock(&mutex_);
    session_ = *opened;
    return absl::OkStatus();
  }

  // Writes the newest desired state, now or when the write that is on its way has ended.
  void WriteDesired() {
    MutexLock lock(&mutex_);
    write_again_ = writing_;
    if (writing_ || ended_ || !session_) return;
    const uint64_t known = std::max(worker_revision_, sent_revision_);
    const absl::StatusOr<DesiredShards> desired = roster_.Desired(*session_, known);
    if (!desired.ok()) return;  // the roster ends the stream
    sent_revision_ = desired->revision;
    desired_ = ToProto(*desired);
    writing_ = true;
    StartWrite(&desired_);
  }

  void LeaveRoster(const std::string& reason) {
    std::optional<Roster::Session> session;
    {
      MutexLock lock(&mutex_);
      session = std::exchange(session_, std::nullopt);
    }
    if (session) roster_.Close(*session, reason);
  }

  void EndWith(const absl::Status& status) {
    MutexLock lock(&mutex_);
    if (std::exchange(ended_, true)) return;
    Finish(ToGrpc(status));
  }

  Roster& roster_;
  const std::string peer_;
  std::shared_ptr<Handle> handle_;
  v1::WorkerState state_;     // of the read that is on its way
  v1::DesiredState desired_;  // of the write that is on its way

  Mutex mutex_;
  std::optional<Roster::Session> session_ ABSL_GUARDED_BY(mutex_);
  uint64_t worker_revision_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t sent_revision_ ABSL_GUARDED_BY(mutex_) = 0;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool write_again_ ABSL_GUARDED_BY(mutex_) = false;  // something changed during the write
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;        // Finish was called
};

// One FetchBundles call: sends the bundles of the request chunk by chunk. One is in memory at a time. Deletes
// itself.
class FetchReactor : public grpc::ServerWriteReactor<v1::BundleChunk> {
 public:
  FetchReactor(const BundleFinder& bundles, const v1::FetchBundlesRequest& request, absl::Status refused)
      : bundles_(bundles), request_(request) {
    if (refused.ok() && request_.bundles_size() > kMaxBundlesPerRequest) {
      refused = absl::InvalidArgumentError("bundles: more than 4096 in one request");
    }
    if (refused.ok()) {
      Next();
    } else {
      Finish(ToGrpc(refused));
    }
  }

  void OnWriteDone(bool ok) override {
    if (!ok) {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
      return;
    }
    Next();
  }

  void OnDone() override { delete this; }

 private:
  // Sends the next chunk, or finishes.
  void Next() {
    while (offset_ == bundle_.size()) {
      if (next_ == request_.bundles_size()) {
        Finish(grpc::Status::OK);
        return;
      }
      if (const absl::Status status = Open(request_.bundles(next_)); !status.ok()) {
        Finish(ToGrpc(status));
        return;
      }
      ++next_;
    }
    const size_t count = std::min(kChunkBytes, bundle_.size() - offset_);
    chunk_.set_bundle(static_cast<uint32_t>(next_ - 1));
    chunk_.set_offset(offset_);
    chunk_.set_data(bundle_.data() + offset_, count);
    offset_ += count;
    StartWrite(&chunk_);
  }

  absl::Status Open(const v1::BundleRange& range) {
    const absl::StatusOr<Sha256Digest> sha256 = BytesFromProto(range.sha256(), "sha256");
    if (!sha256.ok()) return sha256.status();
    absl::StatusOr<std::vector<uint8_t>> bundle = bundles_(request_.model_digest(), *sha256);
    if (!bundle.ok()) return bundle.status();
    if (range.offset() > bundle->size()) return absl::OutOfRangeError("offset: beyond the bundle's end");
    bundle_ = *std::move(bundle);
    offset_ = range.offset();
    return absl::OkStatus();
  }

  const BundleFinder& bundles_;
  const v1::FetchBundlesRequest request_;
  int next_ = 0;                 // the bundle to open next
  std::vector<uint8_t> bundle_;  // the one that is being sent
  size_t offset_ = 0;
  v1::BundleChunk chunk_;
};

class MembershipService : public v1::Membership::CallbackService {
 public:
  MembershipService(Roster& roster, BundleFinder bundles) : roster_(roster), bundles_(std::move(bundles)) {}

  grpc::ServerBidiReactor<v1::WorkerState, v1::DesiredState>* Synchronize(
      grpc::CallbackServerContext* context) override {
    return new SyncReactor(roster_, context->peer());
  }

  grpc::ServerWriteReactor<v1::BundleChunk>* FetchBundles(grpc::CallbackServerContext* context,
                                                          const v1::FetchBundlesRequest* request) override {
    const absl::StatusOr<SessionToken> token = BytesFromProto(request->session_token(), "session_token");
    const bool known = token.ok() && roster_.KnowsToken(*token);
    return new FetchReactor(
        bundles_, *request,
        known ? absl::OkStatus() : absl::PermissionDeniedError("session_token: not of a member"));
  }

 private:
  Roster& roster_;
  const BundleFinder bundles_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMembershipService(Roster& roster, BundleFinder bundles) {
  return std::make_unique<MembershipService>(roster, std::move(bundles));
}

}  // namespace hearth
