#ifndef HEARTH_DAEMON_DISCOVERY_MDNS_SOCKET_H_
#define HEARTH_DAEMON_DISCOVERY_MDNS_SOCKET_H_

#include <boost/asio/ip/udp.hpp>
#include <string>

namespace hearth {

inline constexpr uint16_t kMdnsPort = 5353;

// Where questions of multicast DNS go to.
boost::asio::ip::udp::endpoint MdnsGroup(bool v6);

// Opens a socket that speaks to the others on this interface: `listens` to what all are sent, at the port
// that all share, or has a port of its own.
boost::system::error_code OpenMdnsSocket(const std::string& interface, bool v6, bool listens,
                                         boost::asio::ip::udp::socket& socket);

}  // namespace hearth

#endif  // HEARTH_DAEMON_DISCOVERY_MDNS_SOCKET_H_
