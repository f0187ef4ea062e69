// weights.proto over a real gRPC server: the service and its client.
#include "daemon/weights/weights_service.h"

#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/service_type.h>
#include <gtest/gtest.h>

#include <numeric>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "daemon/weights/weights_client.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_writer.h"

namespace hearth {
namespace {

class WeightsServiceTest : public ::testing::Test {
 protected:
  WeightsServiceTest() : bundle_(3 << 20) {
    std::iota(bundle_.begin(), bundle_.end(), 0);
    token_.fill(3);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    client_ = MakeWeightsClient(absl::StrCat("127.0.0.1:", port));
    files_ = MakeFilesClient(absl::StrCat("127.0.0.1:", port));
  }
  ~WeightsServiceTest() override { server_->Shutdown(); }

  absl::StatusOr<std::vector<uint8_t>> Find(const std::string& digest, const Sha256Digest& sha256) const {
    if (digest != "sha256:model" || sha256 != Sha256Of(bundle_)) return absl::NotFoundError("no bundle");
    return bundle_;
  }

  absl::Status Fetch(const SessionToken& token, const std::string& digest, BundleSource::Range range,
                     std::vector<uint8_t>* out = nullptr) {
    return client_->FetchBundles(token, digest, {range},
                                 [out](size_t, uint64_t, absl::Span<const uint8_t> data) {
                                   if (out != nullptr) out->insert(out->end(), data.begin(), data.end());
                                   return absl::OkStatus();
                                 });
  }

  // A model that is ready, of 1.5 chunks.
  void AddModel() {
    GgufWriter writer;
    writer.Set("note", std::string(3 << 19, 'x'));
    content_ = *writer.Serialize();
    MutexLock lock(&mutex_);
    models_.push_back(
        FilesOf("/theirs/m.gguf", kDigest, *GgufFile::Parse(content_, "/here/copy.gguf"), nullptr));
  }
  absl::StatusOr<std::string> FetchFile(const SessionToken& token, const std::string& digest,
                                        const std::string& name, uint64_t offset) {
    std::string bytes;
    HEARTH_RETURN_IF_ERROR(files_->Fetch(token, digest, name, offset, [&](absl::Span<const uint8_t> piece) {
      bytes.append(reinterpret_cast<const char*>(piece.data()), piece.size());
      return absl::OkStatus();
    }));
    return bytes;
  }

