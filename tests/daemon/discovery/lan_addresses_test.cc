#include "daemon/discovery/lan_addresses.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace hearth {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(LanAddresses, NetworkCardsComeBeforeWhatProgramsMadeAndIpv4BeforeIpv6) {
  EXPECT_THAT(ReachableFirst({{"lo", "127.0.0.1"},
                              {"docker0", "172.17.0.1"},
                              {"wg0", "10.8.0.2"},
                              {"eth0", "fd00::5"},
                              {"eth0", "fe80::1"},
                              {"eth0", "192.168.1.10"},
                              {"wlan0", "192.168.1.11"}}),
              ElementsAre("192.168.1.10", "192.168.1.11", "fd00::5", "172.17.0.1", "10.8.0.2"));
}

TEST(LanAddresses, MachineWithoutANetworkHasNone) {
  EXPECT_THAT(ReachableFirst({{"lo", "127.0.0.1"}, {"lo", "::1"}, {"eth0", "169.254.3.4"}}), IsEmpty());
}

TEST(LanAddresses, OfNetworkCardsLeavesOutWhatLeadsToNoOtherMachine) {
  const InterfaceAddress wire = {"eth0", "192.168.1.10", "192.168.1.255"}, radio = {"wlan0", "fd00::5"};
  EXPECT_THAT(OfNetworkCards({{"lo", "127.0.0.1"},
                              {"docker0", "172.17.0.1", "172.17.255.255"},
                              wire,
                              {"eth0", "fe80::1"},
                              {"tun0", "10.8.0.2"},
                              radio}),
              ElementsAre(wire, radio));
}

TEST(LanAddresses, NamedAddressIsWhereItIsReached) {
  EXPECT_THAT(ReachedAt("192.168.1.10:7771", 4), ElementsAre("192.168.1.10:7771"));
  EXPECT_THAT(ReachedAt("[fd00::5]:7771", 4), ElementsAre("[fd00::5]:7771"));
  EXPECT_THAT(ReachedAt("", 4), IsEmpty());
  EXPECT_THAT(ReachedAt("0.0.0.0:7771", 0), IsEmpty());
}

}  // namespace
}  // namespace hearth
