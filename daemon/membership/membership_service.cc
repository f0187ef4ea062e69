#include "daemon/membership/membership_service.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "daemon/grpc_status.h"
#include "daemon/membership/conversion.h"
#include "daemon/peer_certificate.h"
#include "engine/base/mutex.h"
#include "proto/hearth/v1/worker.grpc.pb.h"

namespace hearth {
namespace {

// One worker's Synchronize stream. gRPC calls the On... functions one at a time, but Push and End come from
// other threads; mutex_ orders them all. Deletes itself in OnDone.
class SyncReactor : public grpc::ServerBidiReactor<v1::WorkerState, v1::DesiredState> {
 public:
  SyncReactor(Roster& roster, std::string peer, std::optional<HostId> certified)
      : roster_(roster), peer_(std::move(peer)), certified_(std::move(certified)) {
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
    const absl::StatusOr<Roster::Session> opened = roster_.Open(*report, peer_, handle_, certified_);
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
    Finish(ToGrpcStatus(status));
  }

  Roster& roster_;
  const std::string peer_;
  const std::optional<HostId> certified_;
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

class MembershipService : public v1::Membership::CallbackService {
 public:
  explicit MembershipService(Roster& roster) : roster_(roster) {}

  grpc::ServerBidiReactor<v1::WorkerState, v1::DesiredState>* Synchronize(
      grpc::CallbackServerContext* context) override {
    return new SyncReactor(roster_, context->peer(), PeerId(*context->auth_context()));
  }

 private:
  Roster& roster_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeMembershipService(Roster& roster) {
  return std::make_unique<MembershipService>(roster);
}

}  // namespace hearth
