// The coordinator dies in the middle of streams, and comes back: clients see a pause and no more.
#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"
#include "tests/cluster/streams.h"

namespace hearth {
namespace {

class LostCoordinator : public ::testing::Test {
 protected:
  static constexpr absl::Duration kLongestPause = absl::Seconds(30);  // sanitizers included

  LostCoordinator() {
    StartCoordinator("127.0.0.1:0");
    address_ = coordinator_->address();
    client_ = std::make_unique<Client>(address_);
    worker_ = std::make_unique<DaemonProcess>(
        folder_.path(), "worker", std::vector<std::string>{"--join", address_, "--device", kSlowDevice});
    EXPECT_TRUE(AwaitCluster(*client_, [](const auto& status) { return HostHasShare(status, "worker"); }));
  }

  void StartCoordinator(const std::string& listen) {
    coordinator_ = std::make_unique<DaemonProcess>(
        folder_.path(), "coordinator",
        std::vector<std::string>{"--model", kSparseModel, "--context", "512", "--slots", "8",
                                 "--use-every-host", "--device", kSlowDevice, "--listen", listen});
  }
  // kill -9, and started again.
  void Restart() {
    coordinator_->Kill();
    const absl::Time gone = absl::Now();
    StartCoordinator(address_);
    std::printf("the coordinator was away for %s\n",
                absl::FormatDuration(absl::Trunc(absl::Now() - gone, absl::Milliseconds(1))).c_str());
  }

  void CompareWithAnUnbrokenRun(int streams, In in) {
    const std::vector<Answer> unbroken = ReadAnswers(address_, streams, in, [] {});
    const std::vector<Answer> answers = ReadAnswers(address_, streams, in, [this] { Restart(); });
    EXPECT_LT(CompareAnswers(answers, unbroken, in), kLongestPause);
    EXPECT_TRUE(AwaitCluster(*client_, [](const auto& status) { return HostHasShare(status, "worker"); }));
  }

  TemporaryFolder folder_;
  std::unique_ptr<DaemonProcess> coordinator_;
  std::string address_;
  std::unique_ptr<Client> client_;
  std::unique_ptr<DaemonProcess> worker_;
};

TEST_F(LostCoordinator, StreamsThatGenerateGoOnWithTheTextOfAnUnbrokenRun) {
  for (const int streams : {1, 8}) CompareWithAnUnbrokenRun(streams, In::kGeneration);
}

TEST_F(LostCoordinator, StreamsThatReadTheirPromptGoOnWithTheTextOfAnUnbrokenRun) {
  for (const int streams : {1, 8}) CompareWithAnUnbrokenRun(streams, In::kPrompt);
}

TEST_F(LostCoordinator, StreamsGoOnWhereTheStoreIsDamaged) {
  const v1::GenerateRequest request = StreamRequest(1, In::kGeneration);
  const Answer unbroken = ReadAnswer(address_, request, [](const auto&) {});
  bool restarted = false;
  const Answer answer = ReadAnswer(address_, request, [&](const v1::GenerateResponse& event) {
    if (event.delta().offset() < 40 || std::exchange(restarted, true)) return;
    coordinator_->Kill();
    std::ofstream(folder_.path() + "/coordinator/state.sqlite")
        << "this is no database " << std::string(9000, 'x');
    StartCoordinator(address_);
  });
  EXPECT_TRUE(answer.status.ok()) << answer.status;
  EXPECT_EQ(answer.tokens, unbroken.tokens);
  EXPECT_EQ(answer.text, unbroken.text);
}

}  // namespace
}  // namespace hearth
