#include "daemon/discovery/lan_addresses.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "absl/strings/match.h"
#include "daemon/channel/frame_socket.h"

namespace hearth {
namespace {

// Of interfaces that lead to no other machine of the home, or to it by a detour.
constexpr std::array<const char*, 12> kMadeByPrograms = {
    "docker", "br-", "veth", "virbr", "vmnet", "vbox", "lxc", "cni", "tun", "tap", "wg", "tailscale"};

bool IsV6(const std::string& address) { return address.find(':') != std::string::npos; }

bool IsOutOfReach(const std::string& address) {
  return absl::StartsWith(address, "127.") || absl::StartsWith(address, "169.254.") || address == "::1" ||
         absl::StartsWith(address, "fe80:");
}

int Rank(const InterfaceAddress& address) {
  const bool made = std::any_of(kMadeByPrograms.begin(), kMadeByPrograms.end(),
                                [&](const char* name) { return absl::StartsWith(address.interface, name); });
  return 2 * made + IsV6(address.address);
}

}  // namespace

std::vector<std::string> ReachableFirst(std::vector<InterfaceAddress> addresses) {
  std::erase_if(addresses, [](const InterfaceAddress& address) { return IsOutOfReach(address.address); });
  std::stable_sort(addresses.begin(), addresses.end(),
                   [](const InterfaceAddress& a, const InterfaceAddress& b) { return Rank(a) < Rank(b); });
  std::vector<std::string> sorted;
  for (const InterfaceAddress& address : addresses) sorted.push_back(address.address);
  return sorted;
}

std::vector<InterfaceAddress> OwnAddresses() {
  std::vector<InterfaceAddress> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr || (entry->ifa_flags & IFF_UP) == 0) continue;
    const int family = entry->ifa_addr->sa_family;
    const void* bytes = nullptr;
    if (family == AF_INET) bytes = &reinterpret_cast<const sockaddr_in*>(entry->ifa_addr)->sin_addr;
    if (family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr)->sin6_addr;
    std::array<char, INET6_ADDRSTRLEN> text;
    if (bytes == nullptr || inet_ntop(family, bytes, text.data(), text.size()) == nullptr) continue;
    addresses.push_back({entry->ifa_name, text.data()});
  }
  freeifaddrs(list);
  return addresses;
}

std::vector<std::string> ReachedAt(const std::string& listen, size_t most) {
  const absl::StatusOr<HostPort> where = ParseHostPort(listen);
  if (!where.ok()) return {};
  if (where->host != "0.0.0.0" && where->host != "::") return {listen};
  std::vector<std::string> addresses;
  for (const std::string& address : ReachableFirst(OwnAddresses())) {
    if (where->host == "0.0.0.0" && IsV6(address)) continue;
    if (addresses.size() < most) addresses.push_back(FormatHostPort({address, where->port}));
  }
  return addresses;
}

}  // namespace hearth
