#include "daemon/etcd/election.h"

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/daemon/etcd/etcd_process.h"

namespace hearth {
namespace {

using testing::HasSubstr;

// Waits, a minute at most.
bool Await(const std::function<bool()>& condition) {
  const absl::Time end = absl::Now() + absl::Minutes(1);
  while (!condition() && absl::Now() < end) absl::SleepFor(absl::Milliseconds(5));
  return condition();
}

class ElectionTest : public testing::Test {
 protected:
  void SetUp() override {
    HEARTH_SKIP_WITHOUT_ETCD();
    etcd_ = std::make_unique<EtcdProcesses>();
    client_ = etcd_->Connect();
  }
  std::unique_ptr<Election> Candidate(const std::string& host,
                                      absl::Duration lease = ElectionOptions().lease) {
    auto election =
        std::make_unique<Election>(etcd_->Connect(absl::Milliseconds(400)),
                                   ElectionOptions{.prefix = "test/", .host = host, .lease = lease});
    election->Campaign();
    return election;
  }
  // One of a host that leads already.
  std::unique_ptr<Election> Leader(const std::string& host, absl::Duration lease = ElectionOptions().lease) {
    auto election = Candidate(host, lease);
    EXPECT_TRUE(Await([&] { return election->Leads(); })) << election->standing().problem;
    return election;
  }
  static std::string LeaderOf(const Election& election) {
    const auto leader = election.standing().leader;
    return leader ? leader->host() + " " + leader->address() : "";
  }

