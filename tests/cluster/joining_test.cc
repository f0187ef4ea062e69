// Who may join whom, and what both see of a peer that falls silent.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/identity/home.h"
#include "proto/certificates.h"
#include "tests/cluster/daemon_process.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

class Joining : public ::testing::Test {
 protected:
  // Whether the worker is in the cluster.
  bool AwaitWorker() {
    return AwaitCluster(client_, [](const v1::ClusterStatus& status) {
      return status.hosts_size() == 2 && status.hosts(1).state() == v1::HOST_STATE_ALIVE;
    });
  }

  TemporaryFolder folder_;
  DaemonProcess coordinator_{folder_.path(), "a", {"--device", "cpu,memory=1GiB,threads=1,bandwidth=10G"}};
  DaemonProcess worker_{
      folder_.path(),
      "b",
      {"--join", coordinator_.address(), "--device", "cpu,memory=1GiB,threads=1,bandwidth=10G"}};
  Client client_{coordinator_.address()};
};

TEST_F(Joining, HostWithANameThatIsTakenEndsWithTheReason) {
  ASSERT_TRUE(AwaitWorker());
  for (const char* name : {"a", "b"}) {
    const Ended ended =
        RunToItsEnd(folder_.path() + "/c", absl::StrCat("--name ", name, " --join ", coordinator_.address()));
    EXPECT_EQ(ended.code, 1);
    EXPECT_THAT(ended.errors, HasSubstr("another --name"));
    EXPECT_EQ(std::count(ended.errors.begin(), ended.errors.end(), '\n'), 1) << ended.errors;
  }
}

TEST_F(Joining, HostWithACopiedStateDirectoryEndsWithTheReason) {
  ASSERT_TRUE(AwaitWorker());
  std::filesystem::copy(folder_.path() + "/b", folder_.path() + "/copy",
                        std::filesystem::copy_options::recursive);
  const Ended ended =
      RunToItsEnd(folder_.path() + "/copy", absl::StrCat("--name c --join ", coordinator_.address()));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.errors, HasSubstr("a copy of that of host b"));
}

TEST_F(Joining, HostThatJoinsAWorkerEndsAndIsToldWhomToJoin) {
  const Ended ended = RunToItsEnd(folder_.path() + "/c", absl::StrCat("--name c --join ", worker_.address()));
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.errors, HasSubstr(absl::StrCat("join ", coordinator_.address(), " instead")));
}

TEST_F(Joining, StrangerThatIsCalledLikeALostHostDoesNotLockItOut) {
  ASSERT_TRUE(AwaitWorker());
  worker_.Kill();
  ASSERT_TRUE(AwaitCluster(client_, [](const v1::ClusterStatus& status) {
    return status.hosts_size() == 2 && status.hosts(1).state() == v1::HOST_STATE_LOST;
  }));
  const std::vector<std::string> join = {"--join", coordinator_.address(), "--device",
                                         "cpu,memory=1GiB,threads=1,bandwidth=10G"};
  const DaemonProcess stranger(folder_.path() + "/elsewhere", "b", join);
  const DaemonProcess again(folder_.path(), "b", join);
  EXPECT_TRUE(AwaitCluster(client_, [](const v1::ClusterStatus& status) {
    const auto alive = std::count_if(status.hosts().begin(), status.hosts().end(),
                                     [](const auto& host) { return host.state() == v1::HOST_STATE_ALIVE; });
    return alive == 3 && status.hosts(1).name() == "b" && absl::StartsWith(status.hosts(2).name(), "b-");
  }));
}

TEST_F(Joining, KilledWorkerThatStartsAgainTakesItsPlaceAtOnce) {
  ASSERT_TRUE(AwaitWorker());
  worker_.Kill();
  const DaemonProcess again(
      folder_.path(), "b",
      {"--join", coordinator_.address(), "--device", "cpu,memory=1GiB,threads=1,bandwidth=10G"});
  EXPECT_TRUE(AwaitWorker());
}

TEST_F(Joining, FrozenCoordinatorHangsNobodyAndIsFoundAgain) {
  ASSERT_TRUE(AwaitWorker());
  Client through_worker(worker_.address());
  ASSERT_TRUE(through_worker.GetCluster().ok());
  coordinator_.Freeze();
  for (Client* client : {&client_, &through_worker}) {
    const absl::Time start = absl::Now();
    EXPECT_EQ(client->GetCluster().status().code(), absl::StatusCode::kUnavailable);
    EXPECT_LT(absl::Now() - start, absl::Seconds(20));
  }
  coordinator_.Thaw();
  EXPECT_TRUE(AwaitWorker());
}

// A home that was founded, and joined by b, so long ago that a quarter of b's certificate's life is left.
TEST(OldHome, HostWhoseCertificateEndsSoonRenewsItWhileItTakesPart) {
  const TemporaryFolder folder;
  const absl::Time then = absl::Now() - kCertificateLife * 3 / 4;
  ConnectionKey key;
  {
    std::filesystem::create_directories(folder.path() + "/a");
    std::filesystem::create_directories(folder.path() + "/b");
    const auto home = Home::Open(folder.path() + "/a", "a", [then] { return then; }).value();
    const JoinCode code = ParseJoinCode(home->Invite({"127.0.0.1:1"}, absl::Hours(1))).value();
    key.private_key_pem = IdentityFiles::Open(folder.path() + "/b")->HostKey().value();
    key.certificate_pem =
        home->Admit(code.secret, MakeSigningRequest(key.private_key_pem, "b").value()).value();
    key.authority_pem = home->key().authority_pem;
  }
  const std::vector<std::string> device = {"--device", "cpu,memory=1GiB,threads=1,bandwidth=10G"};
  const DaemonProcess coordinator(folder.path(), "a", {"--lan", "127.0.0.1:0", device[0], device[1]});
  std::ifstream(folder.path() + "/a/identity/lan") >> key.server;
  const IdentityFiles files = IdentityFiles::Open(folder.path() + "/b").value();
  ASSERT_TRUE(files.SetJoinedHome(key).ok());
  ASSERT_LT(LifeOf(key.certificate_pem)->until, absl::Now() + kCertificateLife / 3);

  Client client(coordinator.address());
  const auto alive = [](const v1::ClusterStatus& status) {
    return status.hosts_size() == 2 && status.hosts(1).state() == v1::HOST_STATE_ALIVE;
  };
  const std::vector<std::string> join = {"--join", "home", device[0], device[1]};
  auto worker = std::make_unique<DaemonProcess>(folder.path(), "b", join);
  ASSERT_TRUE(AwaitCluster(client, alive));
  ASSERT_TRUE(AwaitCluster(client, [&](const v1::ClusterStatus&) {
    return LifeOf(files.JoinedHome().value()->certificate_pem)->until > absl::Now() + kCertificateLife / 2;
  }));
  EXPECT_TRUE(AwaitCluster(client, alive));
  worker->Kill();
  ASSERT_TRUE(AwaitCluster(client, [&](const v1::ClusterStatus& status) { return !alive(status); }));
  worker = std::make_unique<DaemonProcess>(folder.path(), "b", join);
  EXPECT_TRUE(AwaitCluster(client, alive));
}

}  // namespace
}  // namespace hearth
