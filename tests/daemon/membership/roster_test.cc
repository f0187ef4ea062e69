#include "daemon/membership/roster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <malloc.h>

#include "absl/strings/str_cat.h"
#include "daemon/channel/tensor_server.h"
#include "tests/daemon/weights/shard_fixture.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

// Records what the roster does with a stream; waiting has a deadline.
class FakeStream : public SessionStream {
 public:
  void Push() override {
    std::lock_guard lock(mutex_);
    ++pushes_;
    changed_.notify_all();
  }
  void End(const absl::Status& status) override {
    std::lock_guard lock(mutex_);
    end_ = status;
    changed_.notify_all();
  }
  absl::Status AwaitEnd() {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(30), [this] { return end_.has_value(); });
    return end_.value_or(absl::DeadlineExceededError("the stream was not ended"));
  }
  int pushes() {
    std::lock_guard lock(mutex_);
    return pushes_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int pushes_ = 0;
  std::optional<absl::Status> end_;
};

class RosterTest : public ::testing::Test {
 protected:
  void Start(uint32_t lost_after_ms, std::function<PlacesToLead()> places = nullptr) {
    Roster::Options options{"1.0", 250, lost_after_ms, "a", {"id-a", "machine-1", "home-a"}, 3000};
    roster_ = std::make_unique<Roster>(options, nullptr, std::move(places));
    roster_->Start([this] {
      std::lock_guard lock(mutex_);
      changed_.notify_all();
    });
  }

  WorkerReport Report(const std::string& host, uint64_t revision = 0) const {
    WorkerReport report;
    report.host = host;
    report.version = "1.0";
    report.tensor_address = server_->address();
    report.capacity.devices = {{"cpu", "cpu", 1000, 0, 1, 1e9, 1e9, 1}};
    report.revision = revision;
    return report;
  }

  // Waits until the host is in the state, at most half a minute.
  bool AwaitState(Roster::Session session, HostState state) {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(30), [&] {
      const auto host = roster_->Find(session);
      return host && host->state == state;
    });
  }

  const std::unique_ptr<TensorServer> server_ = TensorServer::Open("127.0.0.1:0").value();
  const std::shared_ptr<FakeStream> stream_ = std::make_shared<FakeStream>();
  std::mutex mutex_;
  std::condition_variable changed_;
  std::unique_ptr<Roster> roster_;  // before what its listener uses
};

TEST_F(RosterTest, WorkerIsAliveOnceItsLinkIsMeasured) {
  Start(60000);
  const auto session = roster_->Open(Report("b"), "ipv4:127.0.0.1:1", stream_);
  ASSERT_TRUE(session.ok()) << session.status();
  const auto desired = roster_->Desired(*session, 0);
  ASSERT_TRUE(desired.ok());
  EXPECT_FALSE(desired->unchanged);
  server_->SetSession(desired->token);
  EXPECT_TRUE(roster_->KnowsToken(desired->token));
  EXPECT_TRUE(roster_->Report(*session, Report("b", desired->revision)).ok());
  ASSERT_TRUE(AwaitState(*session, HostState::kAlive));
  EXPECT_GT(roster_->Find(*session)->link.bytes_per_s, 0);
}

