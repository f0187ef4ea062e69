#include "daemon/http/connection.h"

#include <boost/asio/bind_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/post.hpp>
#include <boost/beast/http/status.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "absl/time/clock.h"
#include "daemon/channel/tcp_listener.h"
#include "daemon/http/api_error.h"
#include "daemon/http/own_page.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
namespace http = boost::beast::http;
using boost::system::error_code;

constexpr size_t kWriteBytes = size_t{64} << 10;
constexpr std::chrono::milliseconds kLinger{2000};

int HexDigit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// The path of a target "/v1/models/a%20b?x=y" as text: "/v1/models/a b". What is no escape stays as it is.
std::string PathOf(absl::string_view target) {
  target = target.substr(0, target.find_first_of("?#"));
  std::string path;
  for (size_t i = 0; i < target.size(); ++i) {
    const int high = target[i] == '%' && i + 2 < target.size() ? HexDigit(target[i + 1]) : -1;
    const int low = high >= 0 ? HexDigit(target[i + 2]) : -1;
    path += low >= 0 ? static_cast<char>(high * 16 + low) : target[i];
    if (low >= 0) i += 2;
  }
  return path;
}

std::string Field(const http::fields& fields, http::field name) {
  const auto value = fields[name];
  return std::string(value.data(), value.size());
}

// "Bearer KEY" in the one header, or KEY in the other.
std::string KeyOf(const http::fields& fields) {
  constexpr absl::string_view kScheme = "Bearer ";
  const std::string shown = Field(fields, http::field::authorization);
  if (absl::StartsWithIgnoreCase(shown, kScheme)) {
    return std::string(absl::StripAsciiWhitespace(absl::string_view(shown).substr(kScheme.size())));
  }
  const auto key = fields["x-api-key"];
  return std::string(key.data(), key.size());
}

// All but the body.
HttpRequest ToRequest(const http::request<http::string_body>& message, const asio::ip::address& client) {
  HttpRequest request;
  request.method = std::string(message.method_string());
  if (request.method == "HEAD") request.method = "GET";
  request.path = PathOf({message.target().data(), message.target().size()});
  request.content_type = Field(message, http::field::content_type);
  request.content_encoding = Field(message, http::field::content_encoding);
  request.origin = Field(message, http::field::origin);
  request.requested_headers = Field(message, http::field::access_control_request_headers);
  request.host = Field(message, http::field::host);
  request.if_none_match = Field(message, http::field::if_none_match);
  request.client = client.to_string();
  request.from_this_machine = IsLoopback(client);
  request.key = KeyOf(message);
  request.has_body = message.chunked() || message.has_content_length();
  const auto last_event_id = message["Last-Event-ID"];
  request.last_event_id = std::string(last_event_id.data(), last_event_id.size());
  return request;
}

asio::ip::address AddressOf(const asio::ip::tcp::socket& socket) {
  error_code gone;
  return socket.remote_endpoint(gone).address();
}

}  // namespace

// What a handler has of a connection. Its work guard keeps the server's threads for as long as it is held.
class ConnectionExchange final : public Exchange {
 public:
  explicit ConnectionExchange(std::shared_ptr<Connection> connection)
      : connection_(std::move(connection)), work_(asio::make_work_guard(connection_->executor())) {}

  void Post(std::function<void()> task) override {
    // The task may let go of this exchange, and the server end, before post returns.
    const std::shared_ptr<Connection> connection = connection_;
    asio::post(connection->executor(), std::move(task));
  }
  void AddHeader(std::string name, std::string value) override {
    connection_->headers_.emplace_back(std::move(name), std::move(value));
  }
  void Send(HttpResponse response) override { connection_->Send(std::move(response)); }
  void BeginStream(HttpResponse head) override { connection_->BeginStream(std::move(head)); }
  void Write(std::string piece, std::function<void()> written) override {
    connection_->WritePiece(std::move(piece), std::move(written));
  }
  void EndStream() override { connection_->EndStream(); }
  void WhenGone(std::function<void()> gone) override { connection_->WhenGone(std::move(gone)); }
  void Abort() override { connection_->Close(); }

 private:
  // The connection has the context that letting go of the work touches, so it goes last.
  const std::shared_ptr<Connection> connection_;
  asio::executor_work_guard<asio::any_io_executor> work_;
};

Connection::Connection(std::shared_ptr<asio::io_context> context, Tcp::socket socket, asio::ssl::context* tls,
                       HttpHandler& handler, const HttpLimits& limits,
                       std::function<void(Connection*)> closed)
    : context_(std::move(context)),
      stream_(std::move(socket), tls),
      client_(AddressOf(stream_.socket())),
      handler_(handler),
      limits_(limits),
      closed_(std::move(closed)),
      deadline_(executor()) {}

void Connection::Start() {
  if (!stream_.encrypted()) return BecomeIdle();
  state_ = State::kHandshake;
  SetDeadline(limits_.handshake);
  stream_.AsyncPeek([self = shared_from_this()](const error_code& error, uint8_t byte) {
    if (error) return self->Close();
    self->OnFirstByte(byte);
  });
}

