// worker.proto over a real gRPC server: MembershipService and CoordinatorClient.
#include "daemon/membership/membership_service.h"

#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <condition_variable>
#include <cstdlib>
#include <mutex>

#include "absl/strings/str_cat.h"
#include "daemon/membership/coordinator_client.h"
#include "proto/hearth/v1/worker.grpc.pb.h"
#include "tests/daemon/weights/shard_fixture.h"

namespace hearth {
namespace {

using ::testing::HasSubstr;

class MembershipServiceTest : public ::testing::Test {
 protected:
  MembershipServiceTest() {
    roster_.Start(nullptr);
    service_ = MakeMembershipService(roster_);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(service_.get());
    server_ = builder.BuildAndStart();
    address_ = absl::StrCat("127.0.0.1:", port);
    client_ = CoordinatorClient::Create(address_);
  }
  ~MembershipServiceTest() override {
    roster_.Stop();
    server_->Shutdown();
  }

  static WorkerReport Report(const std::string& host, uint64_t revision = 0) {
    WorkerReport report;
    report.host = host;
    report.version = "1.0";
    report.tensor_address = "127.0.0.1:1";
    report.capacity.devices = {{"cpu", "cpu", 1000, 0, 1, 1e9, 1e9, 1}};
    report.revision = revision;
    return report;
  }

  std::unique_ptr<SyncCall> Call() {
    return client_->Synchronize([this] {
      std::lock_guard lock(mutex_);
      woken_ = true;
      changed_.notify_all();
    });
  }

  // The next answer, or the status with which the stream ended; at most a minute.
  absl::StatusOr<DesiredShards> AwaitAnswer(SyncCall& call) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (std::chrono::steady_clock::now() < deadline) {
      auto answer = call.Take();
      if (!answer.ok()) return answer.status();
      if (answer->has_value()) return **std::move(answer);
      std::unique_lock lock(mutex_);
      changed_.wait_until(lock, deadline, [this] { return woken_; });
      woken_ = false;
    }
    return absl::DeadlineExceededError("no answer");
  }

  // A worker that has joined; its token.
  SessionToken Join(SyncCall& call, const std::string& host) {
    EXPECT_TRUE(call.Send(Report(host)));
    return AwaitAnswer(call).value().token;
  }

  Roster roster_{Roster::Options{"1.0", 250, 60000, "a", {}}};
  std::string address_;
  std::unique_ptr<grpc::Service> service_;
  std::unique_ptr<grpc::Server> server_;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool woken_ = false;
  std::unique_ptr<CoordinatorClient> client_;
};

TEST_F(MembershipServiceTest, ReportIsAnsweredWithTheDesiredState) {
  const auto call = Call();
  ASSERT_TRUE(call->Send(Report("b")));
  const auto desired = AwaitAnswer(*call);
  ASSERT_TRUE(desired.ok()) << desired.status();
  EXPECT_FALSE(desired->unchanged);
  EXPECT_EQ(desired->lost_after_ms, 60000);
  ASSERT_EQ(roster_.hosts().size(), 1);
  EXPECT_EQ(roster_.hosts()[0].state, HostState::kJoining);
}

TEST_F(MembershipServiceTest, ChangedShardsArePushedWithoutBeingAskedFor) {
  const ShardFixture fixture;
  const auto call = Call();
  Join(*call, "b");
  roster_.SetShards("m", {{"b", {fixture.Describe(1, [](const UnitId&) { return "cpu"; })}}});
  const auto desired = AwaitAnswer(*call);
  ASSERT_TRUE(desired.ok()) << desired.status();
  ASSERT_EQ(desired->shards.size(), 1);
  EXPECT_EQ(desired->shards[0].epoch, 1);
}

TEST_F(MembershipServiceTest, SecondHostOfTheSameNameGetsTheReason) {
  const auto first = Call();
  Join(*first, "b");
  const auto second = Call();
  ASSERT_TRUE(second->Send(Report("b")));
  const auto answer = AwaitAnswer(*second);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("another --name"));
}

TEST_F(MembershipServiceTest, SenselessReportEndsTheStream) {
  const auto call = Call();
  WorkerReport report = Report("b");
  report.capacity.devices[0].read_bytes_per_s = -1;
  ASSERT_TRUE(call->Send(report));
  EXPECT_EQ(AwaitAnswer(*call).status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_TRUE(roster_.hosts().empty());
}

TEST_F(MembershipServiceTest, EndOfTheStreamLosesTheHost) {
  auto call = Call();
  Join(*call, "b");
  std::mutex mutex;
  std::condition_variable lost;
  bool is_lost = false;
  const auto owner = std::make_shared<int>();
  roster_.OnLost(roster_.hosts()[0].session, owner, [&](const std::string&) {
    std::lock_guard lock(mutex);
    is_lost = true;
    lost.notify_all();
  });
  call.reset();
  std::unique_lock lock(mutex);
  EXPECT_TRUE(lost.wait_for(lock, std::chrono::seconds(60), [&] { return is_lost; }));
}

TEST_F(MembershipServiceTest, HostTakenForLostIsTold) {
  const auto call = Call();
  Join(*call, "b");
  roster_.ReportLost(roster_.hosts()[0].session, "its tensor connection broke");
  const auto answer = AwaitAnswer(*call);
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(std::string(answer.status().message()), HasSubstr("its tensor connection broke"));
}

TEST_F(MembershipServiceTest, ProxyOfTheEnvironmentIsNotUsed) {
  ASSERT_EQ(::setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
  client_ = CoordinatorClient::Create(address_);
  const auto call = Call();
  ASSERT_TRUE(call->Send(Report("b")));
  EXPECT_TRUE(AwaitAnswer(*call).ok());
  ::unsetenv("http_proxy");
}

TEST_F(MembershipServiceTest, CoordinatorThatTakesConnectionsAndIsSilentEndsTheCall) {
  const int silent = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t bytes = sizeof(address);
  ASSERT_EQ(::bind(silent, reinterpret_cast<sockaddr*>(&address), bytes), 0);
  ASSERT_EQ(::listen(silent, 8), 0);
  ASSERT_EQ(::getsockname(silent, reinterpret_cast<sockaddr*>(&address), &bytes), 0);
  client_ = CoordinatorClient::Create(absl::StrCat("127.0.0.1:", ntohs(address.sin_port)));
  const auto start = std::chrono::steady_clock::now();
  const auto call = Call();
  call->Send(Report("b"));
  EXPECT_EQ(AwaitAnswer(*call).status().code(), absl::StatusCode::kUnavailable);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(15));
  ::close(silent);
}

}  // namespace
}  // namespace hearth
