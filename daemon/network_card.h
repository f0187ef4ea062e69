#ifndef HEARTH_DAEMON_NETWORK_CARD_H_
#define HEARTH_DAEMON_NETWORK_CARD_H_

#include <array>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/str_format.h"

namespace hearth {

using MacAddress = std::array<uint8_t, 6>;

// A network card by which a machine can be woken (Wake-on-LAN).
struct NetworkCard {
  MacAddress mac{};
  std::optional<bool> wakes;  // whether it is set to do so; nullopt: not known

  bool operator==(const NetworkCard&) const = default;
};

// That a host tells of.
inline constexpr size_t kMostNetworkCards = 4;

// Whether it is the address of one card: not a group's, and not zero.
inline bool IsOfOneCard(const MacAddress& mac) { return (mac[0] & 1) == 0 && mac != MacAddress{}; }

// "aa:bb:cc:dd:ee:ff".
inline std::string MacText(const MacAddress& mac) {
  return absl::StrFormat("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
}

}  // namespace hearth

#endif  // HEARTH_DAEMON_NETWORK_CARD_H_
