// The coordinator dies and stays away; hosts share no store. A standby takes its place by one command.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "tests/cluster/daemon_process.h"
#include "tests/cluster/streams.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

// a leads, b is its standby, the worker only works.
class Standby : public ::testing::Test {
 protected:
  // Of the memory of one machine each has a part.
  static constexpr char kDevice[] = "cpu,memory=1GiB,bandwidth=10M,pace=600M";
  // Without a token: until b leads, the model is loaded there, and the context is read again.
  static constexpr absl::Duration kLongestPause = absl::Seconds(12);

  std::string Secret(char digit) const {
    const std::string path = absl::StrCat(folder_.path(), "/secret-", std::string(1, digit));
    std::ofstream(path) << std::string(64, digit);
    chmod(path.c_str(), 0600);
    return path;
  }
  std::unique_ptr<DaemonProcess> Host(const std::string& name, std::vector<std::string> more) const {
    std::vector<std::string> arguments = {"--context",        "512",      "--slots", "8",
                                          "--use-every-host", "--device", kDevice};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return std::make_unique<DaemonProcess>(folder_.path(), name, arguments);
  }
  std::unique_ptr<DaemonProcess> Coordinator(const std::vector<std::string>& more) const {
    std::vector<std::string> arguments = {"--model", kSparseModel, "--standby", Secret('a')};
    arguments.insert(arguments.end(), more.begin(), more.end());
    return Host("a", arguments);
  }
  // All in plain, on loopback.
  void Start() {
    a_ = Coordinator({});
    b_ = Host("b", {"--join", a_->address(), "--standby", Secret('a')});
    worker_ = Host("worker", {"--join", a_->address()});
    servers_ = absl::StrCat(a_->address(), ",", b_->address());
    EXPECT_TRUE(LeadsWith("a", {"b", "worker"}));
    AwaitState("b", b_->address());
  }
  // Whether `host` leads and the others have shares of its plan.
  bool LeadsWith(const std::string& host, const std::vector<std::string>& others) const {
    return AwaitAnyOf(servers_, [&](const auto& status) {
      bool met = Leads(status, host);
      for (const std::string& other : others) met = met && HostHasShare(status, other);
      return met;
    });
  }
  // Until `host` has the state of the home, and the worker has heard that it would lead at `place`.
  void AwaitState(const std::string& host, const std::string& place) const {
    const absl::Time end = absl::Now() + kPatience;
    const auto is_there = [&] {
      std::ifstream told(folder_.path() + "/worker/coordinators");
      const std::string text{std::istreambuf_iterator<char>(told), {}};
      return std::filesystem::exists(absl::StrCat(folder_.path(), "/", host, "/standby-state")) &&
             absl::StrContains(text, "\n" + place + "\n");
    };
    while (!is_there() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(20));
    ASSERT_TRUE(is_there());
  }
  static absl::Status Promote(const DaemonProcess& host, bool force = false) {
    v1::PromoteRequest request;
    request.set_force(force);
    return Client(host.address()).Promote(request).status();
  }

  void CompareWithAnUnbrokenRun(int streams) {
    const std::vector<Answer> unbroken = ReadAnswers(servers_, streams, In::kGeneration, [] {});
    const std::vector<Answer> answers = ReadAnswers(servers_, streams, In::kGeneration, [this] {
      a_->Kill();
      const absl::Status promoted = Promote(*b_);
      EXPECT_TRUE(promoted.ok()) << promoted;
    });
    EXPECT_LT(CompareAnswers(answers, unbroken, In::kGeneration), kLongestPause);
    EXPECT_TRUE(LeadsWith("b", {"worker"}));
  }

  TemporaryFolder folder_;
  std::unique_ptr<DaemonProcess> a_, b_, worker_;
  std::string servers_;
};

