#ifndef HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_IMPL_H_
#define HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_IMPL_H_

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <mutex>

#include "daemon/channel/frame_socket.h"

namespace hearth {

// What a FrameSocket is made of, for the two files that make connections; keeps Asio out of every other one.
struct FrameSocket::Impl {
  // `context` is what the socket was made with; none of its handlers ever runs.
  Impl(std::shared_ptr<boost::asio::io_context> context, boost::asio::ip::tcp::socket socket)
      : context(std::move(context)), socket(std::move(socket)) {}

  std::shared_ptr<boost::asio::io_context> context;
  boost::asio::ip::tcp::socket socket;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_IMPL_H_
