// A worker dies in the middle of a stream, and comes back.
#include <gtest/gtest.h>

#include <utility>

#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

const v1::HostStatus* FindHost(const v1::ClusterStatus& status, const std::string& name) {
  for (const v1::HostStatus& host : status.hosts()) {
    if (host.name() == name) return &host;
  }
  return nullptr;
}

class LostWorker : public ::testing::Test {
 protected:
  // Devices say how fast they are: what a busy machine measures would give a host that returns another share.
  LostWorker()
      : coordinator_(folder_.path(), "coordinator",
                     {"--model", kSparseModel, "--context", "512", "--use-every-host", "--device", kDevice}),
        client_(coordinator_.address()) {
    StartWorker();
  }

  void StartWorker() {
    worker_ = std::make_unique<DaemonProcess>(
        folder_.path(), "worker",
        std::vector<std::string>{"--join", coordinator_.address(), "--device", kDevice});
    EXPECT_TRUE(AwaitCluster(client_, [](const auto& status) { return HostHasShare(status, "worker"); }));
  }

  static constexpr char kDevice[] = "cpu,bandwidth=10M";

  TemporaryFolder folder_;
  DaemonProcess coordinator_;
  Client client_;
  std::unique_ptr<DaemonProcess> worker_;
};

TEST_F(LostWorker, StreamGoesOnWithTheTextOfAnUnbrokenRun) {
  const v1::GenerateRequest request = GreedyRequest("And it came to pass", 480);
  const auto expected = GenerateTokens(client_, request);
  auto stream = client_.StartGenerate(request);
  std::vector<int> tokens;
  while (const auto event = stream->Next()) {
    if (tokens.empty() && event->has_delta()) worker_->Kill();
    tokens.insert(tokens.end(), event->delta().tokens().begin(), event->delta().tokens().end());
  }
  const absl::Status status = stream->Finish();
  EXPECT_TRUE(status.ok()) << status;
  EXPECT_EQ(tokens, expected);
  EXPECT_TRUE(AwaitCluster(client_, [](const auto& s) { return OnlyCoordinatorHasShare(s, "coordinator"); }));
  EXPECT_TRUE(coordinator_.IsRunning());
}

TEST_F(LostWorker, StoppedCleanlyItsShareMovesToTheCoordinator) {
  EXPECT_EQ(worker_->Terminate(), 0);
  EXPECT_TRUE(AwaitCluster(client_, [](const auto& s) { return OnlyCoordinatorHasShare(s, "coordinator"); }));
  EXPECT_EQ(GenerateTokens(client_, GreedyRequest("And God said", 20)).size(), 20u);
}

TEST_F(LostWorker, RestartedItTakesItsShareFromItsCacheWithoutATransfer) {
  const auto first = client_.GetCluster();
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_GT(FindHost(*first, "worker")->weights_fetched_bytes(), 0u);
  EXPECT_EQ(FindHost(*first, "worker")->groups_from_cache(), 0u);
  const auto expected = GenerateTokens(client_, GreedyRequest("And God said", 40));

  worker_->Kill();
  ASSERT_TRUE(AwaitCluster(client_, [](const auto& s) { return OnlyCoordinatorHasShare(s, "coordinator"); }));
  StartWorker();
  const auto status = client_.GetCluster();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_EQ(FindHost(*status, "worker")->weights_fetched_bytes(), 0u);
  EXPECT_GT(FindHost(*status, "worker")->groups_from_cache(), 0u);
  EXPECT_EQ(GenerateTokens(client_, GreedyRequest("And God said", 40)), expected);
}

// The model does not fit the coordinator alone.
TEST(LostWorkerThatIsNeeded, StreamEndsAfterTheWaitAndSaysWhatIsMissing) {
  TemporaryFolder folder;
  DaemonProcess coordinator(
      folder.path(), "coordinator",
      {"--context", "512", "--slots", "1", "--device", "cpu,memory=4MiB", "--replan-wait", "1"});
  DaemonProcess worker(folder.path(), "worker", {"--join", coordinator.address()});
  Client client(coordinator.address());
  ASSERT_TRUE(AwaitCluster(client, [](const auto& status) {
    const v1::HostStatus* host = FindHost(status, "worker");
    return host != nullptr && host->state() == v1::HOST_STATE_ALIVE;
  }));
  v1::LoadModelRequest load;
  load.set_path(kSparseModel);
  ASSERT_TRUE(client.LoadModel(load, [](const auto&) {}).ok());
  auto stream = client.StartGenerate(GreedyRequest("And it came to pass", 480));
  bool lost = false;
  while (const auto event = stream->Next()) {
    if (event->has_delta() && !std::exchange(lost, true)) worker.Kill();
  }
  const absl::Status status = stream->Finish();
  EXPECT_EQ(status.code(), absl::StatusCode::kUnavailable) << status;
  EXPECT_NE(status.message().find("host worker"), std::string::npos) << status;
  EXPECT_NE(status.message().find("are missing"), std::string::npos) << status;
}

}  // namespace
}  // namespace hearth
