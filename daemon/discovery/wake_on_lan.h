#ifndef HEARTH_DAEMON_DISCOVERY_WAKE_ON_LAN_H_
#define HEARTH_DAEMON_DISCOVERY_WAKE_ON_LAN_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "daemon/network_card.h"

namespace hearth {

// The cards of this machine that hold an address of a local network, at most kMostNetworkCards, and whether
// they are set to wake it, as far as the system tells this user.
std::vector<NetworkCard> OwnNetworkCards();

// What a card that listens while its machine sleeps wakes it for: six bytes of ones, then its address sixteen
// times.
using MagicPacket = std::array<uint8_t, 102>;
MagicPacket MagicPacketFor(const MacAddress& mac);

// Sends each of these cards its packet, three times since nobody acknowledges it, by UDP to all machines of
// each of this one's IPv4 networks, whose broadcast addresses it returns. UNAVAILABLE where there is none or
// none takes packets.
absl::StatusOr<std::vector<std::string>> SendMagicPackets(const std::vector<MacAddress>& macs);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DISCOVERY_WAKE_ON_LAN_H_