  std::unique_ptr<EtcdProcesses> etcd_;
  std::unique_ptr<EtcdClient> client_;
};

TEST_F(ElectionTest, OneLeadsAndTheOtherKnowsWhere) {
  const auto a = Leader("a"), b = Candidate("b");
  EXPECT_EQ(a->standing().term, 1u);
  v1::Leader record;
  record.set_host("a");
  record.set_address("127.0.0.1:7");
  a->Announce(record);
  EXPECT_TRUE(Await([&] { return LeaderOf(*b) == "a 127.0.0.1:7"; }));
  EXPECT_TRUE(a->Leads());
  EXPECT_FALSE(b->Leads());
}

TEST_F(ElectionTest, TheLeaderKnowsWhereOthersCouldLead) {
  const auto a = Leader("a"), b = Candidate("b");
  const auto stand = [](Election& election, const std::string& host, const std::string& address) {
    v1::Leader place;
    place.set_host(host);
    place.set_encrypted_address(address);
    election.Stand(place);
  };
  const auto places = [&] {
    std::string text;
    for (const v1::Leader& host : a->standing().hosts) text += host.host() + host.encrypted_address() + " ";
    return text;
  };
  stand(*a, "a", ":1");
  stand(*b, "b", "");  // it would not be reached
  EXPECT_TRUE(Await([&] { return places() == "a:1 "; })) << places();
  stand(*b, "b", ":2");
  EXPECT_TRUE(Await([&] { return places() == "a:1 b:2 "; })) << places();
  stand(*b, "b", ":3");
  EXPECT_TRUE(Await([&] { return places() == "a:1 b:3 "; })) << places();
  EXPECT_TRUE(a->Leads());
  EXPECT_FALSE(a->standing().leader);
}

TEST_F(ElectionTest, APlaceThatSomebodyRemovedDoesNotEndTheLead) {
  const auto a = Leader("a", absl::Seconds(30));  // a slow machine does not, either
  v1::Leader place;
  place.set_address("127.0.0.1:7");
  a->Stand(place);
  ASSERT_TRUE(Await([&] { return a->standing().hosts.size() == 1; }));
  const auto kept = client_->Get("test/hosts/a");
  ASSERT_TRUE(kept.ok() && kept->has_value());
  ASSERT_TRUE(client_->RevokeLease((*kept)->lease()).ok());
  place.set_address("127.0.0.1:8");
  a->Stand(place);
  EXPECT_TRUE(Await([&] {
    const auto hosts = a->standing().hosts;
    return hosts.size() == 1 && hosts[0].address() == "127.0.0.1:8";
  }));
  EXPECT_TRUE(a->Leads());
  EXPECT_EQ(a->standing().term, 1u);
}

TEST_F(ElectionTest, OneThatResignsIsFollowedByAHigherTerm) {
  const auto a = Leader("a"), b = Candidate("b");
  const Fence former = a->standing().fence;
  a->Resign();
  EXPECT_FALSE(a->Leads());
  EXPECT_TRUE(Await([&] { return b->Leads(); }));
  EXPECT_EQ(b->standing().term, 2u);
  EXPECT_GT(b->standing().fence.create_revision, former.create_revision);
  EXPECT_TRUE(Await([&] { return LeaderOf(*a) == "b "; }));
  a->Campaign();
  b->Resign();
  EXPECT_TRUE(Await([&] { return a->Leads(); }));
  EXPECT_EQ(a->standing().term, 3u);
}

TEST_F(ElectionTest, OneThatEndsIsFollowedAtOnce) {
  auto a = Leader("a");
  const auto b = Candidate("b");
  a.reset();
  EXPECT_TRUE(Await([&] { return b->Leads(); }));
}

TEST_F(ElectionTest, WithoutTheStoreALeaderLeadsUntilItsLeaseIsOver) {
  const auto a = Leader("a");
  etcd_->Freeze(0);
  const absl::Time frozen = absl::Now();
  EXPECT_TRUE(Await([&] { return !a->Leads(); }));
  const absl::Duration led = absl::Now() - frozen;
  EXPECT_GT(led, absl::Milliseconds(300));
  EXPECT_LE(led, absl::Seconds(4));
  EXPECT_TRUE(Await([&] { return !a->standing().ended.ok(); }));
  EXPECT_THAT(a->standing().ended.message(), HasSubstr("could not be renewed in time"));
  etcd_->Thaw(0);
  const auto b = Leader("b");
  EXPECT_FALSE(a->Leads());
  EXPECT_EQ(b->standing().term, 2u);
}

TEST_F(ElectionTest, AStoreThatIsAwayForLessThanTheLeaseChangesNothing) {
  const auto a = Leader("a");
  const Fence fence = a->standing().fence;
  etcd_->Freeze(0);
  EXPECT_TRUE(Await([&] { return !a->standing().problem.ok(); }));
  etcd_->Thaw(0);
  EXPECT_TRUE(Await([&] { return a->standing().problem.ok(); }));
  EXPECT_TRUE(a->Leads());
  EXPECT_EQ(a->standing().fence.create_revision, fence.create_revision);
}

TEST_F(ElectionTest, OneWhoseKeySomebodyRemovedLeadsNoMore) {
  const auto a = Leader("a");
  etcdserverpb::TxnRequest remove;
  remove.add_success()->mutable_request_delete_range()->set_key("test/leader");
  ASSERT_TRUE(client_->Commit(remove).ok());
  EXPECT_TRUE(Await([&] { return !a->Leads(); }));
  EXPECT_TRUE(Await([&] { return absl::IsAborted(a->standing().ended); }));
}

TEST_F(ElectionTest, ATermThatIsNoNumberIsSaid) {
  etcdserverpb::TxnRequest put;
  put.add_success()->mutable_request_put()->set_key("test/term");
  put.mutable_success(0)->mutable_request_put()->set_value("many");
  ASSERT_TRUE(client_->Commit(put).ok());
  const auto a = Candidate("a");
  EXPECT_TRUE(Await([&] { return absl::IsFailedPrecondition(a->standing().problem); }));
  EXPECT_FALSE(a->Leads());
}

TEST_F(ElectionTest, OfThreeMembersOneMayDie) {
  etcd_ = std::make_unique<EtcdProcesses>(3);
  const auto a = Leader("a"), b = Candidate("b");
  etcd_->Kill(2);
  const Fence fence = a->standing().fence;
  a->Resign();
  EXPECT_TRUE(Await([&] { return b->Leads(); }));
  EXPECT_GT(b->standing().fence.create_revision, fence.create_revision);
}

}  // namespace
}  // namespace hearth
