#include "daemon/weights/weights_service.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <utility>

#include "daemon/grpc_status.h"
#include "daemon/weights/bytes_from_proto.h"
#include "engine/base/status_macros.h"
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
  const FileLister files;
  std::atomic<int> calls{0};
  TaskQueue queue{kThreads};  // at most one task per call
};

// One call that sends chunk after chunk, of which one is in memory at a time. Deletes itself.
template <class Chunk>
class ChunkReactor : public grpc::ServerWriteReactor<Chunk> {
 public:
  explicit ChunkReactor(Shared& shared) : shared_(shared) {}

  // `known`: the caller is a member. `asked`: an error of the request.
  void Start(bool known, const absl::Status& asked) {
    const int calls = ++shared_.calls;
    absl::Status refused = asked;
    if (!known) {
      refused = absl::PermissionDeniedError("session_token: not of a member");
    } else if (asked.ok() && calls > kMaxCalls) {
      refused = absl::ResourceExhaustedError("too many hosts fetch weights at the same time; try again");
    }
    if (!refused.ok()) return this->Finish(ToGrpcStatus(refused));
    shared_.queue.Add([this] { Next(); });
  }

  void OnWriteDone(bool ok) override {
    (void)written_.load(std::memory_order_acquire);
    if (!ok) return this->Finish(grpc::Status(grpc::StatusCode::CANCELLED, "cancelled"));
    shared_.queue.Add([this] { Next(); });
  }

  void OnDone() override {
    --shared_.calls;
    delete this;
  }

 protected:
  Shared& shared() { return shared_; }

 private:
  // Of the queue's threads. False when all was sent.
  virtual absl::StatusOr<bool> Fill(Chunk& chunk) = 0;

  void Next() {
    const absl::StatusOr<bool> filled = Fill(chunk_);
    if (!filled.ok()) return this->Finish(ToGrpcStatus(filled.status()));
    if (!*filled) return this->Finish(grpc::Status::OK);
    written_.store(true, std::memory_order_release);
    this->StartWrite(&chunk_);
  }

  Shared& shared_;
  Chunk chunk_;
  // gRPC calls OnWriteDone after StartWrite; ThreadSanitizer, which does not see gRPC's locks, is told here.
  std::atomic<bool> written_ = false;
};

// One FetchBundles call: the bundles of the request, one after the other.
class BundleReactor final : public ChunkReactor<v1::BundleChunk> {
 public:
  BundleReactor(Shared& shared, const v1::FetchBundlesRequest& request)
      : ChunkReactor(shared), request_(request) {}

  absl::Status Check() const {
    if (request_.bundles_size() <= kMaxBundlesPerRequest) return absl::OkStatus();
    return absl::InvalidArgumentError("bundles: more than 4096 in one request");
  }

 private:
  absl::StatusOr<bool> Fill(v1::BundleChunk& chunk) override {
    while (offset_ == bundle_.size()) {
      if (next_ == request_.bundles_size()) return false;
      HEARTH_RETURN_IF_ERROR(Open(request_.bundles(next_)));
      ++next_;
    }
    const size_t count = std::min(kChunkBytes, bundle_.size() - offset_);
    chunk.set_bundle(static_cast<uint32_t>(next_ - 1));
    chunk.set_offset(offset_);
    chunk.set_data(bundle_.data() + offset_, count);
    offset_ += count;
    return true;
  }

  absl::Status Open(const v1::BundleRange& range) {
    HEARTH_ASSIGN_OR_RETURN(const Sha256Digest sha256, BytesFromProto(range.sha256(), "sha256"));
    HEARTH_ASSIGN_OR_RETURN(std::vector<uint8_t> bundle, shared().bundles(request_.model_digest(), sha256));
    if (range.offset() > bundle.size()) return absl::OutOfRangeError("offset: beyond the bundle's end");
    bundle_ = std::move(bundle);
    offset_ = range.offset();
    return absl::OkStatus();
  }

  const v1::FetchBundlesRequest request_;
  int next_ = 0;                 // the bundle to open next
  std::vector<uint8_t> bundle_;  // the one that is being sent
  size_t offset_ = 0;
};

// One FetchFile call.
class FileReactor final : public ChunkReactor<v1::FileChunk> {
 public:
  FileReactor(Shared& shared, const v1::FetchFileRequest& request)
      : ChunkReactor(shared), request_(request) {}

 private:
  absl::StatusOr<bool> Fill(v1::FileChunk& chunk) override {
    if (!open_) HEARTH_RETURN_IF_ERROR(Open());
    if (left_.empty()) return false;
    const absl::Span<const uint8_t> piece = left_.subspan(0, kChunkBytes);
    chunk.set_data(piece.data(), piece.size());
    model_.file->Release(piece);
    // What was read of a file that has changed is not what was loaded.
    HEARTH_RETURN_IF_ERROR(model_.file->CheckUnchanged());
    left_.remove_prefix(piece.size());
    return true;
  }

  absl::Status Open() {
    for (ServedFiles& model : shared().files()) {
      if (model.files.digest != request_.model_digest()) continue;
      const std::optional<absl::Span<const uint8_t>> bytes = BytesOf(model, request_.name());
      if (!bytes) continue;
      if (request_.offset() > bytes->size()) return absl::OutOfRangeError("offset: beyond the file's end");
      left_ = bytes->subspan(request_.offset());
      model_ = std::move(model);
      open_ = true;
      return absl::OkStatus();
    }
    return absl::NotFoundError("no model that is ready has this file");
  }

  const v1::FetchFileRequest request_;
  bool open_ = false;
  ServedFiles model_;  // keeps what is left mapped
  absl::Span<const uint8_t> left_;
};

class WeightsService : public v1::Weights::CallbackService {
 public:
  WeightsService(TokenCheck known, BundleFinder bundles, FileLister files)
      : known_(std::move(known)), shared_{std::move(bundles), std::move(files)} {}

  grpc::ServerWriteReactor<v1::BundleChunk>* FetchBundles(grpc::CallbackServerContext*,
                                                          const v1::FetchBundlesRequest* request) override {
    auto* const call = new BundleReactor(shared_, *request);
    call->Start(Knows(request->session_token()), call->Check());
    return call;
  }

  grpc::ServerUnaryReactor* ListFiles(grpc::CallbackServerContext* context,
                                      const v1::ListFilesRequest* request,
                                      v1::ListFilesResponse* response) override {
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    if (!Knows(request->session_token())) {
      reactor->Finish(ToGrpcStatus(absl::PermissionDeniedError("session_token: not of a member")));
      return reactor;
    }
    for (const ServedFiles& model : shared_.files()) *response->add_models() = ToProto(model.files);
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

  grpc::ServerWriteReactor<v1::FileChunk>* FetchFile(grpc::CallbackServerContext*,
                                                     const v1::FetchFileRequest* request) override {
    auto* const call = new FileReactor(shared_, *request);
    call->Start(Knows(request->session_token()), absl::OkStatus());
    return call;
  }

 private:
  bool Knows(const std::string& token) const {
    const absl::StatusOr<SessionToken> bytes = BytesFromProto(token, "session_token");
    return bytes.ok() && known_(*bytes);
  }

  const TokenCheck known_;
  Shared shared_;
};

}  // namespace

std::unique_ptr<grpc::Service> MakeWeightsService(TokenCheck known, BundleFinder bundles, FileLister files) {
  return std::make_unique<WeightsService>(std::move(known), std::move(bundles), std::move(files));
}

}  // namespace hearth
