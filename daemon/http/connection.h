#ifndef HEARTH_DAEMON_HTTP_CONNECTION_H_
#define HEARTH_DAEMON_HTTP_CONNECTION_H_

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "daemon/http/exchange.h"
#include "daemon/http/http_server.h"
#include "daemon/http/http_stream.h"

namespace hearth {

// One client's connection: reads requests one after the other, hands each to the handler and writes what its
// exchange says. It reads on while an answer is under way, so that a client that goes is noticed.
//
// Everything happens on the strand that the socket was made with. Whatever is under way holds a reference, so
// a connection lives until it is closed and its exchange is let go.
class Connection : public std::enable_shared_from_this<Connection> {
 public:
  using Tcp = boost::asio::ip::tcp;
  enum class State {
    kHandshake,  // of TLS
    kIdle,       // between requests
    kHeader,     // a request has begun
    kBody,       // its header is there
    kAnswering,  // the handler has it
    kLingering,  // all is written; waits for the client to close, since closing first could lose the answer
    kClosed,
  };

  // `handler` and `limits` outlive its use; `closed` is called once, on the strand. `context` is the
  // socket's. `tls`: null for a plain connection.
  Connection(std::shared_ptr<boost::asio::io_context> context, Tcp::socket socket,
             boost::asio::ssl::context* tls, HttpHandler& handler, const HttpLimits& limits,
             std::function<void(Connection*)> closed);

  // The following are for the strand.
  void Start();
  // Closes when the answer under way, if any, is written.
  void StopSoon();
  void Close();
  // Whether it has no request.
  bool idle() const { return state_ == State::kIdle || state_ == State::kHandshake; }
  auto executor() { return stream_.socket().get_executor(); }

 private:
  friend class ConnectionExchange;
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  void OnFirstByte(uint8_t byte);
  // Waits for the next request.
  void BecomeIdle();
  void Read();
  void OnRead(const boost::system::error_code& error, size_t bytes);
  // Takes what was read as far as it goes.
  void Parse();
  void BeginRequest();
  void OnHeader();
  void Dispatch();
  // The request cannot be read on: says why and closes.
  void Refuse(HttpResponse response);
  void Refuse(int code, const std::string& message);
  void OnParseError(const boost::system::error_code& error);

  // What an exchange does.
  void Send(HttpResponse response);
  void BeginStream(HttpResponse head);
  void WritePiece(std::string piece, std::function<void()> written);
  void EndStream();
  void WhenGone(std::function<void()> gone);

  std::string Head(const HttpResponse& response, std::optional<size_t> body_bytes) const;
  void Enqueue(std::string data, std::function<void()> written);
  void WriteNext();
  void OnWritten(const boost::system::error_code& error, size_t bytes);
  // The answer is complete once what is queued is written.
  void EndAnswer();
  void OnAnswered();
  void Linger();

  // What is to happen unless something else does before. One deadline at a time.
  void SetDeadline(std::chrono::milliseconds after);
  void ClearDeadline();
  void OnDeadline();

  const std::shared_ptr<boost::asio::io_context> context_;  // goes last
  HttpStream stream_;
  const boost::asio::ip::address client_;
  HttpHandler& handler_;
  const HttpLimits& limits_;
  std::function<void(Connection*)> closed_;
  boost::asio::steady_timer deadline_;

  State state_ = State::kIdle;
  bool stopping_ = false;  // no request after this one
  std::array<char, 8192> read_buffer_;
  bool reading_ = false;
  std::string pending_;  // read and not taken yet
  std::optional<Parser> parser_;

  // Of the request that is being answered.
  bool keep_alive_ = false;
  bool chunked_ = false;  // HTTP/1.0 clients know no chunks: their stream ends with the connection
  bool head_only_ = false;
  bool input_ended_ = false;
  bool answer_ended_ = false;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::function<void()> gone_;

  struct Piece {
    std::string data;
    std::function<void()> written;
  };
  std::deque<Piece> out_;
  size_t written_bytes_ = 0;  // of the first piece
  bool writing_ = false;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_HTTP_CONNECTION_H_
