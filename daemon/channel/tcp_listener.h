#ifndef HEARTH_DAEMON_CHANNEL_TCP_LISTENER_H_
#define HEARTH_DAEMON_CHANNEL_TCP_LISTENER_H_

#include <spdlog/spdlog.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <string>
#include <utility>

#include "daemon/channel/stranger_limits.h"

namespace hearth {

// What a caller from this address is told apart by.
inline std::string NetworkOf(const boost::asio::ip::address& address) {
  if (address.is_v4()) return NetworkOf(address.to_v4().to_bytes());
  return NetworkOf(address.to_v6().to_bytes());
}

// Whether it is this machine's own, also as IPv6 writes those of IPv4.
inline bool IsLoopback(const boost::asio::ip::address& address) {
  if (address.is_v6() && address.to_v6().is_v4_mapped())
    return boost::asio::ip::make_address_v4(boost::asio::ip::v4_mapped, address.to_v6()).is_loopback();
  return address.is_loopback();
}

// Takes the connections of a port as they come, by handlers of `context`, which outlives it. What the system
// cannot give at the moment, for want of file descriptors say, is asked for again.
class TcpListener {
 public:
  using Tcp = boost::asio::ip::tcp;

  TcpListener(boost::asio::io_context& context, std::function<void(Tcp::socket)> taken)
      : taken_(std::move(taken)), acceptor_(context), again_(context) {}

  boost::system::error_code Listen(const Tcp::endpoint& endpoint) {
    boost::system::error_code error;
    acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(Tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(boost::asio::socket_base::max_listen_connections, error);
    if (!error) Accept();
    return error;
  }

  // Where it listens, with the real port.
  Tcp::endpoint endpoint() const { return acceptor_.local_endpoint(); }

 private:
  void Accept() {
    acceptor_.async_accept([this](const boost::system::error_code& error, Tcp::socket socket) {
      if (!error) {
        warned_ = false;
        taken_(std::move(socket));
        return Accept();
      }
      if (error != boost::asio::error::operation_aborted && !std::exchange(warned_, true))
        spdlog::warn("a port takes nobody: {}; trying again", error.message());
      again_.expires_after(std::chrono::milliseconds(100));
      again_.async_wait([this](const boost::system::error_code& cancelled) {
        if (!cancelled) Accept();
      });
    });
  }

  const std::function<void(Tcp::socket)> taken_;
  Tcp::acceptor acceptor_;
  boost::asio::steady_timer again_;
  bool warned_ = false;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_TCP_LISTENER_H_
