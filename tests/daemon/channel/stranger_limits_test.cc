#include "daemon/channel/stranger_limits.h"

#include <gtest/gtest.h>

#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/channel/knock.h"

namespace hearth {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(NetworkOfTest, SecondHalfOfAnIpv6AddressTellsNobodyApart) {
  std::vector<uint8_t> a(16, 1), b(16, 1), c(16, 1);
  b[15] = 2;
  c[7] = 2;
  EXPECT_EQ(NetworkOf(a), NetworkOf(b));
  EXPECT_NE(NetworkOf(a), NetworkOf(c));
}

TEST(NetworkOfTest, Ipv4AddressIsTheSameWrittenAsIpv6) {
  const std::vector<uint8_t> mapped = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1};
  EXPECT_EQ(NetworkOf(mapped), NetworkOf({192, 0, 2, 1}));
  EXPECT_NE(NetworkOf(mapped), NetworkOf({192, 0, 2, 2}));
}

TEST(WhoMakesRoomTest, NobodyWhileThereIsRoom) {
  EXPECT_EQ(WhoMakesRoom({}, "a", 2, 4), std::nullopt);
  EXPECT_EQ(WhoMakesRoom({"a", "b", "b"}, "a", 2, 4), std::nullopt);
}

TEST(WhoMakesRoomTest, OldestOfANetworkThatHasItsShare) {
  EXPECT_EQ(WhoMakesRoom({"b", "a", "b", "a"}, "a", 2, 8), 1u);
}

TEST(WhoMakesRoomTest, NetworkOfManyMakesRoomForAnotherOne) {
  EXPECT_EQ(WhoMakesRoom({"leader", "a", "b", "a"}, "c", 8, 4), 1u);
  EXPECT_EQ(WhoMakesRoom({"leader", "a", "b", "c"}, "leader", 8, 4), 0u);
}

TEST(WhoMakesRoomTest, ThoseThatAreSparedGoLast) {
  EXPECT_EQ(WhoMakesRoom({"leader", "a", "b", "c"}, "d", 8, 4, "leader"), 1u);
  EXPECT_EQ(WhoMakesRoom({"leader", "leader", "leader", "c"}, "d", 8, 4, "leader"), 3u);
  EXPECT_EQ(WhoMakesRoom({"leader", "leader"}, "d", 8, 2, "leader"), 0u);
  EXPECT_EQ(WhoMakesRoom({"a", "leader", "leader"}, "leader", 2, 8, "leader"), 1u);
}

class StrangerRateTest : public ::testing::Test {
 protected:
  int Allowed(const std::string& network, int times) {
    int allowed = 0;
    for (int i = 0; i < times; ++i) allowed += rate_.Allow(network, now_);
    return allowed;
  }

  StrangerRate rate_{{.per_second = 2, .burst = 5, .networks = 3}};
  StrangerRate::TimePoint now_{seconds(1000)};
};

TEST_F(StrangerRateTest, BurstIsAllowedAndThenSoManyASecond) {
  EXPECT_EQ(Allowed("a", 100), 5);
  now_ += milliseconds(400);
  EXPECT_EQ(Allowed("a", 100), 0);
  now_ += milliseconds(100);
  EXPECT_EQ(Allowed("a", 100), 1);
  now_ += seconds(3600);
  EXPECT_EQ(Allowed("a", 100), 5);
}

TEST_F(StrangerRateTest, OneNetworkTakesNothingFromAnother) {
  EXPECT_EQ(Allowed("a", 100), 5);
  EXPECT_EQ(Allowed("b", 5), 5);
}

TEST_F(StrangerRateTest, WhatIsGivenBackIsAllowedOnceMoreUpToTheBurst) {
  EXPECT_EQ(Allowed("a", 100), 5);
  rate_.GiveBack("a");
  rate_.GiveBack("b");
  EXPECT_EQ(Allowed("a", 100), 1);
  for (int i = 0; i < 100; ++i) rate_.GiveBack("a");
  EXPECT_EQ(Allowed("a", 100), 5);
  EXPECT_EQ(Allowed("b", 100), 5);
}

TEST_F(StrangerRateTest, OnlySoManyNetworksAreRememberedTheLatestOnes) {
  EXPECT_EQ(Allowed("busy", 100), 5);
  for (int i = 0; i < 1000; ++i) {
    now_ += milliseconds(1);
    EXPECT_EQ(Allowed(absl::StrCat(i), 1), 1);
    EXPECT_LE(Allowed("busy", 1), i % 500 == 499 ? 1 : 0) << i;
  }
  now_ += milliseconds(1);
  EXPECT_EQ(Allowed("1", 10), 5);  // forgotten since
}

TEST(KnockTest, IsFoundWhereverItStandsAndTellsTokensApart) {
  SessionToken token, other;
  token.fill(1);
  other.fill(2);
  const std::string first = absl::StrCat("\x16\x03\x01hello", KnockOf(token), "more");
  const absl::Span<const uint8_t> bytes(reinterpret_cast<const uint8_t*>(first.data()), first.size());
  EXPECT_TRUE(Knocks(bytes, KnockOf(token)));
  EXPECT_FALSE(Knocks(bytes, KnockOf(other)));
  EXPECT_FALSE(Knocks(bytes.first(20), KnockOf(token)));
  EXPECT_FALSE(Knocks({}, KnockOf(token)));
}

}  // namespace
}  // namespace hearth
