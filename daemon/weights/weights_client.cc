#include "daemon/weights/weights_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "daemon/coordinator_stub.h"
#include "daemon/grpc_status.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"
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

class WeightsClient : public BundleSource, public ModelFileSource {
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
    return Call([&](v1::Weights::Stub& stub, grpc::ClientContext& context) {
      return ReadAll<v1::BundleChunk>(
          context, *stub.FetchBundles(&context, request), [&](const v1::BundleChunk& chunk) -> absl::Status {
            if (chunk.bundle() >= ranges.size())
              return absl::InvalidArgumentError("a chunk of a bundle that was not asked for");
            return sink(chunk.bundle(), chunk.offset(), BytesIn(chunk.data()));
          });
    });
  }

  absl::StatusOr<std::vector<ModelFiles>> List(const SessionToken& token) override {
    v1::ListFilesRequest request;
    request.set_session_token(std::string(token.begin(), token.end()));
    v1::ListFilesResponse response;
    HEARTH_RETURN_IF_ERROR(Call([&](v1::Weights::Stub& stub, grpc::ClientContext& context) {
      return FromGrpcStatus(stub.ListFiles(&context, request, &response));
    }));
    std::vector<ModelFiles> models;
    for (const v1::ModelFiles& proto : response.models()) {
      HEARTH_ASSIGN_OR_RETURN(ModelFiles model, FromProto(proto));
      models.push_back(std::move(model));
    }
    return models;
  }

  absl::Status Fetch(const SessionToken& token, const std::string& model_digest, const std::string& name,
                     uint64_t offset, const PieceSink& sink) override {
    v1::FetchFileRequest request;
    request.set_session_token(std::string(token.begin(), token.end()));
    request.set_model_digest(model_digest);
    request.set_name(name);
    request.set_offset(offset);
    return Call([&](v1::Weights::Stub& stub, grpc::ClientContext& context) {
      return ReadAll<v1::FileChunk>(context, *stub.FetchFile(&context, request),
                                    [&](const v1::FileChunk& chunk) { return sink(BytesIn(chunk.data())); });
    });
  }

  void Shutdown() override {
    MutexLock lock(&mutex_);
    shut_down_ = true;
    for (grpc::ClientContext* context : calls_) context->TryCancel();
  }

 private:
  static absl::Span<const uint8_t> BytesIn(const std::string& data) {
    return {reinterpret_cast<const uint8_t*>(data.data()), data.size()};
  }

  // A call that Shutdown cancels.
  absl::Status Call(const std::function<absl::Status(v1::Weights::Stub&, grpc::ClientContext&)>& call) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kFetchDeadline);
    {
      MutexLock lock(&mutex_);
      if (shut_down_) return absl::CancelledError("the daemon stops");
      calls_.insert(&context);
    }
    const absl::Status status = call(*stubs_.Of(coordinator_.current()), context);
    MutexLock lock(&mutex_);
    calls_.erase(&context);
    return status;
  }

  // Gives all that comes to `take`, until that has an error.
  template <class Chunk>
  static absl::Status ReadAll(grpc::ClientContext& context, grpc::ClientReader<Chunk>& reader,
                              const std::function<absl::Status(const Chunk&)>& take) {
    absl::Status status;
    Chunk chunk;
    while (status.ok() && reader.Read(&chunk)) status = take(chunk);
    if (!status.ok()) context.TryCancel();
    const grpc::Status finished = reader.Finish();
    return status.ok() ? FromGrpcStatus(finished) : status;
  }

  const CoordinatorAddresses coordinator_;
  CoordinatorStub<v1::Weights::Stub> stubs_;
  Mutex mutex_;
  bool shut_down_ ABSL_GUARDED_BY(mutex_) = false;
  std::set<grpc::ClientContext*> calls_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace

std::unique_ptr<BundleSource> MakeWeightsClient(const CoordinatorAddresses& coordinator, const LiveKey& key) {
  return std::make_unique<WeightsClient>(coordinator, key);
}

std::unique_ptr<ModelFileSource> MakeFilesClient(const CoordinatorAddresses& coordinator,
                                                 const LiveKey& key) {
  return std::make_unique<WeightsClient>(coordinator, key);
}

}  // namespace hearth