TEST_F(Standby, StreamsGoOnAtItAndTheFormerCoordinatorWorksForItWhenItIsBack) {
  Start();
  CompareWithAnUnbrokenRun(2);
  const std::string address = a_->address();
  a_ = Coordinator({"--listen", address});
  EXPECT_TRUE(LeadsWith("b", {"a", "worker"}));
  EXPECT_THAT(Promote(*b_).message(), HasSubstr("leads the home already"));
  // What it is outlives its own restart, whatever its settings say.
  const std::string listen = b_->address();
  b_->Kill();
  b_ = Host("b", {"--join", address, "--standby", Secret('a'), "--listen", listen});
  EXPECT_TRUE(LeadsWith("b", {"a", "worker"}));
}

TEST_F(Standby, OneThatTheFormerCoordinatorNeverKnewIsFollowedWhenThatIsBack) {
  Start();
  const std::string address = a_->address();
  a_->Kill();
  ASSERT_TRUE(Promote(*b_).ok());
  const auto c = Host("c", {"--join", b_->address(), "--standby", Secret('a')});
  absl::StrAppend(&servers_, ",", c->address());
  EXPECT_TRUE(LeadsWith("b", {"c", "worker"}));
  AwaitState("c", c->address());
  b_->Kill();
  const absl::Status promoted = Promote(*c);
  ASSERT_TRUE(promoted.ok()) << promoted;
  a_ = Coordinator({"--listen", address});  // knows b alone, which is gone
  EXPECT_TRUE(LeadsWith("c", {"a", "worker"}));
}

TEST_F(Standby, IsNotPromotedWhileTheCoordinatorLivesNorWhereNobodyCanTellUnlessByForce) {
  Start();
  for (const bool force : {false, true})
    EXPECT_THAT(Promote(*b_, force).message(), HasSubstr("a leads the home and answers"));
  EXPECT_THAT(Promote(*worker_, true).message(), HasSubstr("this host is no standby"));
  a_->Freeze();
  EXPECT_THAT(Promote(*b_).message(), HasSubstr("hearth promote --force"));
  const absl::Status promoted = Promote(*b_, true);
  EXPECT_TRUE(promoted.ok()) << promoted;
  a_->Thaw();
  EXPECT_TRUE(LeadsWith("b", {"a", "worker"}));
}

TEST_F(Standby, WithAnotherSecretHasNothingOfTheHome) {
  a_ = Coordinator({});
  b_ = Host("b", {"--join", a_->address(), "--standby", Secret('b')});
  const auto refusal = [this] { return std::string(Promote(*b_, true).message()); };
  const absl::Time end = absl::Now() + kPatience;
  while (refusal().find("another secret") == std::string::npos && absl::Now() < end)
    absl::SleepFor(absl::Milliseconds(50));
  EXPECT_THAT(refusal(), HasSubstr("give both hosts the same file"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/b/standby-state"));
  EXPECT_FALSE(std::filesystem::exists(folder_.path() + "/b/identity/authority-key.pem"));
}

TEST_F(Standby, ThatJoinedByACodeLeadsTheSameHome) {
  // Of this machine's loopback, for this process alone.
  const auto lan = [](int host) {
    const pid_t pid = getpid();
    return absl::StrCat("127.", host, ".", pid / 256 % 256, ".", pid % 256, ":7771");
  };
  a_ = Coordinator({"--lan", lan(3)});
  const auto code = [this] { return Client(a_->address()).Invite({}).value().code(); };
  b_ = Host("b", {"--join", code(), "--standby", Secret('a'), "--lan", lan(4)});
  worker_ = Host("worker", {"--join", code()});
  servers_ = absl::StrCat(a_->address(), ",", b_->address());
  EXPECT_TRUE(LeadsWith("a", {"b", "worker"}));
  AwaitState("b", lan(4));
  const std::string address = a_->address();
  a_->Kill();
  const absl::Status promoted = Promote(*b_);
  EXPECT_TRUE(promoted.ok()) << promoted;
  EXPECT_TRUE(LeadsWith("b", {"worker"}));
  a_ = Coordinator({"--listen", address, "--lan", lan(3)});
  EXPECT_TRUE(LeadsWith("b", {"a", "worker"}));
  // It has the members: who was invited by the former one can be forgotten.
  const auto members = Client(b_->address()).ListMembers();
  ASSERT_TRUE(members.ok()) << members.status();
  EXPECT_EQ(members->members_size(), 2);
}

}  // namespace
}  // namespace hearth
