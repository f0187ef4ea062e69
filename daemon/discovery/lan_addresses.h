#ifndef HEARTH_DAEMON_DISCOVERY_LAN_ADDRESSES_H_
#define HEARTH_DAEMON_DISCOVERY_LAN_ADDRESSES_H_

#include <cstdint>
#include <string>
#include <vector>

namespace hearth {

// An address of this machine.
struct InterfaceAddress {
  std::string interface;       // "eth0"
  std::string address;         // in numbers, without an interface
  std::string broadcast = {};  // of its network; empty: there is none, as of IPv6

  bool operator==(const InterfaceAddress&) const = default;
};

// Those that other machines may reach, the likeliest first: network cards, then what containers, virtual
// machines and tunnels have made, IPv4 before IPv6. Loopback and link-local addresses are left out. Pure.
std::vector<std::string> ReachableFirst(std::vector<InterfaceAddress> addresses);

// The same, but of network cards alone. Pure.
std::vector<InterfaceAddress> OfNetworkCards(std::vector<InterfaceAddress> addresses);

// Of the interfaces that are up now.
std::vector<InterfaceAddress> OwnAddresses();

// Where a port that listens at `listen` is reached: there, or for an unspecified address at up to `most` of
// this machine's own.
std::vector<std::string> ReachedAt(const std::string& listen, size_t most);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DISCOVERY_LAN_ADDRESSES_H_
