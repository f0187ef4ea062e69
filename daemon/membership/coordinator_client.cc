#include "daemon/membership/coordinator_client.h"

#include <grpcpp/grpcpp.h>

#include <utility>

#include "absl/base/thread_annotations.h"
#include "daemon/grpc_status.h"
#include "daemon/membership/conversion.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"
#include "proto/channel.h"
#include "proto/hearth/v1/worker.grpc.pb.h"

namespace hearth {
namespace {

// Desired states name every neuron that a host holds.
constexpr int kMaxMessageBytes = 256 << 20;

absl::Status EndOfStream(const grpc::Status& status) {
  if (status.ok()) return absl::UnavailableError("the coordinator has ended the stream");
  return FromGrpcStatus(status);
}

// A hold keeps the call open for writes that are started from outside of its reactions; it is released when
// reading ends, after which gRPC calls OnDone with the reason.
class SyncCallImpl : public SyncCall, private grpc::ClientBidiReactor<v1::WorkerState, v1::DesiredState> {
 public:
  SyncCallImpl(v1::Membership::Stub& stub, std::function<void()> wake) : wake_(std::move(wake)) {
    stub.async()->Synchronize(&context_, this);
    AddHold();
    StartRead(&received_);
    StartCall();
  }

  ~SyncCallImpl() override {
    context_.TryCancel();
    MutexLock lock(&mutex_);
    while (!done_) ended_.Wait(&mutex_);
  }

  bool Send(const WorkerReport& report) override {
    MutexLock lock(&mutex_);
    if (writing_ || !holding_) return false;
    writing_ = true;
    sent_ = ToProto(report);
    StartWrite(&sent_);
    return true;
  }

  absl::StatusOr<std::optional<DesiredShards>> Take() override {
    MutexLock lock(&mutex_);
    if (!status_.ok()) return status_;
    return std::exchange(newest_, std::nullopt);
  }

 private:
  void OnWriteDone(bool ok) override {
    {
      MutexLock lock(&mutex_);
      writing_ = false;
    }
    wake_();
  }

  void OnReadDone(bool ok) override {
    if (!ok) {
      MutexLock lock(&mutex_);
      holding_ = false;
      RemoveHold();
      return;
    }
    absl::StatusOr<DesiredShards> desired = FromProto(received_);
    {
      MutexLock lock(&mutex_);
      if (!desired.ok()) {
        status_ = desired.status();
      } else if (!desired->unchanged || !newest_) {
        newest_ = *std::move(desired);  // "unchanged" must not hide a change that was not taken yet
      }
    }
    StartRead(&received_);
    wake_();
  }

  void OnDone(const grpc::Status& status) override {
    {
      MutexLock lock(&mutex_);
      if (status_.ok()) status_ = EndOfStream(status);
    }
    wake_();
    // The destructor may run from here on.
    MutexLock lock(&mutex_);
    done_ = true;
    ended_.SignalAll();
  }

  const std::function<void()> wake_;
  grpc::ClientContext context_;
  v1::WorkerState sent_;       // of the write that is on its way
  v1::DesiredState received_;  // of the read that is on its way

  Mutex mutex_;
  CondVar ended_;
  bool holding_ ABSL_GUARDED_BY(mutex_) = true;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool done_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<DesiredShards> newest_ ABSL_GUARDED_BY(mutex_);
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

class CoordinatorClientImpl : public CoordinatorClient {
 public:
  CoordinatorClientImpl(const std::string& address, const ConnectionKey& key) : stub_(Open(address, key)) {}

  std::unique_ptr<SyncCall> Synchronize(std::function<void()> wake) override {
    return std::make_unique<SyncCallImpl>(stub_, std::move(wake));
  }

 private:
  static std::shared_ptr<grpc::Channel> Open(const std::string& address, const ConnectionKey& key) {
    grpc::ChannelArguments arguments = HearthChannelArguments();
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    return OpenChannel(address, key, arguments);
  }

  v1::Membership::Stub stub_;
};

}  // namespace

std::unique_ptr<CoordinatorClient> CoordinatorClient::Create(const std::string& address,
                                                             const ConnectionKey& key) {
  return std::make_unique<CoordinatorClientImpl>(address, key);
}

}  // namespace hearth
