#include "daemon/membership/coordinator_client.h"

#include <grpcpp/grpcpp.h>

#include <set>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "daemon/membership/conversion.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"
#include "proto/hearth/v1/worker.grpc.pb.h"

namespace hearth {
namespace {

// Desired states name every neuron that a host holds.
constexpr int kMaxMessageBytes = 256 << 20;
// After so long a fetch is given up and resumed by another.
constexpr std::chrono::seconds kFetchDeadline{600};

absl::Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return absl::UnavailableError("the coordinator has ended the stream");
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
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
      if (status_.ok()) status_ = FromGrpc(status);
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
  explicit CoordinatorClientImpl(const std::string& address) {
    grpc::ChannelArguments arguments;
    arguments.SetMaxReceiveMessageSize(kMaxMessageBytes);
    arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // hosts reach one another directly
    // A coordinator that comes back is found again within about two seconds.
    arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 100);
    arguments.SetInt(GRPC_ARG_MIN_RECONNECT_BACKOFF_MS, 1000);
    arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 2000);
    stub_ = v1::Membership::NewStub(
        grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
  }

  std::unique_ptr<SyncCall> Synchronize(std::function<void()> wake) override {
    return std::make_unique<SyncCallImpl>(*stub_, std::move(wake));
  }

  absl::Status FetchBundles(const SessionToken& token, const std::string& model_digest,
                            const std::vector<Range>& ranges, const ChunkSink& sink) override {
    v1::FetchBundlesRequest request;
    request.set_session_token(std::string(token.begin(), token.end()));
    request.set_model_digest(model_digest);
    for (const Range& range : ranges) {
      v1::BundleRange* out = request.add_bundles();
      out->set_sha256(std::string(range.sha256.begin(), range.sha256.end()));
      out->set_offset(range.offset);
    }
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kFetchDeadline);
    {
      MutexLock lock(&mutex_);
      if (shut_down_) return absl::CancelledError("the daemon stops");
      fetches_.insert(&context);
    }
    const absl::Status status = Fetch(context, request, ranges.size(), sink);
    MutexLock lock(&mutex_);
    fetches_.erase(&context);
    return status;
  }

  void Shutdown() override {
    MutexLock lock(&mutex_);
    shut_down_ = true;
    for (grpc::ClientContext* context : fetches_) context->TryCancel();
  }

 private:
  absl::Status Fetch(grpc::ClientContext& context, const v1::FetchBundlesRequest& request, size_t bundles,
                     const ChunkSink& sink) {
    const auto reader = stub_->FetchBundles(&context, request);
    absl::Status status;
    v1::BundleChunk chunk;
    while (status.ok() && reader->Read(&chunk)) {
      if (chunk.bundle() >= bundles) {
        status = absl::InvalidArgumentError("a chunk of a bundle that was not asked for");
      } else {
        status = sink(chunk.bundle(), chunk.offset(),
                      {reinterpret_cast<const uint8_t*>(chunk.data().data()), chunk.data().size()});
      }
    }
    if (!status.ok()) context.TryCancel();
    const grpc::Status finished = reader->Finish();
    if (!status.ok() || finished.ok()) return status;
    return FromGrpc(finished);
  }

  std::unique_ptr<v1::Membership::Stub> stub_;
  Mutex mutex_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> fetches_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<CoordinatorClient> CoordinatorClient::Create(const std::string& address) {
  return std::make_unique<CoordinatorClientImpl>(address);
}

}  // namespace hearth