void Connection::OnFirstByte(uint8_t byte) {
  if (byte != HttpStream::kTlsFirstByte) {
    stream_.BecomePlain();
    return Refuse(400, "this port speaks HTTPS: ask it by https:// in place of http://");
  }
  stream_.AsyncHandshake([self = shared_from_this()](const error_code& error) {
    if (self->state_ == State::kClosed) return;
    if (error) return self->Close();
    self->BecomeIdle();
  });
}

void Connection::BecomeIdle() {
  state_ = State::kIdle;
  SetDeadline(limits_.idle);
  Read();
}

void Connection::StopSoon() {
  stopping_ = true;
  keep_alive_ = false;
  if (state_ != State::kAnswering && state_ != State::kLingering) Close();
}

void Connection::Close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  stream_.Close();
  deadline_.cancel();
  if (!writing_) out_.clear();  // else when the write ends: it reads from the first piece
  if (auto gone = std::exchange(gone_, nullptr)) gone();
  closed_(this);
}

void Connection::Read() {
  if (reading_ || input_ended_ || state_ == State::kClosed) return;
  if (state_ == State::kAnswering && pending_.size() >= limits_.ahead_bytes) return;
  reading_ = true;
  stream_.AsyncReadSome(
      asio::buffer(read_buffer_),
      [self = shared_from_this()](const error_code& error, size_t bytes) { self->OnRead(error, bytes); });
}

void Connection::OnRead(const error_code& error, size_t bytes) {
  reading_ = false;
  if (state_ == State::kClosed) return;
  if (error) {
    // A client that has ended its half may still want a short answer; nobody generates for it.
    input_ended_ = true;
    keep_alive_ = false;
    if (error != asio::error::eof || state_ != State::kAnswering || gone_) Close();
    return;
  }
  if (state_ == State::kLingering) return Read();
  pending_.append(read_buffer_.data(), bytes);
  if (state_ == State::kAnswering) return Read();
  Parse();
}

void Connection::Parse() {
  while (!pending_.empty()) {
    if (state_ == State::kIdle) BeginRequest();
    error_code error;
    const size_t used = parser_->put(asio::buffer(pending_), error);
    pending_.erase(0, used);
    if (error && error != http::error::need_more) return OnParseError(error);
    if (state_ == State::kHeader && parser_->is_header_done()) OnHeader();
    if (state_ == State::kAnswering) return;  // refused
    if (parser_->is_done()) return Dispatch();
    if (used == 0) break;
  }
  Read();
}

void Connection::BeginRequest() {
  state_ = State::kHeader;
  parser_.emplace();
  parser_->eager(true);
  parser_->header_limit(static_cast<std::uint32_t>(limits_.header_bytes));
  parser_->body_limit(limits_.body_bytes);
  headers_.clear();
  SetDeadline(limits_.header);
}

void Connection::OnHeader() {
  state_ = State::kBody;
  if (auto refusal = handler_.RefuseEarly(ToRequest(parser_->get(), client_)))
    return Refuse(*std::move(refusal));
  SetDeadline(limits_.body);
  const auto expected = parser_->get()[http::field::expect];
  if (!parser_->is_done() && absl::EqualsIgnoreCase({expected.data(), expected.size()}, "100-continue")) {
    Enqueue("HTTP/1.1 100 Continue\r\n\r\n", nullptr);
  }
}

void Connection::Dispatch() {
  state_ = State::kAnswering;
  ClearDeadline();
  http::request<http::string_body> message = parser_->release();
  parser_.reset();
  keep_alive_ = message.keep_alive() && !stopping_;
  chunked_ = message.version() >= 11;
  head_only_ = message.method() == http::verb::head;
  answer_ended_ = false;
  gone_ = nullptr;
  HttpRequest request = ToRequest(message, client_);
  request.body = std::move(message.body());
  handler_.Handle(std::move(request), std::make_shared<ConnectionExchange>(shared_from_this()));
  Read();
}

void Connection::OnParseError(const error_code& error) {
  if (error == http::error::body_limit) {
    return Refuse(413, absl::StrCat("the body is larger than ", limits_.body_bytes, " bytes"));
  }
  if (error == http::error::header_limit || error == http::error::buffer_overflow) {
    return Refuse(431, absl::StrCat("the header is larger than ", limits_.header_bytes, " bytes"));
  }
  Refuse(400, absl::StrCat("this is no HTTP/1.1 request: ", error.message()));
}

void Connection::Refuse(int code, const std::string& message) {
  Refuse(ErrorResponse(Refusal(code, message)));
}

void Connection::Refuse(HttpResponse response) {
  state_ = State::kAnswering;
  ClearDeadline();
  keep_alive_ = false;
  pending_.clear();
  chunked_ = true;
  head_only_ = false;
  answer_ended_ = false;
  headers_.clear();
  Send(std::move(response));
}

void Connection::WhenGone(std::function<void()> gone) {
  gone_ = std::move(gone);
  if (state_ == State::kClosed || input_ended_) {
    if (auto call = std::exchange(gone_, nullptr)) call();
    Close();
  }
}

