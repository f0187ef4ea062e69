#include "daemon/discovery/mdns_socket.h"

#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <boost/asio/ip/multicast.hpp>
#include <cerrno>

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::udp;
using boost::system::error_code;

template <class Value>
error_code SetOption(udp::socket& socket, int level, int name, const Value& value) {
  if (setsockopt(socket.native_handle(), level, name, &value, sizeof(value)) == 0) return {};
  return {errno, boost::system::system_category()};
}

}  // namespace

udp::endpoint MdnsGroup(bool v6) {
  return {asio::ip::make_address(v6 ? "ff02::fb" : "224.0.0.251"), kMdnsPort};
}

error_code OpenMdnsSocket(const std::string& interface, bool v6, bool listens, udp::socket& socket) {
  const auto index = static_cast<int>(if_nametoindex(interface.c_str()));
  if (index == 0) return {errno, boost::system::system_category()};
  error_code error;
  socket.open(v6 ? udp::v6() : udp::v4(), error);
  if (!error) socket.non_blocking(true, error);
  if (error) return error;
  const ip_mreqn group_v4{.imr_multiaddr = {htonl(MdnsGroup(false).address().to_v4().to_uint())},
                          .imr_address = {},
                          .imr_ifindex = index};
  error = v6 ? SetOption(socket, IPPROTO_IPV6, IPV6_MULTICAST_IF, index)
             : SetOption(socket, IPPROTO_IP, IP_MULTICAST_IF, group_v4);
  if (!error) socket.set_option(asio::ip::multicast::hops(255), error);
  if (error || !listens) return error;
  // Bound to the group nothing comes that was sent to this machine alone, from wherever that may be.
  udp::endpoint group = MdnsGroup(v6);
  if (v6) {
    asio::ip::address_v6 scoped = group.address().to_v6();
    scoped.scope_id(static_cast<unsigned long>(index));
    group.address(scoped);
  }
  socket.set_option(udp::socket::reuse_address(true), error);
  if (!error) socket.bind(group, error);
  if (error) return error;
  if (v6) {
    socket.set_option(asio::ip::multicast::join_group(group.address().to_v6(), static_cast<unsigned>(index)),
                      error);
    return error;
  }
  error = SetOption(socket, IPPROTO_IP, IP_ADD_MEMBERSHIP, group_v4);
  // Only what comes by this interface: the others have sockets of their own.
  return error ? error : SetOption(socket, IPPROTO_IP, IP_MULTICAST_ALL, 0);
}

}  // namespace hearth
