#include "daemon/weights/weights_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "daemon/coordinator_stub.h"
#include "daemon/grpc_status.h"
#include "engine/base/mutex.h"
#include "proto/channel.h"
#include "proto/hearth/v1/weights.grpc.pb.h"

namespace hearth {
namespace {

// After so long a fetch is given up and resumed by another.
constexpr std::chrono::seconds kFetchDeadline{600};

std::shared_ptr<grpc::Channel> OpenOwnConnection(const std::string& address, const ConnectionKey& key) {
  grpc::ChannelArguments arguments = HearthChannelArguments();
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return OpenChannel(address, key, arguments);
}

class WeightsClient : public BundleSource {
 public:
  WeightsClient(CoordinatorAddresses coordinator, const LiveKey& key)
      : coordinator_(std::move(coordinator)), stubs_(key, OpenOwnConnection) {}

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
    const std::shared_ptr<v1::Weights::Stub> stub = stubs_.Of(coordinator_.current());
    const auto reader = stub->FetchBundles(&context, request);
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
    return FromGrpcStatus(finished);
  }

  const CoordinatorAddresses coordinator_;
  CoordinatorStub<v1::Weights::Stub> stubs_;
  Mutex mutex_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> fetches_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<BundleSource> MakeWeightsClient(const CoordinatorAddresses& coordinator, const LiveKey& key) {
  return std::make_unique<WeightsClient>(coordinator, key);
}

}  // namespace hearth