  const std::string kDigest = "sha256:" + std::string(64, '5');
  std::vector<uint8_t> bundle_, content_;
  SessionToken token_;
  // gRPC, whose locks ThreadSanitizer does not see, reads them on threads of its own.
  Mutex mutex_;
  std::vector<ServedFiles> models_ ABSL_GUARDED_BY(mutex_);
  std::unique_ptr<grpc::Service> service_ = MakeWeightsService(
      [this](const SessionToken& token) { return token == token_; },
      [this](const std::string& digest, const Sha256Digest& sha256) { return Find(digest, sha256); },
      [this] {
        MutexLock lock(&mutex_);
        return models_;
      });
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<BundleSource> client_;
  std::unique_ptr<ModelFileSource> files_;
};

TEST_F(WeightsServiceTest, BundleComesWholeOrFromAnOffset) {
  std::vector<uint8_t> whole, rest;
  EXPECT_TRUE(Fetch(token_, "sha256:model", {Sha256Of(bundle_), 0}, &whole).ok());
  EXPECT_EQ(whole, bundle_);
  EXPECT_TRUE(Fetch(token_, "sha256:model", {Sha256Of(bundle_), bundle_.size() - 5}, &rest).ok());
  EXPECT_EQ(rest, std::vector<uint8_t>(bundle_.end() - 5, bundle_.end()));
}

TEST_F(WeightsServiceTest, FetchesThatMayNotBeAreRefused) {
  SessionToken guessed = token_;
  guessed[5] ^= 1;
  const Sha256Digest sha256 = Sha256Of(bundle_);
  EXPECT_EQ(Fetch(guessed, "sha256:model", {sha256, 0}).code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(Fetch(token_, "sha256:other", {sha256, 0}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Fetch(token_, "sha256:model", {{}, 0}).code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(Fetch(token_, "sha256:model", {sha256, bundle_.size() + 1}).code(),
            absl::StatusCode::kOutOfRange);
  EXPECT_EQ(Fetch(token_, "sha256:model", {sha256, ~uint64_t{0}}).code(), absl::StatusCode::kOutOfRange);
}

TEST_F(WeightsServiceTest, FilesOfModelsComeWholeOrFromAnOffset) {
  EXPECT_TRUE(files_->List(token_)->empty());
  AddModel();
  const auto models = files_->List(token_);
  ASSERT_EQ(models->size(), 1u);
  EXPECT_EQ(models->front().path, "/theirs/m.gguf");
  EXPECT_EQ(models->front().digest, kDigest);
  EXPECT_EQ(models->front().files.at(0).name, "copy.gguf");
  EXPECT_EQ(models->front().files.at(0).bytes, content_.size());
  const std::string whole(content_.begin(), content_.end());
  EXPECT_EQ(FetchFile(token_, kDigest, "copy.gguf", 0).value(), whole);
  EXPECT_EQ(FetchFile(token_, kDigest, "copy.gguf", whole.size() - 3).value(),
            whole.substr(whole.size() - 3));
  EXPECT_EQ(FetchFile(token_, kDigest, "copy.gguf", whole.size()).value(), "");
}

TEST_F(WeightsServiceTest, FilesThatMayNotBeFetchedAreRefused) {
  AddModel();
  SessionToken guessed = token_;
  guessed[5] ^= 1;
  EXPECT_TRUE(absl::IsPermissionDenied(files_->List(guessed).status()));
  EXPECT_TRUE(absl::IsPermissionDenied(FetchFile(guessed, kDigest, "copy.gguf", 0).status()));
  EXPECT_TRUE(absl::IsNotFound(FetchFile(token_, "sha256:model", "copy.gguf", 0).status()));
  EXPECT_TRUE(absl::IsNotFound(FetchFile(token_, kDigest, "/etc/passwd", 0).status()));
  EXPECT_TRUE(absl::IsOutOfRange(FetchFile(token_, kDigest, "copy.gguf", content_.size() + 1).status()));
  EXPECT_TRUE(absl::IsOutOfRange(FetchFile(token_, kDigest, "copy.gguf", ~uint64_t{0}).status()));
}

TEST_F(WeightsServiceTest, ErrorOfTheReceiverEndsTheFetch) {
  const absl::Status status = client_->FetchBundles(
      token_, "sha256:model", {{Sha256Of(bundle_), 0}},
      [](size_t, uint64_t, absl::Span<const uint8_t>) { return absl::DataLossError("full"); });
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
}

TEST_F(WeightsServiceTest, ShutDownClientFetchesNothing) {
  client_->Shutdown();
  EXPECT_EQ(Fetch(token_, "sha256:model", {Sha256Of(bundle_), 0}).code(), absl::StatusCode::kCancelled);
}

TEST_F(WeightsServiceTest, SeveralBundlesComeInTheOrderAsked) {
  std::vector<size_t> ranges;
  const BundleSource::Range whole{Sha256Of(bundle_), 0}, end{Sha256Of(bundle_), bundle_.size()};
  ASSERT_TRUE(client_
                  ->FetchBundles(token_, "sha256:model", {whole, end, whole},
                                 [&](size_t range, uint64_t, absl::Span<const uint8_t>) {
                                   if (ranges.empty() || ranges.back() != range) ranges.push_back(range);
                                   return absl::OkStatus();
                                 })
                  .ok());
  EXPECT_EQ(ranges, (std::vector<size_t>{0, 2}));  // the second is at its end
}

}  // namespace
}  // namespace hearth
