#ifndef HEARTH_DAEMON_DISCOVERY_LAN_SEARCH_H_
#define HEARTH_DAEMON_DISCOVERY_LAN_SEARCH_H_

#include <chrono>
#include <string>
#include <vector>

#include "daemon/discovery/lan_home.h"

namespace hearth {

// A home of which several answers may have come.
struct FoundHome {
  std::string id;
  std::string coordinator;
  std::vector<std::string> doors;  // HOST:PORT, the likeliest first
};

// Adds what came from `sender`, an address in numbers: which is the likeliest of the home's if it is one. At
// most kMostHomes, each with kMostDoors; later ones are left out. Pure.
inline constexpr size_t kMostHomes = 16, kMostDoors = 16;
void AddAnswer(const LanHome& answer, const std::string& sender, std::vector<FoundHome>& homes);

// Asks on all interfaces, several times within `patience`; once somebody has answered others have one second
// more.
std::vector<FoundHome> SearchLan(std::chrono::milliseconds patience = std::chrono::seconds(3));

}  // namespace hearth

#endif  // HEARTH_DAEMON_DISCOVERY_LAN_SEARCH_H_
