// Hosts that may lead share their state in etcd: the coordinator dies and stays away, another one leads.
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"
#include "tests/cluster/streams.h"
#include "tests/daemon/etcd/etcd_process.h"

namespace hearth {
namespace {

class HostsThatMayLead : public ::testing::Test {
 protected:
  // Of the memory of one machine each has a part.
  static constexpr char kDevice[] = "cpu,memory=1GiB,bandwidth=10M,pace=600M";
  // Without a token: until another host leads (5 s), and then until the context is read again.
  static constexpr absl::Duration kLongestPause = absl::Seconds(9);

  void SetUp() override {
    HEARTH_SKIP_WITHOUT_ETCD();
    etcd_ = std::make_unique<EtcdProcesses>(members());
    std::ofstream(secret()) << std::string(64, 'a');
    chmod(secret().c_str(), 0600);
  }
  virtual size_t members() const { return 1; }  // of etcd

  std::string secret() const { return folder_.path() + "/secret"; }
  std::unique_ptr<DaemonProcess> Candidate(const std::string& name, const std::string& listen = "127.0.0.1:0",
                                           const std::vector<std::string>& more = {}) {
    std::vector<std::string> arguments = {"--model",
                                          kSparseModel,
                                          "--context",
                                          "512",
                                          "--slots",
                                          "8",
                                          "--use-every-host",
                                          "--device",
                                          kDevice,
                                          "--listen",
                                          listen,
                                          "--state-store",
                                          etcd_->address(),
                                          "--state-store-secret",
                                          secret()};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<DaemonProcess>(folder_.path(), name, arguments);
  }
  bool Await(const std::function<bool(const v1::ClusterStatus&)>& condition) {
    return AwaitAnyOf(servers_, condition);
  }
  // Whether `host` leads and the worker has a share of its plan.
  bool LeadsWithWorker(const std::string& host) {
    return Await([&](const auto& status) { return Leads(status, host) && HostHasShare(status, "worker"); });
  }

  void CompareWithAnUnbrokenRun(int streams, In in) {
    const std::vector<Answer> unbroken = ReadAnswers(servers_, streams, in, [] {});
    const std::vector<Answer> answers = ReadAnswers(servers_, streams, in, [this] { a_->Kill(); });
    EXPECT_LT(CompareAnswers(answers, unbroken, in), kLongestPause);
    EXPECT_TRUE(LeadsWithWorker("b"));
  }

  // Waits until the worker has kept that it may find a coordinator at `address`.
  bool WorkerIsTold(const std::string& address) const {
    const absl::Time end = absl::Now() + kPatience;
    for (; absl::Now() < end; absl::SleepFor(absl::Milliseconds(20))) {
      std::ifstream file(folder_.path() + "/worker/coordinators");
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      if (absl::StrContains(text, "\n" + address + "\n")) return true;
    }
    return false;
  }
  std::unique_ptr<DaemonProcess> WorkerOf(const std::string& join) const {
    return std::make_unique<DaemonProcess>(folder_.path(), "worker",
                                           std::vector<std::string>{"--join", join, "--device", kDevice});
  }

