#include "daemon/cluster/sleepers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/daemon/state/temporary_store.h"

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr MacAddress kMac = {2, 0, 0, 0, 0, 1};

Roster::Host HostOf(const std::string& name, uint8_t id, HostState state = HostState::kAlive) {
  Roster::Host host;
  host.name = name;
  host.session = 1;
  host.state = state;
  host.tensor_address = "192.168.1.20:7773";
  host.link = {.round_trip_us = 90, .bytes_per_s = 1.2e8};
  host.capacity.devices = {{.name = "cpu",
                            .kind = "cpu",
                            .memory_budget_bytes = 1 << 30,
                            .threads = 4,
                            .read_bytes_per_s = 2e10,
                            .operations_per_s = 1e11}};
  host.report.host = name;
  host.report.tensor_address = host.tensor_address;
  host.report.identity.id = HostId({id}).Text();
  host.report.network_cards = {{kMac, true}};
  return host;
}

std::vector<std::string> Names(const std::vector<Sleepers::Host>& hosts) {
  std::vector<std::string> names;
  for (const Sleepers::Host& host : hosts) names.push_back(host.name());
  return names;
}

class SleepersTest : public ::testing::Test {
 protected:
  // As a coordinator that starts.
  std::unique_ptr<Sleepers> Start() const { return std::make_unique<Sleepers>(folder_.Open()); }
  std::vector<std::string> AwayAfterRestart() const { return Names(Start()->Away({})); }

  const TemporaryStore folder_;
};

TEST_F(SleepersTest, HostsThatWereThereAreKnownAfterARestart) {
  Start()->See({HostOf("study", 1), HostOf("attic", 2)});
  const auto sleepers = Start();
  const std::vector<Sleepers::Host> away = sleepers->Away({});
  ASSERT_THAT(Names(away), ElementsAre("attic", "study"));
  EXPECT_THAT(away[0].known.report.network_cards, ElementsAre(NetworkCard{kMac, true}));
  EXPECT_EQ(away[0].known.report.capacity, HostOf("attic", 2).capacity);
  EXPECT_EQ(away[0].known.link, HostOf("attic", 2).link);
}

TEST_F(SleepersTest, ThoseThatAreThereOrComingAreNotAway) {
  const auto sleepers = Start();
  sleepers->See({HostOf("study", 1), HostOf("attic", 2), HostOf("cellar", 3)});
  EXPECT_THAT(Names(sleepers->Away({HostOf("study", 1), HostOf("attic", 2, HostState::kJoining),
                                    HostOf("cellar", 3, HostState::kLost)})),
              ElementsAre("cellar"));
}

TEST_F(SleepersTest, ForgottenHostsAreNotKnownAfterARestart) {
  {
    const auto sleepers = Start();
    sleepers->See({HostOf("study", 1), HostOf("attic", 2)});
    sleepers->Forget(HostId({1}));
    sleepers->Forget(HostId({9}));
    EXPECT_THAT(Names(sleepers->Away({})), ElementsAre("attic"));
  }
  EXPECT_THAT(AwayAfterRestart(), ElementsAre("attic"));
}

TEST_F(SleepersTest, HostsThatCannotBeWokenAreNotRemembered) {
  Roster::Host without_card = HostOf("study", 1), here = HostOf("attic", 2), unnamed = HostOf("cellar", 3);
  without_card.report.network_cards.clear();
  here.tensor_address = "127.0.0.1:7773";
  unnamed.report.identity.id.clear();
  const Roster::Host joining = HostOf("loft", 4, HostState::kJoining);
  Start()->See({without_card, here, unnamed, joining});
  EXPECT_THAT(AwayAfterRestart(), IsEmpty());
}

TEST_F(SleepersTest, NewCardsReplaceTheFormerOnesWithinASession) {
  {
    const auto sleepers = Start();
    Roster::Host host = HostOf("study", 1);
    sleepers->See({host});
    host.report.network_cards[0].wakes = false;
    sleepers->See({host});
  }
  const std::vector<Sleepers::Host> away = Start()->Away({});
  ASSERT_THAT(Names(away), ElementsAre("study"));
  EXPECT_THAT(away[0].known.report.network_cards, ElementsAre(NetworkCard{kMac, false}));
}

TEST_F(SleepersTest, WhoHasTheNameOfAnotherTakesItsPlace) {
  Start()->See({HostOf("study", 1)});
  Start()->See({HostOf("study", 2)});
  const auto hosts = folder_.Open()->Hosts();
  ASSERT_TRUE(hosts.ok()) << hosts.status();
  EXPECT_THAT(*hosts, ElementsAre(Pair(HostId({2}).Text(), ::testing::_)));
}

TEST_F(SleepersTest, WhenOneWasWokenIsKnownUntilTheCoordinatorEnds) {
  const absl::Time now = absl::FromUnixSeconds(1'800'000'000);
  {
    const auto sleepers = Start();
    sleepers->See({HostOf("study", 1)});
    Sleepers::Host host = sleepers->Away({})[0];
    host.woken = now;
    sleepers->NoteWoken(host);
    sleepers->See({HostOf("study", 1)});
    EXPECT_EQ(ViewOf(sleepers->Away({})[0]).woken, now);
  }
  const std::vector<Sleepers::Host> away = Start()->Away({});
  ASSERT_THAT(Names(away), ElementsAre("study"));
  EXPECT_EQ(ViewOf(away[0]).woken, absl::InfinitePast());
}

TEST_F(SleepersTest, WhatIsDamagedIsLeftOut) {
  Start()->See({HostOf("study", 1)});
  ASSERT_TRUE(folder_.Open()->PutHost(HostId({2}).Text(), "\xff").ok());
  EXPECT_THAT(AwayAfterRestart(), ElementsAre("study"));
}

TEST(Sleepers, WithoutAStoreTheyAreKnownUntilTheCoordinatorEnds) {
  Sleepers sleepers(nullptr);
  sleepers.See({HostOf("study", 1)});
  EXPECT_THAT(Names(sleepers.Away({})), ElementsAre("study"));
}

TEST(Sleepers, OneCardThatIsSetDoes) {
  Sleepers::Host host;
  host.known.report.network_cards = {{kMac, std::nullopt}};
  EXPECT_EQ(ViewOf(host).wakes, std::nullopt);
  host.known.report.network_cards.push_back({kMac, false});
  EXPECT_EQ(ViewOf(host).wakes, false);
  host.known.report.network_cards.push_back({kMac, true});
  EXPECT_EQ(ViewOf(host).wakes, true);
  EXPECT_THAT(ViewOf(host).macs, ElementsAre("02:00:00:00:00:01", "02:00:00:00:00:01", "02:00:00:00:00:01"));
}

}  // namespace
}  // namespace hearth
