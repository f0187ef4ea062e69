#include "daemon/weights/weights_service.h"

#include <algorithm>
#include <atomic>
#include <utility>

#include "daemon/grpc_status.h"
#include "daemon/weights/bytes_from_proto.h"
#include "engine/base/task_queue.h"
#include "proto/hearth/v1/weights.grpc.pb.h"

namespace hearth {
namespace {

constexpr size_t kChunkBytes = 1 << 20;
constexpr int kMaxBundlesPerRequest = 4096;
// A worker has one call at a time. Each keeps a bundle in memory.
constexpr int kMaxCalls = 64;
constexpr size_t kThreads = 2;

// What the calls share.
struct Shared {
  const BundleFinder bundles;
  std::atomic<int> calls{0};
  TaskQueue queue{kThreads};  // at most one task per call
};

// One FetchBundles call: sends the bundles of the request chunk by chunk. One is in memory at a time. Deletes
// itself.
class FetchReactor : public grpc::ServerWriteReactor<v1::BundleChunk> {
 public:
  FetchReactor(Shared& shared, const v1::FetchBundlesRequest& request, bool known)
      : shared_(shared), request_(request) {
    const absl::Status refused = Check(++shared_.calls, known);
    if (refused.ok()) {
      shared_.queue.Add([this] { Next(); });
    } else {
      Finish(ToGrpcStatus(refused));
    }
  }

  void OnWriteDone(bool ok) override {
    (void)written_.load(std::memory_order_acquire);
    if (!ok) {
      Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
    } else if (offset_ < bundle_.size()) {
      SendChunk();
    } else {
      shared_.queue.Add([this] { Next(); });
    }
  }

  void OnDone() override {
    --shared_.calls;
    delete this;
  }

 private:
  absl::Status Check(int calls, bool known) const {
    if (!known) return absl::PermissionDeniedError("session_token: not of a member");
    if (request_.bundles_size() > kMaxBundlesPerRequest) {
      return absl::InvalidArgumentError("bundles: more than 4096 in one request");
    }
    if (calls > kMaxCalls) {
      return absl::ResourceExhaustedError("too many hosts fetch weights at the same time; try again");
    }
    return absl::OkStatus();
  }

  // Opens the next bundle and sends its first chunk, or finishes. Of the queue's threads.
  void Next() {
    do {
      if (next_ == request_.bundles_size()) return Finish(grpc::Status::OK);
      if (const absl::Status status = Open(request_.bundles(next_)); !status.ok()) {
        return Finish(ToGrpcStatus(status));
      }
      ++next_;
    } while (offset_ == bundle_.size());
    SendChunk();
  }

  void SendChunk() {
    const size_t count = std::min(kChunkBytes, bundle_.size() - offset_);
    chunk_.set_bundle(static_cast<uint32_t>(next_ - 1));
    chunk_.set_offset(offset_);
    chunk_.set_data(bundle_.data() + offset_, count);
    offset_ += count;
    written_.store(true, std::memory_order_release);
    StartWrite(&chunk_);
  }

  absl::Status Open(const v1::BundleRange& range) {
    const absl::StatusOr<Sha256Digest> sha256 = BytesFromProto(range.sha256(), "sha256");
    if (!sha256.ok()) return sha256.status();
    absl::StatusOr<std::vector<uint8_t>> bundle = shared_.bundles(request_.model_digest(), *sha256);
    if (!bundle.ok()) return bundle.status();
    if (range.offset() > bundle->size()) return absl::OutOfRangeError("offset: beyond the bundle's end");
    bundle_ = *std::move(bundle);
    offset_ = range.offset();
    return absl::OkStatus();
  }

  Shared& shared_;
  const v1::FetchBundlesRequest request_;
  int next_ = 0;                 // the bundle to open next
  std::vector<uint8_t> bundle_;  // the one that is being sent
  size_t offset_ = 0;
  v1::BundleChunk chunk_;
  // gRPC calls OnWriteDone after StartWrite; ThreadSanitizer, which does not see gRPC's locks, is told here.
  std::atomic<bool> written_ = false;
};

class WeightsService : public v1::Weights::CallbackService {
 public:
  WeightsService(TokenCheck known, BundleFinder bundles)
      : known_(std::move(known)), shared_{std::move(bundles)} {}

  grpc::ServerWriteReactor<v1::BundleChunk>* FetchBundles(grpc::CallbackServerContext*,
                                                          const v1::FetchBundlesRequest* request) override {
    const absl::StatusOr<SessionToken> token = BytesFromProto(request->session_token(), "session_token");
    return new FetchReactor(shared_, *request, token.ok() && known_(*token));
  }

 private:
  const TokenCheck known_;
  Shared shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeWeightsService(TokenCheck known, BundleFinder bundles) {
  return std::make_unique<WeightsService>(std::move(known), std::move(bundles));
}

}  // namespace hearth
