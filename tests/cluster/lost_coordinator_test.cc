// The coordinator dies in the middle of streams, and comes back: clients see a pause and no more.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <functional>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

// What a client has of its answer, and how long it waited at most for more of it.
struct Answer {
  std::vector<int> tokens;
  std::string text;
  int starts = 0;
  absl::Duration longest_pause;
  absl::Status status;
};

enum class In { kPrompt, kGeneration };

class LostCoordinator : public ::testing::Test {
 protected:
  // Slow enough that there is a middle.
  static constexpr char kDevice[] = "cpu,bandwidth=10M,pace=200M";
  static constexpr absl::Duration kLongestPause = absl::Seconds(30);  // sanitizers included
  using OnEvent = std::function<void(const v1::GenerateResponse&)>;

  LostCoordinator() {
    StartCoordinator("127.0.0.1:0");
    address_ = coordinator_->address();
    client_ = std::make_unique<Client>(address_);
    worker_ = std::make_unique<DaemonProcess>(
        folder_.path(), "worker", std::vector<std::string>{"--join", address_, "--device", kDevice});
    EXPECT_TRUE(AwaitCluster(*client_, [](const auto& status) { return HostHasShare(status, "worker"); }));
  }

  void StartCoordinator(const std::string& listen) {
    coordinator_ = std::make_unique<DaemonProcess>(
        folder_.path(), "coordinator",
        std::vector<std::string>{"--model", kSparseModel, "--context", "512", "--slots", "8",
                                 "--use-every-host", "--device", kDevice, "--listen", listen});
  }
  // kill -9, and started again.
  void Restart() {
    coordinator_->Kill();
    const absl::Time gone = absl::Now();
    StartCoordinator(address_);
    std::printf("the coordinator was away for %s\n",
                absl::FormatDuration(absl::Trunc(absl::Now() - gone, absl::Milliseconds(1))).c_str());
  }

  // Each stream draws by a seed of its own.
  static v1::GenerateRequest Request(int stream, In in) {
    std::string prompt;
    for (int i = 0; i < (in == In::kPrompt ? 80 : 1); ++i) absl::StrAppend(&prompt, "And it came to pass ");
    v1::GenerateRequest request = GreedyRequest(prompt, in == In::kPrompt ? 40 : 160);
    request.mutable_sampling()->set_temperature(1);
    request.mutable_sampling()->set_seed(static_cast<uint64_t>(stream));
    return request;
  }

  // `on_event` is called with each event.
  Answer Read(const v1::GenerateRequest& request, const OnEvent& on_event) {
    Client client(address_);
    Answer answer;
    const auto stream = client.StartGenerate(request);
    absl::Time last = absl::Now();
    while (const auto event = stream->Next()) {
      const absl::Time now = absl::Now();
      answer.longest_pause = std::max(answer.longest_pause, now - std::exchange(last, now));
      answer.starts += event->has_started();
      answer.text += event->delta().text();
      answer.tokens.insert(answer.tokens.end(), event->delta().tokens().begin(),
                           event->delta().tokens().end());
      on_event(*event);
    }
    answer.status = stream->Finish();
    return answer;
  }

  // So many streams at once. `meanwhile` is called once all have come to the place where it is to happen.
  std::vector<Answer> ReadAll(int streams, In in, const std::function<void()>& meanwhile) {
    std::vector<Answer> answers(static_cast<size_t>(streams));
    std::latch there(streams);
    std::vector<std::thread> readers;
    for (int i = 0; i < streams; ++i) {
      readers.emplace_back([&, i] {
        bool counted = false;
        answers[static_cast<size_t>(i)] = Read(Request(i, in), [&](const v1::GenerateResponse& event) {
          const bool reached = in == In::kPrompt ? event.has_started() : event.delta().offset() >= 40;
          if (reached && !std::exchange(counted, true)) there.count_down();
        });
        if (!counted) there.count_down();
      });
    }
    there.wait();
    meanwhile();
    for (std::thread& reader : readers) reader.join();
    return answers;
  }

  void CompareWithAnUnbrokenRun(int streams, In in) {
    const std::vector<Answer> unbroken = ReadAll(streams, in, [] {});
    const std::vector<Answer> answers = ReadAll(streams, in, [this] { Restart(); });
    absl::Duration pause;
    for (size_t i = 0; i < answers.size(); ++i) {
      EXPECT_TRUE(answers[i].status.ok()) << answers[i].status;
      EXPECT_EQ(answers[i].starts, 1);
      EXPECT_EQ(answers[i].tokens.size(), in == In::kPrompt ? 40u : 160u);
      EXPECT_EQ(answers[i].tokens, unbroken[i].tokens) << "stream " << i;
      EXPECT_EQ(answers[i].text, unbroken[i].text) << "stream " << i;
      pause = std::max(pause, answers[i].longest_pause);
    }
    std::printf("%d streams, coordinator killed in %s: longest pause %s\n", streams,
                in == In::kPrompt ? "prompt" : "generation",
                absl::FormatDuration(absl::Trunc(pause, absl::Milliseconds(1))).c_str());
    EXPECT_LT(pause, kLongestPause);
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
  const v1::GenerateRequest request = Request(1, In::kGeneration);
  const Answer unbroken = Read(request, [](const auto&) {});
  bool restarted = false;
  const Answer answer = Read(request, [&](const v1::GenerateResponse& event) {
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