std::string Connection::Head(const HttpResponse& response, std::optional<size_t> body_bytes) const {
  const auto reason = http::obsolete_reason(http::int_to_status(static_cast<unsigned>(response.code)));
  std::string head = absl::StrCat(
      "HTTP/1.1 ", response.code, " ", absl::string_view(reason.data(), reason.size()),
      "\r\nDate: ", absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", absl::Now(), absl::UTCTimeZone()), "\r\n");
  if (!response.content_type.empty()) absl::StrAppend(&head, "Content-Type: ", response.content_type, "\r\n");
  if (body_bytes) absl::StrAppend(&head, "Content-Length: ", *body_bytes, "\r\n");
  if (!body_bytes && chunked_) absl::StrAppend(&head, "Transfer-Encoding: chunked\r\n");
  if (!keep_alive_) absl::StrAppend(&head, "Connection: close\r\n");
  for (const auto& [name, value] : headers_) absl::StrAppend(&head, name, ": ", value, "\r\n");
  for (const auto& [name, value] : response.headers) absl::StrAppend(&head, name, ": ", value, "\r\n");
  return head + "\r\n";
}

void Connection::Send(HttpResponse response) {
  if (state_ != State::kAnswering || answer_ended_) return;
  std::string answer = Head(response, response.body.size());
  if (!head_only_) answer += response.body;
  Enqueue(std::move(answer), nullptr);
  EndAnswer();
}

void Connection::BeginStream(HttpResponse head) {
  if (state_ != State::kAnswering || answer_ended_) return;
  if (!chunked_) keep_alive_ = false;
  Enqueue(Head(head, std::nullopt), nullptr);
  if (!head.body.empty()) WritePiece(std::move(head.body), nullptr);
}

void Connection::WritePiece(std::string piece, std::function<void()> written) {
  if (state_ != State::kAnswering || answer_ended_) return;
  if (chunked_) piece = absl::StrCat(absl::Hex(piece.size()), "\r\n", piece, "\r\n");
  if (head_only_) piece.clear();
  Enqueue(std::move(piece), std::move(written));
}

void Connection::EndStream() {
  if (state_ != State::kAnswering || answer_ended_) return;
  if (chunked_ && !head_only_) Enqueue("0\r\n\r\n", nullptr);
  EndAnswer();
}

void Connection::Enqueue(std::string data, std::function<void()> written) {
  out_.push_back({std::move(data), std::move(written)});
  if (!writing_) WriteNext();
}

void Connection::WriteNext() {
  writing_ = true;
  if (state_ == State::kAnswering) SetDeadline(limits_.write);
  const absl::string_view rest = absl::string_view(out_.front().data).substr(written_bytes_);
  stream_.AsyncWriteSome(
      asio::buffer(rest.substr(0, kWriteBytes)),
      [self = shared_from_this()](const error_code& error, size_t bytes) { self->OnWritten(error, bytes); });
}

void Connection::OnWritten(const error_code& error, size_t bytes) {
  writing_ = false;
  if (state_ == State::kClosed) return out_.clear();
  if (error) return Close();
  written_bytes_ += bytes;
  if (written_bytes_ < out_.front().data.size()) return WriteNext();
  const auto written = std::move(out_.front().written);
  out_.pop_front();
  written_bytes_ = 0;
  if (!out_.empty()) {
    WriteNext();
  } else if (state_ == State::kAnswering) {
    ClearDeadline();
  }
  if (written) written();
  if (answer_ended_ && !writing_ && out_.empty() && state_ == State::kAnswering) OnAnswered();
}

void Connection::EndAnswer() {
  if (state_ != State::kAnswering || answer_ended_) return;
  answer_ended_ = true;
  gone_ = nullptr;
  if (!writing_ && out_.empty()) OnAnswered();
}

void Connection::OnAnswered() {
  if (!keep_alive_) return Linger();
  state_ = State::kIdle;
  SetDeadline(limits_.idle);
  // Not from here: the handler that gave the answer at once is still at work, and requests may be many.
  asio::post(executor(), [self = shared_from_this()] {
    if (self->state_ == State::kIdle) self->Parse();
  });
}

void Connection::Linger() {
  if (input_ended_) return Close();
  state_ = State::kLingering;
  stream_.EndOutput([self = shared_from_this()](const error_code&) {});
  SetDeadline(kLinger);
  pending_.clear();
  Read();
}

void Connection::SetDeadline(std::chrono::milliseconds after) {
  deadline_.expires_after(after);
  deadline_.async_wait([self = shared_from_this()](const error_code& error) {
    // A handler that was on its way already when the deadline was moved comes too early.
    if (error || self->deadline_.expiry() > asio::steady_timer::clock_type::now()) return;
    self->OnDeadline();
  });
}

void Connection::ClearDeadline() { deadline_.expires_at(asio::steady_timer::time_point::max()); }

void Connection::OnDeadline() {
  switch (state_) {
    case State::kHeader:
    case State::kBody:
      return Refuse(408, "the request came too slowly; send it again");
    case State::kClosed:
      return;
    default:
      return Close();
  }
}

}  // namespace hearth
