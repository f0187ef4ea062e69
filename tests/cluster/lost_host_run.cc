// A worker is lost while text is written, in every way that matters: no stream ends, every text is that of an
// unbroken run, and the worker is used again once it is back. Each cell of the matrix is a test of its own.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <mutex>
#include <random>
#include <thread>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"
#include "tests/support/sanitizers.h"

namespace hearth {
namespace {

enum class Phase { kPrompt, kGeneration };
enum class Loss { kKill, kFreeze };
enum class Held { kNeurons, kHeadsToo };

struct Cell {
  Phase phase;
  int hosts;  // the coordinator among them; one of the others is lost
  int streams;
  Loss loss;
  Held held;  // by the other hosts
};

std::string NameOf(const Cell& cell) {
  return absl::StrCat(cell.phase == Phase::kPrompt ? "prompt" : "generation", "_1of", cell.hosts, "hosts_",
                      cell.streams, cell.streams == 1 ? "stream_" : "streams_",
                      cell.loss == Loss::kKill ? "kill" : "freeze",
                      cell.held == Held::kNeurons ? "_neurons" : "_heads");
}

std::vector<Cell> AllCells() {
  std::vector<Cell> cells;
  for (const Phase phase : {Phase::kPrompt, Phase::kGeneration}) {
    for (const int hosts : {2, 3}) {
      for (const int streams : {1, 4}) {
        for (const Loss loss : {Loss::kKill, Loss::kFreeze}) {
          for (const Held held : {Held::kNeurons, Held::kHeadsToo}) {
            cells.push_back({phase, hosts, streams, loss, held});
          }
        }
      }
    }
  }
  return cells;
}

// How much longer than in an unbroken run a stream may wait for a token.
#if HEARTH_SANITIZED
constexpr absl::Duration kLongestPause = absl::Seconds(30);
#else
constexpr absl::Duration kLongestPause = absl::Seconds(5);
#endif
// What each of the daemons, which share a machine, offers of it.
constexpr char kOffer[] = "cpu,memory=1GiB";
// A loss has to hit its phase: a stream may be through with it before the signal gets there.
constexpr int kAttempts = 5;

// What stream number `stream` asks for: a long prompt and a short text or the other way round, not greedy, so
// that a step that changed a sampler's state would show.
v1::GenerateRequest RequestOf(const Cell& cell, int stream) {
  const bool long_prompt = cell.phase == Phase::kPrompt;
  v1::GenerateRequest request;
  for (int i = 0; i < (long_prompt ? 440 : 8); ++i) {
    request.mutable_tokens()->add_ids(20 + (7 * i + 31 * stream) % 200);
  }
  request.set_max_tokens(long_prompt ? 20 : 200);
  request.set_ignore_eos(true);
  request.mutable_sampling()->set_seed(static_cast<uint64_t>(stream) + 1);
  return request;
}

// A stream, read by a thread of its own.
class Reader {
 public:
  Reader(Client& client, const v1::GenerateRequest& request)
      : stream_(client.StartGenerate(request)), thread_([this] { Read(); }) {}
  ~Reader() { thread_.join(); }

  // Waits until it has started, and has so many tokens, or has ended.
  void Await(size_t tokens) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_ || (started_ && tokens_.size() >= tokens); });
  }
  void AwaitEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_; });
  }
  size_t token_count() {
    std::lock_guard lock(mutex_);
    return tokens_.size();
  }
  bool ended() {
    std::lock_guard lock(mutex_);
    return ended_;
  }

  // To be read after AwaitEnd.
  const absl::Status& status() const { return status_; }
  const std::vector<int>& tokens() const { return tokens_; }
  absl::Duration longest_pause() const { return longest_pause_; }

 private:
  void Read() {
    absl::Time last = absl::Now();
    while (const auto event = stream_->Next()) {
      std::lock_guard lock(mutex_);
      started_ = true;
      tokens_.insert(tokens_.end(), event->delta().tokens().begin(), event->delta().tokens().end());
      longest_pause_ = std::max(longest_pause_, absl::Now() - last);
      last = absl::Now();
      changed_.notify_all();
    }
    const absl::Status status = stream_->Finish();
    std::lock_guard lock(mutex_);
    status_ = status;
    ended_ = true;
    changed_.notify_all();
  }

  const std::unique_ptr<GenerationStream> stream_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool started_ = false;
  bool ended_ = false;
  std::vector<int> tokens_;
  absl::Duration longest_pause_;
  absl::Status status_;
  std::thread thread_;  // last: starts when all else is there
};

class LostHost : public ::testing::Test {
 public:
  explicit LostHost(Cell cell)
      : cell_(cell),
        coordinator_(folder_.path(), "coordinator", Arguments(cell)),
        client_(coordinator_.address()) {
    for (int i = 1; i < cell.hosts; ++i) workers_.push_back(StartWorker(i));
  }

 protected:
  void TestBody() override {
    AwaitShareOf("worker1");
    AwaitShareOf(absl::StrCat("worker", cell_.hosts - 1));
    const Readers readers = StartStreams();
    unbroken_pause_ = AwaitEnds(readers);
    for (int i = 0; i < cell_.streams; ++i) {
      expected_.push_back(readers[i]->tokens());
      ASSERT_EQ(expected_.back().size(), RequestOf(cell_, i).max_tokens());
    }
    for (int attempt = 0; attempt < kAttempts && !HasFailure(); ++attempt) {
      const bool hit = LoseHostWhileStreaming();
      BringBack();
      if (hit) return;
    }
    FAIL() << "the host was never lost in time";
  }

