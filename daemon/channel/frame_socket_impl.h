#ifndef HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_IMPL_H_
#define HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_IMPL_H_

#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <memory>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/types/span.h"
#include "daemon/channel/frame_socket.h"
#include "engine/base/mutex.h"

namespace hearth {

// What a FrameSocket is made of, for the two files that make connections; keeps Asio out of every other one.
struct FrameSocket::Impl {
  // `context` is what the socket was made with; once it is a FrameSocket's none of its handlers runs.
  Impl(std::shared_ptr<boost::asio::io_context> context, boost::asio::ip::tcp::socket socket)
      : context(std::move(context)), socket(std::move(socket)) {}

  // From now on there is TLS: Handshake comes first.
  void BeginTls(const TlsContext& context, TlsEnd end);
  // As far as it goes without waiting: POLLIN or POLLOUT, which to wait for before the next call, or 0 when
  // it is done. UNAVAILABLE with the reason, without the peer's address.
  absl::StatusOr<short> Handshake();

  // Read and write what is there or fits, as Asio's functions of these names do; WriteSome takes
  // OutgoingFrame's buffers.
  size_t ReadSome(absl::Span<uint8_t> out, boost::system::error_code& error);
  size_t WriteSome(absl::Span<const boost::asio::const_buffer> buffers, boost::system::error_code& error);

  std::shared_ptr<boost::asio::io_context> context;
  boost::asio::ip::tcp::socket socket;
  // OpenSSL reads from the socket itself, and writes records that are sent together. Set before two threads
  // use it, which may not enter it at the same time; no call waits.
  std::shared_ptr<ssl_st> tls;
  Mutex tls_mutex;
  size_t encrypted ABSL_GUARDED_BY(tls_mutex) = 0;  // bytes of frames that have become records, not all sent
  size_t records_sent ABSL_GUARDED_BY(tls_mutex) = 0;  // bytes of these

 private:
  // Makes records of as many of the bytes as go out together: how many.
  size_t Encrypt(absl::Span<const boost::asio::const_buffer> buffers, boost::system::error_code& error)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(tls_mutex);
  void SendEncrypted(boost::system::error_code& error) ABSL_EXCLUSIVE_LOCKS_REQUIRED(tls_mutex);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_IMPL_H_
