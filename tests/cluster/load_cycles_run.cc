// Loads a model on two hosts, generates with it and unloads it, again and again: what both keep in memory is
// the same after the last cycle as after the first ones.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <limits>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

struct Flags {
  int cycles = 1000;
  int warm = 50;  // until then pools, caches and connections still grow
} flags;

// Between the cycle after which memory is compared and the last one.
constexpr double kMayGrowMib = 5;

double ResidentMib(const DaemonProcess& daemon) {
  return static_cast<double>(daemon.ResidentBytes()) / (1 << 20);
}

struct Resident {
  double coordinator_mib = std::numeric_limits<double>::max();
  double worker_mib = std::numeric_limits<double>::max();
};

class LoadCycles : public ::testing::Test {
 protected:
  // One load, some tokens on both hosts, one unload.
  void Cycle(int number) {
    v1::LoadModelRequest load;
    load.set_path(kSparseModel);
    load.set_name(absl::StrCat("model", number));
    ASSERT_TRUE(client_.LoadModel(load, [](const auto&) {}).ok());
    ASSERT_TRUE(AwaitCluster(client_, [](const auto& status) { return HostHasShare(status, "worker"); }));
    EXPECT_EQ(GenerateTokens(client_, GreedyRequest("And God said", 4)).size(), 4u);
    ASSERT_TRUE(client_.UnloadModel(load.name()).ok());
    ASSERT_TRUE(AwaitCluster(client_, [](const auto& status) { return status.plans().empty(); }));
  }

  // Carries out the cycles and gives what the daemons kept at least within a second after the last of them:
  // at first a part of the model is still being let go.
  Resident LeastOf(int first, int last) {
    for (int i = first; i <= last && !HasFailure(); ++i) Cycle(i);
    Resident least;
    for (int i = 0; i < 20; ++i) {
      absl::SleepFor(absl::Milliseconds(50));
      least.coordinator_mib = std::min(least.coordinator_mib, ResidentMib(coordinator_));
      least.worker_mib = std::min(least.worker_mib, ResidentMib(worker_));
    }
    std::printf("%5d cycles: coordinator %.1f MiB, worker %.1f MiB\n", last, least.coordinator_mib,
                least.worker_mib);
    std::fflush(stdout);
    return least;
  }

  TemporaryFolder folder_;
  DaemonProcess coordinator_{
      folder_.path(), "coordinator", {"--context", "512", "--use-every-host", "--device", "cpu,memory=1GiB"}};
  DaemonProcess worker_{
      folder_.path(), "worker", {"--join", coordinator_.address(), "--device", "cpu,memory=1GiB"}};
  Client client_{coordinator_.address()};
};

TEST_F(LoadCycles, MemoryOfBothHostsStaysFlat) {
  ASSERT_TRUE(AwaitCluster(client_, [](const auto& status) {
    return status.hosts_size() == 2 && status.hosts(1).state() == v1::HOST_STATE_ALIVE;
  }));
  const Resident first = LeastOf(1, flags.warm);
  Resident last = first;
  for (int i = flags.warm; i < flags.cycles && !HasFailure(); i += flags.warm) {
    last = LeastOf(i + 1, std::min(i + flags.warm, flags.cycles));
  }
  EXPECT_LE(last.coordinator_mib, first.coordinator_mib + kMayGrowMib);
  EXPECT_LE(last.worker_mib, first.worker_mib + kMayGrowMib);
}

int Main(int argc, char** argv) {
  ::testing::InitGoogleTest(&argc, argv);
  CLI::App app("Loads and unloads a model on two hosts again and again.");
  app.add_option("--cycles", flags.cycles, "How often")->capture_default_str();
  app.add_option("--warm", flags.warm, "Memory is compared with that after so many")
      ->capture_default_str()
      ->check(CLI::PositiveNumber);
  CLI11_PARSE(app, argc, argv);
  return RUN_ALL_TESTS();
}

}  // namespace
}  // namespace hearth

int main(int argc, char** argv) { return hearth::Main(argc, argv); }
