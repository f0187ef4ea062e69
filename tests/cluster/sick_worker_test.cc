// A worker that hangs, cannot write to its disk or cannot be heard is noticed, named and left out, and is
// used again once it is well.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"
#include "tests/cluster/relay.h"
#include "tests/support/sanitizers.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// Within which a sickness is noticed, and its end. A busy machine has a few tries.
#if HEARTH_SANITIZED
constexpr absl::Duration kSoon = absl::Seconds(60);
#else
constexpr absl::Duration kSoon = absl::Seconds(3);
#endif
constexpr int kTries = 4;

#ifdef STOPPED_CLOCK
const std::vector<std::string> kWorkerEnvironment = {"LD_PRELOAD=" STOPPED_CLOCK};
#else
const std::vector<std::string> kWorkerEnvironment = {};
#endif

class SickWorker : public ::testing::Test {
 protected:
  SickWorker() {
    EXPECT_TRUE(AwaitCluster(client_, [](const auto& status) {
      return status.hosts_size() == 2 && status.hosts(1).state() == v1::HOST_STATE_ALIVE;
    }));
  }

  void LoadModel() {
    v1::LoadModelRequest load;
    load.set_path(kSparseModel);
    EXPECT_TRUE(client_.LoadModel(load, [](const auto&) {}).ok());
  }

  // How long the cluster takes to get there.
  absl::Duration Await(const std::function<bool(const v1::ClusterStatus&)>& condition) {
    const absl::Time start = absl::Now();
    EXPECT_TRUE(AwaitCluster(client_, condition));
    return absl::Now() - start;
  }
  void ExpectGenerates() {
    EXPECT_EQ(GenerateTokens(client_, GreedyRequest("And God said", 20)).size(), 20u);
  }
  // Until the worker is found lost, by name and with a reason, and the coordinator goes on alone.
  absl::Duration AwaitLost() {
    return Await([](const auto& status) {
      const v1::HostStatus& worker = status.hosts(1);
      return worker.name() == "worker" && worker.state() == v1::HOST_STATE_LOST && !worker.detail().empty() &&
             OnlyCoordinatorHasShare(status, "coordinator");
    });
  }
  absl::Duration AwaitUsed() {
    return Await([](const auto& status) { return HostHasShare(status, "worker"); });
  }
  // That it is noticed within kSoon when the worker falls sick, and within kSoon that it is well again.
  void ExpectSoonLostAndUsedAgain(const std::function<void()>& sicken, const std::function<void()>& heal) {
    absl::Duration lost = absl::InfiniteDuration(), used = absl::InfiniteDuration();
    for (int i = 0; i < kTries && std::max(lost, used) > kSoon && !HasFailure(); ++i) {
      sicken();
      lost = std::min(lost, AwaitLost());
      ExpectGenerates();
      heal();
      used = std::min(used, AwaitUsed());
      ExpectGenerates();
    }
    EXPECT_LE(lost, kSoon);
    EXPECT_LE(used, kSoon);
    std::printf("lost after %.2f s, used again after %.2f s\n", absl::ToDoubleSeconds(lost),
                absl::ToDoubleSeconds(used));
  }

  TemporaryFolder folder_;
  DaemonProcess coordinator_{
      folder_.path(), "coordinator", {"--context", "512", "--use-every-host", "--device", "cpu,memory=1GiB"}};
  Relay wire_{coordinator_.address()};
  DaemonProcess worker_{folder_.path(),
                        "worker",
                        {"--join", wire_.address(), "--device", "cpu,memory=1GiB"},
                        kWorkerEnvironment};
  Client client_{coordinator_.address()};
};

TEST_F(SickWorker, ThatHangsIsLeftOutAndTakenBackWhenItGoesOn) {
  LoadModel();
  AwaitUsed();
  ExpectSoonLostAndUsedAgain([&] { worker_.Freeze(); }, [&] { worker_.Thaw(); });
}

TEST_F(SickWorker, ThatCannotBeHeardIsLeftOutAndTakenBackWhenItCan) {
  LoadModel();
  AwaitUsed();
  ExpectSoonLostAndUsedAgain([&] { wire_.SetSilent(true); }, [&] { wire_.SetSilent(false); });
}

#ifdef STOPPED_CLOCK
TEST_F(SickWorker, WhoseClockStandsStillIsLeftOutAndTakenBackWhenItGoesOn) {
  LoadModel();
  AwaitUsed();
  const auto toggle = [&] { kill(worker_.pid(), SIGUSR2); };
  ExpectSoonLostAndUsedAgain(toggle, toggle);
}
#endif

TEST_F(SickWorker, ThatCannotWriteToItsDiskIsLeftOutAndTakenBackWhenItCan) {
  // A file where bundles arrive: writes fail, also for root.
  const std::string partial = folder_.path() + "/worker/cache/partial";
  std::filesystem::rename(partial, partial + ".away");
  std::ofstream(partial) << "in the way";
  const absl::Time start = absl::Now();
  LoadModel();
  const absl::Duration left_out = absl::Now() - start;
  EXPECT_LE(left_out, kSoon);
  const auto status = client_.GetCluster();
  ASSERT_TRUE(status.ok()) << status.status();
  EXPECT_TRUE(OnlyCoordinatorHasShare(*status, "coordinator"));
  EXPECT_THAT(status->hosts(1).detail(), HasSubstr("cannot write"));

  std::filesystem::remove(partial);
  std::filesystem::rename(partial + ".away", partial);
  const absl::Duration used = AwaitUsed();
  EXPECT_LE(used, kSoon);
  ExpectGenerates();
  std::printf("left out after %.2f s, used after %.2f s\n", absl::ToDoubleSeconds(left_out),
              absl::ToDoubleSeconds(used));
}

}  // namespace
}  // namespace hearth