 private:
  static std::vector<std::string> Arguments(const Cell& cell) {
    std::vector<std::string> arguments = {"--model", kSparseModel,       "--context", "512", "--slots",
                                          "4",       "--use-every-host", "--device",  kOffer};
    if (cell.held == Held::kNeurons) arguments.push_back("--keep-attention");
    return arguments;
  }

  using Readers = std::vector<std::unique_ptr<Reader>>;

  std::unique_ptr<DaemonProcess> StartWorker(int number) const {
    return std::make_unique<DaemonProcess>(
        folder_.path(), absl::StrCat("worker", number),
        std::vector<std::string>{"--join", coordinator_.address(), "--device", kOffer});
  }

  void AwaitShareOf(const std::string& host) {
    EXPECT_TRUE(AwaitCluster(client_, [&](const auto& status) { return HostHasShare(status, host); }));
  }

  Readers StartStreams() {
    Readers readers;
    for (int i = 0; i < cell_.streams; ++i) {
      readers.push_back(std::make_unique<Reader>(client_, RequestOf(cell_, i)));
    }
    return readers;
  }

  // The longest time that one of them had to wait for its next token.
  static absl::Duration AwaitEnds(const Readers& readers) {
    absl::Duration longest_pause;
    for (const auto& reader : readers) {
      reader->AwaitEnd();
      EXPECT_TRUE(reader->status().ok()) << reader->status();
      longest_pause = std::max(longest_pause, reader->longest_pause());
    }
    return longest_pause;
  }

  // False when the loss missed its phase.
  bool LoseHostWhileStreaming() {
    const Readers readers = StartStreams();
    for (const auto& reader : readers) reader->Await(cell_.phase == Phase::kPrompt ? 0 : 5);
    Lose(*workers_.front());
    size_t most_tokens = 0;
    bool reads = false;  // a prompt; streams whose prompts came first generate beside it
    bool all_go_on = true;
    for (const auto& reader : readers) {
      most_tokens = std::max(most_tokens, reader->token_count());
      reads |= reader->token_count() == 0;
      all_go_on &= !reader->ended();
    }
    const bool hit = cell_.phase == Phase::kPrompt ? reads : all_go_on;
    const absl::Duration pause = AwaitEnds(readers);
    for (int i = 0; i < cell_.streams; ++i) EXPECT_EQ(readers[i]->tokens(), expected_[i]) << "stream " << i;
    EXPECT_LE(pause, unbroken_pause_ + kLongestPause);
    std::printf("%s: lost after %zu tokens%s, longest time without a token %.2f s, unbroken %.2f s\n",
                NameOf(cell_).c_str(), most_tokens, hit ? "" : " (missed)", absl::ToDoubleSeconds(pause),
                absl::ToDoubleSeconds(unbroken_pause_));
    std::fflush(stdout);
    return hit;
  }

  void Lose(DaemonProcess& worker) const {
    if (cell_.loss == Loss::kKill) {
      worker.Kill();
    } else {
      worker.Freeze();
    }
  }

  // The worker comes back, has a share again and computes.
  void BringBack() {
    if (cell_.loss == Loss::kKill) {
      workers_.front() = StartWorker(1);
    } else {
      workers_.front()->Thaw();
    }
    AwaitShareOf("worker1");
    EXPECT_EQ(GenerateTokens(client_, RequestOf(cell_, 0)), expected_[0]);
    EXPECT_TRUE(AwaitCluster(client_, [](const auto& status) { return HostComputes(status, "worker1"); }));
  }

  const Cell cell_;
  const TemporaryFolder folder_;
  DaemonProcess coordinator_;
  Client client_;
  std::vector<std::unique_ptr<DaemonProcess>> workers_;
  std::vector<std::vector<int>> expected_;  // by stream, of an unbroken run
  absl::Duration unbroken_pause_;           // a prompt's reading counts
};

int Main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  CLI::App app("Loses a worker in the middle of streams.");
  bool all = false;
  size_t count = 12;
  int rounds = 1;
  uint32_t seed = std::random_device()();
  app.add_flag("--all", all, "Run all cells of the matrix");
  app.add_option("--cells", count, "How many cells to draw")->capture_default_str();
  app.add_option("--seed", seed, "What to draw them with; default: random");
  app.add_option("--rounds", rounds, "How often to run them")->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  std::vector<Cell> cells = AllCells();
  if (!all) {
    std::printf("cells drawn with --seed %u\n", seed);
    std::shuffle(cells.begin(), cells.end(), std::mt19937(seed));
    cells.resize(std::min(count, cells.size()));
  }
  for (int round = 0; round < rounds; ++round) {
    for (const Cell& cell : cells) {
      const std::string name = absl::StrCat(NameOf(cell), rounds > 1 ? absl::StrCat("_", round) : "");
      ::testing::RegisterTest("LostHost", name.c_str(), nullptr, nullptr, __FILE__, __LINE__,
                              [cell]() -> LostHost* { return new LostHost(cell); });
    }
  }
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::Main(argc, argv); }