TEST_F(RosterTest, SilentWorkerIsLostAndItsConnectionsAreClosed) {
  Start(30);
  const auto session = roster_->Open(Report("b"), "ipv4:127.0.0.1:1", stream_);
  ASSERT_TRUE(session.ok());
  const SessionToken token = roster_->Desired(*session, 0)->token;
  std::string closed_because;
  roster_->OnLost(*session, stream_, [&](const std::string& reason) { closed_because = reason; });
  EXPECT_EQ(stream_->AwaitEnd().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(closed_because, HasSubstr("no sync for"));
  EXPECT_FALSE(roster_->KnowsToken(token));
  EXPECT_EQ(roster_->Report(*session, Report("b", 1)).code(), absl::StatusCode::kUnavailable);
  bool at_once = false;
  roster_->OnLost(*session, stream_, [&](const std::string&) { at_once = true; });
  EXPECT_TRUE(at_once);
}

TEST_F(RosterTest, ReturningWorkerGetsANewSessionAndToken) {
  Start(60000);
  const auto first = roster_->Open(Report("b"), "ipv4:127.0.0.1:1", stream_);
  const SessionToken token = roster_->Desired(*first, 0)->token;
  EXPECT_EQ(roster_->Open(Report("b"), "ipv4:127.0.0.1:2", stream_).status().code(),
            absl::StatusCode::kAlreadyExists);
  roster_->Close(*first, "its stream has ended");
  const auto second = roster_->Open(Report("b"), "ipv4:127.0.0.1:2", std::make_shared<FakeStream>());
  ASSERT_TRUE(second.ok());
  EXPECT_NE(roster_->Desired(*second, 0)->token, token);
  EXPECT_FALSE(roster_->Desired(*first, 0).ok());
  roster_->Close(*first, "late");
  EXPECT_EQ(roster_->Find(*second)->state, HostState::kJoining);
}

TEST_F(RosterTest, HostReportsTheIdOfItsCertificateOrIsRefused) {
  Start(60000);
  HostId::Digest digest;
  digest.fill(7);
  const HostId id(digest);
  WorkerReport report = Report("b");
  report.identity = {HostId().Text(), "machine-2", "home-b"};
  EXPECT_EQ(roster_->Open(report, "ipv4:127.0.0.1:1", stream_, id).status().code(),
            absl::StatusCode::kPermissionDenied);
  report.identity.id = id.Text();
  const auto session = roster_->Open(report, "ipv4:127.0.0.1:1", stream_, id);
  ASSERT_TRUE(session.ok()) << session.status();
  EXPECT_EQ(roster_->Find(*session)->tls.host, id);
}

TEST_F(RosterTest, WorkerIsToldOfThePortsThatItCanUse) {
  const PlacesToLead places{{"127.0.0.1:1", "10.0.0.1:1"}, {"127.0.0.1:2", "10.0.0.1:2"}, {"home", 3}};
  Start(60000, [&] { return places; });
  const HostId id({7});
  WorkerReport plain = Report("b"), keyed = Report("c"), far = Report("d");
  keyed.identity = {id.Text(), "machine-2", "home-c"};
  far.tensor_address = "10.0.0.3:9";
  const auto told = [&](const WorkerReport& report, const std::string& peer,
                        const std::optional<HostId>& certified, uint64_t known) {
    const auto session = roster_->Open(report, peer, std::make_shared<FakeStream>(), certified);
    EXPECT_TRUE(session.ok()) << session.status();
    const auto desired = roster_->Desired(*session, known);
    EXPECT_EQ(desired->term, places.term);
    return desired->coordinators;
  };
  EXPECT_THAT(told(plain, "ipv4:127.0.0.1:1", std::nullopt, 0), ElementsAre("127.0.0.1:1", "10.0.0.1:1"));
  EXPECT_THAT(told(keyed, "ipv4:127.0.0.1:1", id, 0), ElementsAre("127.0.0.1:2", "10.0.0.1:2"));
  // Another machine's loopback is not this one's; what is not wanted anew is told as well.
  EXPECT_THAT(told(far, "ipv4:10.0.0.3:1", std::nullopt, 1), ElementsAre("10.0.0.1:1"));
}

TEST_F(RosterTest, HostThatWasRemovedFromTheHomeIsLostAtOnce) {
  Start(60000);
  WorkerReport report = Report("b");
  report.identity = {HostId().Text(), "machine-2", "home-b"};
  const auto session = roster_->Open(report, "ipv4:127.0.0.1:1", stream_, HostId());
  ASSERT_TRUE(session.ok()) << session.status();
  const SessionToken token = roster_->Desired(*session, 0)->token;
  HostId::Digest other;
  other.fill(1);
  roster_->Forget(HostId(other));
  EXPECT_TRUE(roster_->KnowsToken(token));
  roster_->Forget(HostId());
  EXPECT_FALSE(roster_->KnowsToken(token));
  EXPECT_FALSE(stream_->AwaitEnd().ok());
  EXPECT_THAT(roster_->Find(*session)->detail, HasSubstr("removed from the home"));
}

TEST_F(RosterTest, ChangedShardsArePushedOnceAndEqualOnesNot) {
  Start(60000);
  const ShardFixture fixture;
  const ShardDescription shard = fixture.Describe(1, [](const UnitId&) { return "cpu"; });
  const auto session = roster_->Open(Report("b"), "ipv4:127.0.0.1:1", stream_);
  const uint64_t before = roster_->Desired(*session, 0)->revision;
  roster_->SetShards("m", {{"b", {shard}}});
  EXPECT_EQ(stream_->pushes(), 1);
  const auto desired = roster_->Desired(*session, before);
  EXPECT_GT(desired->revision, before);
  EXPECT_EQ(desired->shards.size(), 1);
  roster_->SetShards("m", {{"b", {shard}}});
  EXPECT_EQ(stream_->pushes(), 1);
  EXPECT_TRUE(roster_->Desired(*session, desired->revision)->unchanged);
  roster_->SetShards("m", {});
  EXPECT_TRUE(roster_->Desired(*session, desired->revision)->shards.empty());
}

TEST_F(RosterTest, UnspecifiedTensorAddressStandsForWhereTheWorkerCallsFrom) {
  Start(60000);
  WorkerReport report = Report("b");
  report.tensor_address = "0.0.0.0:4711";
  const auto b = roster_->Open(report, "ipv4:192.0.2.7:999", stream_);
  EXPECT_EQ(roster_->Find(*b)->tensor_address, "192.0.2.7:4711");
  report.host = "c";
  report.tensor_address = "[::]:4711";
  const auto c = roster_->Open(report, "ipv6:%5B2001:db8::1%5D:999", stream_);
  EXPECT_EQ(roster_->Find(*c)->tensor_address, "[2001:db8::1]:4711");
}

TEST_F(RosterTest, OtherVersionIsRefusedWithAdvice) {
  Start(60000);
  WorkerReport report = Report("b");
  report.version = "0.9";
  const auto session = roster_->Open(report, "ipv4:127.0.0.1:1", stream_);
  EXPECT_EQ(session.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(session.status().message()), HasSubstr("install the same version"));
}

TEST_F(RosterTest, ReportOfAnotherHostIsRefused) {
  Start(60000);
  const auto session = roster_->Open(Report("b"), "ipv4:127.0.0.1:1", stream_);
  EXPECT_EQ(roster_->Report(*session, Report("c")).code(), absl::StatusCode::kInvalidArgument);
}

TEST_F(RosterTest, StopEndsStreamsAndRefusesCallers) {
  Start(60000);
  ASSERT_TRUE(roster_->Open(Report("b"), "ipv4:127.0.0.1:1", stream_).ok());
  roster_->Stop();
  EXPECT_EQ(stream_->AwaitEnd().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(roster_->Open(Report("c"), "ipv4:127.0.0.1:1", stream_).status().code(),
            absl::StatusCode::kUnavailable);
}

TEST_F(RosterTest, HostWithTheCoordinatorsNameIsRefusedInWords) {
  Start(60000);
  const auto session = roster_->Open(Report("a"), "ipv4:127.0.0.1:1", stream_);
  EXPECT_EQ(session.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(session.status().message()), HasSubstr("give this host another --name"));
  EXPECT_TRUE(roster_->hosts().empty());
}

TEST_F(RosterTest, CopiedStateDirectoryIsRefusedInWords) {
  Start(60000);
  WorkerReport b = Report("b"), c = Report("c");
  b.identity = {"id-b", "machine-2", "home-b"};
  c.identity = {"id-b", "machine-3", "home-c"};
  ASSERT_TRUE(roster_->Open(b, "ipv4:127.0.0.1:1", stream_).ok());
  const auto copied = roster_->Open(c, "ipv4:127.0.0.1:2", std::make_shared<FakeStream>());
  EXPECT_EQ(copied.status().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(copied.status().message()), HasSubstr("a copy of that of host b"));
  c.identity.id = "id-a";
  EXPECT_THAT(std::string(roster_->Open(c, "ipv4:127.0.0.1:2", stream_).status().message()),
              HasSubstr("a copy of that of host a"));
}

TEST_F(RosterTest, HostStartedAnewTakesItsOwnPlaceAtOnce) {
  Start(60000);
  WorkerReport b = Report("b");
  b.identity = {"id-b", "machine-2", "home-b"};
  const auto first = roster_->Open(b, "ipv4:127.0.0.1:1", stream_);
  ASSERT_TRUE(first.ok());
  std::string closed_because;
  roster_->OnLost(*first, stream_, [&](const std::string& reason) { closed_because = reason; });
  b.host = "renamed";
  const auto second = roster_->Open(b, "ipv4:127.0.0.1:2", std::make_shared<FakeStream>());
  ASSERT_TRUE(second.ok()) << second.status();
  EXPECT_THAT(closed_because, HasSubstr("started anew"));
  EXPECT_EQ(stream_->AwaitEnd().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(roster_->Find(*second)->state, HostState::kJoining);
}

TEST_F(RosterTest, NameOfALostHostStaysItsOwn) {
  Start(60000);
  WorkerReport b = Report("b"), stranger = Report("b");
  b.identity = {"id-b", "machine-2", "home-b"};
  stranger.identity = {"stranger's id", "machine-3", "home-c"};
  const auto first = roster_->Open(b, "ipv4:127.0.0.1:1", stream_);
  ASSERT_TRUE(first.ok());
  EXPECT_EQ(roster_->Open(stranger, "ipv4:127.0.0.1:2", std::make_shared<FakeStream>()).status().code(),
            absl::StatusCode::kAlreadyExists);
  roster_->Close(*first, "gone");
  const auto other = roster_->Open(stranger, "ipv4:127.0.0.1:2", std::make_shared<FakeStream>());
  ASSERT_TRUE(other.ok()) << other.status();
  EXPECT_EQ(roster_->Find(*other)->name, "b-strange");
  const auto back = roster_->Open(b, "ipv4:127.0.0.1:1", std::make_shared<FakeStream>());
  ASSERT_TRUE(back.ok()) << back.status();
  EXPECT_EQ(roster_->Find(*back)->name, "b");
  // Whoever has been told apart once stays so.
  roster_->Close(*other, "gone");
  const auto again = roster_->Open(stranger, "ipv4:127.0.0.1:2", std::make_shared<FakeStream>());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(roster_->Find(*again)->name, "b-strange");
  EXPECT_TRUE(roster_->Report(*again, stranger).ok());
}

TEST_F(RosterTest, ManyHostsThatCameAndWentKeepNobodyOut) {
  Start(60000);
  for (int i = 0; i < static_cast<int>(Membership::kMost) + 44; ++i) {
    const auto session =
        roster_->Open(Report(absl::StrCat("h", i)), "ipv4:127.0.0.1:1", std::make_shared<FakeStream>());
    ASSERT_TRUE(session.ok()) << session.status();
    roster_->Close(*session, "gone");
  }
  EXPECT_EQ(roster_->hosts().size(), Membership::kMost);
}

TEST_F(RosterTest, SecondDaemonOfAMachineOffersWhatTheFirstLeaves) {
  Start(60000);
  WorkerReport b = Report("b");
  b.identity = {"id-b", "machine-1", "home-b"};  // the coordinator's, which offers 3000 of 3600 bytes
  b.capacity.memory_bytes = 3600;
  const auto session = roster_->Open(b, "ipv4:127.0.0.1:1", stream_);
  ASSERT_TRUE(session.ok());
  EXPECT_EQ(roster_->Find(*session)->capacity.devices[0].memory_budget_bytes, 600);
  WorkerReport c = Report("c");
  c.identity = {"id-c", "machine-2", "home-c"};
  c.capacity.memory_bytes = 3600;
  const auto alone = roster_->Open(c, "ipv4:127.0.0.1:2", std::make_shared<FakeStream>());
  ASSERT_TRUE(alone.ok());
  EXPECT_EQ(roster_->Find(*alone)->capacity.devices[0].memory_budget_bytes, 1000);
}

TEST_F(RosterTest, TensorAddressOfAnotherMachineIsRefused) {
  Start(60000);
  WorkerReport report = Report("b");
  for (const char* address : {"192.0.2.9:5000", "example.org:5000", "localhost:5000", "127.example.org:5000",
                              "[2001:db8::2]:5000"}) {
    report.tensor_address = address;
    const auto session = roster_->Open(report, "ipv4:192.0.2.7:999", stream_);
    EXPECT_EQ(session.status().code(), absl::StatusCode::kInvalidArgument) << address;
    EXPECT_THAT(std::string(session.status().message()), HasSubstr("--tensor-listen"));
  }
  report.tensor_address = "192.0.2.7:5000";
  EXPECT_TRUE(roster_->Open(report, "ipv6:[::ffff:192.0.2.7]:999", stream_).ok());
}

TEST_F(RosterTest, HostThatDoesNotAnswerKeepsNobodyFromJoining) {
  Start(60000);
  WorkerReport silent = Report("silent");
  silent.tensor_address = "192.0.2.7:9";  // packets to it come to nothing
  const auto first = roster_->Open(silent, "ipv4:192.0.2.7:9", stream_);
  ASSERT_TRUE(first.ok());
  silent.revision = 2;
  ASSERT_TRUE(roster_->Report(*first, silent).ok());
  const auto second = roster_->Open(Report("b"), "ipv4:127.0.0.1:1", std::make_shared<FakeStream>());
  ASSERT_TRUE(second.ok());
  const auto desired = roster_->Desired(*second, 0);
  server_->SetSession(desired->token);
  ASSERT_TRUE(roster_->Report(*second, Report("b", desired->revision)).ok());
  EXPECT_TRUE(AwaitState(*second, HostState::kAlive));
  EXPECT_EQ(roster_->Find(*first)->state, HostState::kJoining);
}

TEST_F(RosterTest, ProblemOfAHostIsSeenAndPasses) {
  Start(60000);
  WorkerReport report = Report("b");
  const auto session = roster_->Open(report, "ipv4:127.0.0.1:1", stream_);
  ASSERT_TRUE(session.ok());
  report.problem = "cache: cannot write: No space left on device";
  ASSERT_TRUE(roster_->Report(*session, report).ok());
  EXPECT_EQ(roster_->Find(*session)->report.problem, report.problem);
  report.problem.clear();
  ASSERT_TRUE(roster_->Report(*session, report).ok());
  EXPECT_EQ(roster_->Find(*session)->report.problem, "");
}

TEST_F(RosterTest, HandlersOfPlansThatAreGoneAreForgotten) {
  Start(60000);
  const auto session = roster_->Open(Report("b"), "ipv4:127.0.0.1:1", stream_);
  ASSERT_TRUE(session.ok());
  const auto counted = std::make_shared<int>();  // each handler that is kept holds it
  for (int plan = 0; plan < 100; ++plan) {
    roster_->OnLost(*session, std::make_shared<int>(plan), [counted](const std::string&) {});
  }
  EXPECT_LE(counted.use_count(), 3);
}

TEST_F(RosterTest, NothingIsKeptOfModelsThatAreGone) {
  Start(60000);
  ASSERT_TRUE(roster_->Open(Report("b"), "ipv4:127.0.0.1:1", stream_).ok());
  const auto allocated = [] { return mallinfo2().uordblks; };  // nothing under sanitizers
  const size_t before = allocated();
  for (int i = 0; i < 20000; ++i) roster_->SetShards(absl::StrCat("model", i), {});
  EXPECT_LE(allocated(), before + (100 << 10));
}

}  // namespace
}  // namespace hearth
