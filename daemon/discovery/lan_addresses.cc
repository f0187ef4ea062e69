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

bool IsMadeByProgram(const InterfaceAddress& address) {
  return std::any_of(kMadeByPrograms.begin(), kMadeByPrograms.end(),
                     [&](const char* name) { return absl::StartsWith(address.interface, name); });
}

int Rank(const InterfaceAddress& address) { return 2 * IsMadeByProgram(address) + IsV6(address.address); }

// In numbers; empty where it is no address of the internet's two kinds.
std::string TextOf(const sockaddr* address) {
  const void* bytes = nullptr;
  const int family = address == nullptr ? AF_UNSPEC : address->sa_family;
  if (family == AF_INET) bytes = &reinterpret_cast<const sockaddr_in*>(address)->sin_addr;
  if (family == AF_INET6) bytes = &reinterpret_cast<const sockaddr_in6*>(address)->sin6_addr;
  std::array<char, INET6_ADDRSTRLEN> text;
  if (bytes == nullptr || inet_ntop(family, bytes, text.data(), text.size()) == nullptr) return "";
  return text.data();
}

// By the netmask: what the system has noted as such is the address itself where nobody has set it.
std::string BroadcastOf(const ifaddrs& entry) {
  if ((entry.ifa_flags & IFF_BROADCAST) == 0 || entry.ifa_addr->sa_family != AF_INET) return "";
  if (entry.ifa_netmask == nullptr) return "";
  sockaddr_in all = *reinterpret_cast<const sockaddr_in*>(entry.ifa_addr);
  const uint32_t hosts = ~ntohl(reinterpret_cast<const sockaddr_in*>(entry.ifa_netmask)->sin_addr.s_addr);
  if (hosts <= 1) return "";  // a network of two addresses, or of one
  all.sin_addr.s_addr |= htonl(hosts);
  return TextOf(reinterpret_cast<const sockaddr*>(&all));
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

std::vector<InterfaceAddress> OfNetworkCards(std::vector<InterfaceAddress> addresses) {
  std::erase_if(addresses, [](const InterfaceAddress& address) {
    return IsOutOfReach(address.address) || IsMadeByProgram(address);
  });
  return addresses;
}

std::vector<InterfaceAddress> OwnAddresses() {
  std::vector<InterfaceAddress> addresses;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return addresses;
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if ((entry->ifa_flags & IFF_UP) == 0) continue;
    const std::string address = TextOf(entry->ifa_addr);
    if (address.empty()) continue;
    addresses.push_back({entry->ifa_name, address, BroadcastOf(*entry)});
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
