#ifndef HEARTH_DAEMON_HTTP_HTTP_STREAM_H_
#define HEARTH_DAEMON_HTTP_HTTP_STREAM_H_

#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <cstdint>
#include <optional>
#include <utility>

namespace hearth {

// The bytes of a client's connection, within TLS or as they are. Handlers are called on the socket's strand
// and hold whoever owns the stream.
class HttpStream {
 public:
  using Socket = boost::asio::ip::tcp::socket;
  using Error = boost::system::error_code;

  static constexpr uint8_t kTlsFirstByte = 22;  // a record of the handshake

  // `tls`: null for bytes as they are.
  HttpStream(Socket socket, boost::asio::ssl::context* tls) : socket_(std::move(socket)) {
    if (tls != nullptr) tls_.emplace(socket_, *tls);
  }
  HttpStream(const HttpStream&) = delete;
  HttpStream& operator=(const HttpStream&) = delete;

  bool encrypted() const { return tls_.has_value(); }
  Socket& socket() { return socket_; }

  // Waits for the client's first byte, which stays to be read: handler(error, byte).
  template <class Handler>
  void AsyncPeek(Handler handler) {
    socket_.async_receive(
        boost::asio::buffer(&first_byte_, 1), Socket::message_peek,
        [this, handler = std::move(handler)](const Error& error, size_t) { handler(error, first_byte_); });
  }
  // Of a stream that is encrypted, before all others.
  template <class Handler>
  void AsyncHandshake(Handler handler) {
    tls_->async_handshake(boost::asio::ssl::stream_base::server, std::move(handler));
  }
  // In place of a handshake.
  void BecomePlain() { tls_.reset(); }

  template <class Handler>
  void AsyncReadSome(boost::asio::mutable_buffer buffer, Handler handler) {
    if (tls_) return tls_->async_read_some(buffer, std::move(handler));
    socket_.async_read_some(buffer, std::move(handler));
  }
  template <class Handler>
  void AsyncWriteSome(boost::asio::const_buffer buffer, Handler handler) {
    if (tls_) return tls_->async_write_some(buffer, std::move(handler));
    socket_.async_write_some(buffer, std::move(handler));
  }
  // Tells the client that nothing follows. `handler` is called once the client has done so too, or never.
  template <class Handler>
  void EndOutput(Handler handler) {
    if (tls_) return tls_->async_shutdown(std::move(handler));
    Error ignored;
    socket_.shutdown(Socket::shutdown_send, ignored);
  }
  void Close() {
    Error ignored;
    socket_.close(ignored);
  }

 private:
  Socket socket_;
  std::optional<boost::asio::ssl::stream<Socket&>> tls_;
  uint8_t first_byte_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_HTTP_STREAM_H_
