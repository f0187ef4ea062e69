#include "daemon/discovery/wake_on_lan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace hearth {
namespace {

using ::testing::Each;
using ::testing::Truly;

TEST(WakeOnLan, PacketIsOnesAndSixteenTimesTheAddress) {
  const MacAddress mac = {0x02, 0x11, 0x22, 0x33, 0x44, 0xff};
  const MagicPacket packet = MagicPacketFor(mac);
  std::vector<uint8_t> expected(6, 0xff);
  for (int i = 0; i < 16; ++i) expected.insert(expected.end(), mac.begin(), mac.end());
  EXPECT_EQ(std::vector<uint8_t>(packet.begin(), packet.end()), expected);
}

TEST(WakeOnLan, GroupsAndNoAddressAreNoCards) {
  EXPECT_TRUE(IsOfOneCard({0x02, 0, 0, 0, 0, 0}));
  EXPECT_TRUE(IsOfOneCard({0, 0, 0, 0, 0, 1}));
  EXPECT_FALSE(IsOfOneCard({}));
  EXPECT_FALSE(IsOfOneCard({0x01, 0x00, 0x5e, 0, 0, 1}));
  EXPECT_FALSE(IsOfOneCard({0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
}

TEST(WakeOnLan, AddressIsWrittenAsPeopleKnowIt) {
  EXPECT_EQ(MacText({0x0a, 0, 0x1f, 0xff, 0x10, 0x01}), "0a:00:1f:ff:10:01");
}

TEST(WakeOnLan, OwnCardsAreAFewDifferentOnes) {
  std::vector<NetworkCard> cards = OwnNetworkCards();
  EXPECT_LE(cards.size(), kMostNetworkCards);
  EXPECT_THAT(cards, Each(Truly([](const NetworkCard& card) { return IsOfOneCard(card.mac); })));
  std::sort(cards.begin(), cards.end(), [](const auto& a, const auto& b) { return a.mac < b.mac; });
  EXPECT_EQ(std::adjacent_find(cards.begin(), cards.end(),
                               [](const auto& a, const auto& b) { return a.mac == b.mac; }),
            cards.end());
}

}  // namespace
}  // namespace hearth
