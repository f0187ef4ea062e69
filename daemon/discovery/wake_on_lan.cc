#include "daemon/discovery/wake_on_lan.h"

#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <sys/ioctl.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/udp.hpp>
#include <cstring>
#include <optional>

#include "absl/strings/str_cat.h"
#include "daemon/discovery/lan_addresses.h"
#include "engine/base/input_file.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;

constexpr uint16_t kDiscardPort = 9;  // where nobody listens
constexpr int kPackets = 3;
constexpr size_t kHeadBytes = 6;  // of ones

// A request about an interface, of the kinds that ioctl takes.
ifreq RequestFor(const std::string& interface) {
  ifreq request{};
  std::strncpy(request.ifr_name, interface.c_str(), IFNAMSIZ - 1);
  return request;
}

// nullopt for an interface that is no network card.
std::optional<MacAddress> MacOf(const std::string& interface, int socket) {
  ifreq request = RequestFor(interface);
  if (ioctl(socket, SIOCGIFHWADDR, &request) != 0 || request.ifr_hwaddr.sa_family != ARPHRD_ETHER)
    return std::nullopt;
  MacAddress mac;
  std::memcpy(mac.data(), request.ifr_hwaddr.sa_data, mac.size());
  return IsOfOneCard(mac) ? std::optional(mac) : std::nullopt;
}

// The driver tells root alone; what it lets the system do about waking, it tells everybody.
std::optional<bool> Wakes(const std::string& interface, int socket) {
  ethtool_wolinfo info{};
  info.cmd = ETHTOOL_GWOL;
  ifreq request = RequestFor(interface);
  request.ifr_data = reinterpret_cast<char*>(&info);
  if (ioctl(socket, SIOCETHTOOL, &request) == 0) return (info.wolopts & WAKE_MAGIC) != 0;
  const auto wakeup =
      ReadInputFile(absl::StrCat("/sys/class/net/", interface, "/device/power/wakeup"), 1 << 16);
  if (!wakeup.ok() || wakeup->empty()) return std::nullopt;
  return *wakeup == "enabled\n";
}

// Sends the packets into the network of one address.
error_code SendInto(const InterfaceAddress& network, const std::vector<MacAddress>& macs) {
  asio::io_context context;
  udp::socket socket(context);
  error_code error;
  const auto from = asio::ip::make_address_v4(network.address, error);
  if (error) return error;
  const auto to = asio::ip::make_address_v4(network.broadcast, error);
  if (!error) socket.open(udp::v4(), error);
  if (!error) socket.set_option(asio::socket_base::broadcast(true), error);
  if (!error) socket.bind({from, 0}, error);
  for (int i = 0; i < kPackets; ++i) {
    for (const MacAddress& mac : macs) {
      if (!error) socket.send_to(asio::buffer(MagicPacketFor(mac)), {to, kDiscardPort}, 0, error);
    }
  }
  return error;
}

}  // namespace

std::vector<NetworkCard> OwnNetworkCards() {
  std::vector<NetworkCard> cards;
  asio::io_context context;
  udp::socket socket(context);
  error_code error;
  socket.open(udp::v4(), error);
  if (error) return cards;
  for (const InterfaceAddress& address : OfNetworkCards(OwnAddresses())) {
    const std::optional<MacAddress> mac = MacOf(address.interface, socket.native_handle());
    const bool known = std::any_of(cards.begin(), cards.end(),
                                   [&](const NetworkCard& card) { return mac && card.mac == *mac; });
    if (!mac || known || cards.size() == kMostNetworkCards) continue;
    cards.push_back({*mac, Wakes(address.interface, socket.native_handle())});
  }
  return cards;
}

MagicPacket MagicPacketFor(const MacAddress& mac) {
  MagicPacket packet;
  std::fill_n(packet.begin(), kHeadBytes, uint8_t{0xff});
  for (size_t at = kHeadBytes; at < packet.size(); at += mac.size()) {
    std::copy(mac.begin(), mac.end(), packet.begin() + static_cast<ptrdiff_t>(at));
  }
  return packet;
}

absl::StatusOr<std::vector<std::string>> SendMagicPackets(const std::vector<MacAddress>& macs) {
  std::vector<std::string> broadcasts;
  std::string problem = "this machine has no address in a local IPv4 network";
  for (const InterfaceAddress& network : OfNetworkCards(OwnAddresses())) {
    if (network.broadcast.empty()) continue;
    if (const error_code error = SendInto(network, macs)) {
      problem = absl::StrCat(network.interface, ": ", error.message());
    } else {
      broadcasts.push_back(network.broadcast);
    }
  }
  if (broadcasts.empty()) return absl::UnavailableError(absl::StrCat("no packet could be sent: ", problem));
  return broadcasts;
}

}  // namespace hearth