  TemporaryFolder folder_;
  std::unique_ptr<EtcdProcesses> etcd_;
  std::unique_ptr<DaemonProcess> a_, b_, worker_;
  std::string servers_;
};

// Two of them and a worker; a leads.
class ElectedCoordinator : public HostsThatMayLead {
 protected:
  void SetUp() override {
    HostsThatMayLead::SetUp();
    if (IsSkipped()) return;
    a_ = Candidate("a");
    b_ = Candidate("b");
    servers_ = absl::StrCat(a_->address(), ",", b_->address());
    worker_ = WorkerOf(join());
    EXPECT_TRUE(Await(
        [](const auto& status) { return HostHasShare(status, "worker") && HostHasShare(status, "b"); }));
  }
  virtual std::string join() const { return servers_; }  // what the worker is given
};

// The worker is given the address of a alone.
class ElectedCoordinatorOfAWorkerWithOneAddress : public ElectedCoordinator {
 protected:
  std::string join() const override { return a_->address(); }
};

// With three members of etcd.
class ElectedByThreeMembers : public ElectedCoordinator {
 protected:
  size_t members() const override { return 3; }
};

TEST_F(ElectedCoordinator, AStreamThatGeneratesGoesOnAtTheNextOne) {
  CompareWithAnUnbrokenRun(1, In::kGeneration);
}

TEST_F(ElectedCoordinator, SeveralStreamsThatGenerateGoOnAtTheNextOne) {
  CompareWithAnUnbrokenRun(8, In::kGeneration);
}

TEST_F(ElectedCoordinator, StreamsThatReadTheirPromptGoOnAtTheNextOne) {
  CompareWithAnUnbrokenRun(8, In::kPrompt);
}

TEST_F(ElectedCoordinator, OneThatCameBackWorksAndLeadsAgainInItsTurn) {
  const v1::GenerateRequest request = StreamRequest(1, In::kGeneration);
  const Answer unbroken = ReadAnswer(servers_, request, [](const auto&) {});
  const std::string address = a_->address();
  a_->Kill();
  ASSERT_TRUE(LeadsWithWorker("b"));
  a_ = Candidate("a", address);
  EXPECT_TRUE(Await([](const auto& status) { return HostHasShare(status, "a"); }));
  EXPECT_EQ(ReadAnswer(servers_, request, [](const auto&) {}).text, unbroken.text);
  EXPECT_EQ(b_->Terminate(), 0);  // gives up its lease
  ASSERT_TRUE(LeadsWithWorker("a"));
  EXPECT_EQ(ReadAnswer(servers_, request, [](const auto&) {}).text, unbroken.text);
}

TEST_F(ElectedCoordinator, OneThatWasStoppedGivesNoTokensOnceAnotherLeads) {
  const std::vector<Answer> unbroken = ReadAnswers(servers_, 2, In::kGeneration, [] {});
  const std::vector<Answer> answers = ReadAnswers(servers_, 2, In::kGeneration, [this] {
    a_->Freeze();
    EXPECT_TRUE(Await([](const auto& status) { return Leads(status, "b"); }));
    a_->Thaw();
  });
  CompareAnswers(answers, unbroken, In::kGeneration);
  // It is a worker by now.
  EXPECT_TRUE(Await([](const auto& status) { return Leads(status, "b") && HostHasShare(status, "a"); }));
}

TEST_F(ElectedCoordinator, StreamsGoOnWhereEtcdIsAwayForAMoment) {
  const std::vector<Answer> unbroken = ReadAnswers(servers_, 1, In::kGeneration, [] {});
  const std::vector<Answer> answers = ReadAnswers(servers_, 1, In::kGeneration, [this] {
    etcd_->Freeze(0);
    absl::SleepFor(absl::Seconds(1));  // less than the lease
    etcd_->Thaw(0);
  });
  EXPECT_LT(CompareAnswers(answers, unbroken, In::kGeneration), absl::Seconds(2));
  EXPECT_TRUE(LeadsWithWorker("a"));
}

TEST_F(ElectedByThreeMembers, StreamsGoOnThoughOneOfThemDiedAsWell) {
  const std::vector<Answer> unbroken = ReadAnswers(servers_, 2, In::kGeneration, [] {});
  const std::vector<Answer> answers = ReadAnswers(servers_, 2, In::kGeneration, [this] {
    etcd_->Kill(0);
    a_->Kill();
  });
  EXPECT_LT(CompareAnswers(answers, unbroken, In::kGeneration), kLongestPause);
  EXPECT_TRUE(LeadsWithWorker("b"));
}

TEST_F(HostsThatMayLead, WhereAllIsEncryptedAnotherOneLeadsAsWell) {
  for (std::unique_ptr<DaemonProcess>* host : {&a_, &b_, &worker_}) {
    *host = Candidate(host == &a_   ? "a"
                      : host == &b_ ? "b"
                                    : "worker",
                      "127.0.0.1:0", {"--lan", "127.0.0.1:0"});
  }
  servers_ = absl::StrCat(a_->address(), ",", b_->address(), ",", worker_->address());
  EXPECT_TRUE(
      Await([](const auto& status) { return HostHasShare(status, "worker") && HostHasShare(status, "b"); }));
  const std::vector<Answer> unbroken = ReadAnswers(servers_, 1, In::kGeneration, [] {});
  const std::vector<Answer> answers = ReadAnswers(servers_, 1, In::kGeneration, [this] { a_->Kill(); });
  EXPECT_LT(CompareAnswers(answers, unbroken, In::kGeneration), kLongestPause);
  EXPECT_TRUE(
      Await([](const auto& status) { return HostHasShare(status, "worker") && HostHasShare(status, "b"); }));
}

TEST_F(ElectedCoordinatorOfAWorkerWithOneAddress, ItFollowsToTheNextOneAndStartsThere) {
  const std::string a = a_->address();
  ASSERT_TRUE(WorkerIsTold(b_->address()));
  CompareWithAnUnbrokenRun(2, In::kGeneration);
  // Nobody is at the address that it is given.
  worker_->Kill();
  worker_ = WorkerOf(a);
  EXPECT_TRUE(LeadsWithWorker("b"));
}

TEST_F(HostsThatMayLead, AHostThatJoinedByACodeFollowsToTheNextOne) {
  // Of this machine's loopback, for this process alone.
  const auto lan = [](int host) {
    const pid_t pid = getpid();
    return absl::StrCat("127.", host, ".", pid / 256 % 256, ".", pid % 256, ":7771");
  };
  a_ = Candidate("a", "127.0.0.1:0", {"--lan", lan(1)});
  b_ = Candidate("b", "127.0.0.1:0", {"--lan", lan(2)});
  servers_ = absl::StrCat(a_->address(), ",", b_->address());
  const auto invitation = Client(a_->address()).Invite({});
  ASSERT_TRUE(invitation.ok()) << invitation.status();
  worker_ = WorkerOf(invitation->code());
  EXPECT_TRUE(LeadsWithWorker("a"));
  ASSERT_TRUE(WorkerIsTold(lan(2)));
  CompareWithAnUnbrokenRun(1, In::kGeneration);
}

TEST_F(ElectedCoordinator, AHostWithAnotherSecretEndsWithAWord) {
  const std::string other = folder_.path() + "/other";
  std::ofstream(other) << std::string(64, 'b');
  chmod(other.c_str(), 0600);
  const Ended ended =
      RunToItsEnd(folder_.path() + "/c",
                  absl::StrCat("--name c --state-store ", etcd_->address(), " --state-store-secret ", other));
  EXPECT_EQ(ended.code, 1);
  EXPECT_TRUE(absl::StrContains(ended.errors, "another --state-store-secret")) << ended.errors;
}

}  // namespace
}  // namespace hearth
