#include "daemon/channel/frame_socket.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/connect.hpp>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "daemon/channel/frame_socket_impl.h"
#include "engine/base/check.h"
#include "engine/base/process_limits.h"
#include "engine/base/spin.h"
#include "engine/base/status_macros.h"
#include "proto/certificates.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = FrameSocket::Clock;

// About what waking a sleeping thread costs: until then the core is kept.
constexpr std::chrono::microseconds kSpin{30};
// Until then it is offered to others again and again: waking up would cost a decode loop, which sends the
// next message after a layer's work, a share of each of its round trips. Where CPU time is limited that time
// is worth more.
constexpr std::chrono::microseconds kStayAwake{1000};

// Waits busily, again from each Restart on.
class BusyWait {
 public:
  BusyWait() { Restart(); }

  void Restart() { start_ = Clock::now(); }
  // False when it has lasted long enough, at once from then on.
  bool Wait() {
    static const bool stays_awake = !ReadProcessLimits().cpu_time_is_limited;
    const Clock::duration waited = Clock::now() - start_;
    if (waited < kSpin) {
      CpuRelax();
      return true;
    }
    if (!stays_awake || waited >= kStayAwake) return false;
    std::this_thread::yield();
    return true;
  }

 private:
  Clock::time_point start_;
};

// The most that one TLS record carries. A call of the system costs more than encrypting it, so that several
// go out by one.
constexpr size_t kRecordBytes = 16384;
constexpr size_t kBatchBytes = 4 * kRecordBytes;

absl::Status Lost(const std::string& peer, const std::string& reason) {
  return absl::UnavailableError(absl::StrCat("tensor connection with ", peer, ": ", reason));
}

// Why a call of OpenSSL that gave `result` did not succeed, in Asio's words.
boost::system::error_code TlsError(const ssl_st* tls, int result) {
  switch (SSL_get_error(tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
      return asio::error::would_block;
    case SSL_ERROR_ZERO_RETURN:
      return asio::error::eof;
    case SSL_ERROR_SYSCALL:
      return asio::error::connection_reset;
    default:
      return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING
                 ? boost::system::error_code(asio::error::eof)
                 : asio::error::connection_aborted;
  }
}

// Where the other end was not believed because of the time.
std::string ClockWords(const ssl_st& tls) {
  const long verified = SSL_get_verify_result(&tls);
  if (verified != X509_V_ERR_CERT_NOT_YET_VALID && verified != X509_V_ERR_CERT_HAS_EXPIRED) return "";
  return absl::StrCat(" (", X509_verify_cert_error_string(verified), "; the clock of this machine says ",
                      DayText(absl::Now()), ": set it, or that of the other)");
}

int PollTimeoutMs(Clock::time_point deadline) {
  if (deadline == FrameSocket::kNoDeadline) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
  return static_cast<int>(std::clamp<int64_t>(left, 0, 1 << 30));
}

}  // namespace

absl::StatusOr<HostPort> ParseHostPort(const std::string& address) {
  const size_t colon = address.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || colon == 0 || !absl::SimpleAtoi(address.substr(colon + 1), &port) ||
      port > 65535) {
    return absl::InvalidArgumentError(absl::StrCat("\"", address, "\" is no address HOST:PORT"));
  }
  std::string host = address.substr(0, colon);
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed) host = host.substr(1, host.size() - 2);
  if (!bracketed && host.find(':') != std::string::npos) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", address, "\": write an IPv6 address as [ADDRESS]:PORT"));
  }
  return HostPort{host, static_cast<uint16_t>(port)};
}

std::string FormatHostPort(const HostPort& address) {
  if (address.host.find(':') != std::string::npos) return absl::StrCat("[", address.host, "]:", address.port);
  return absl::StrCat(address.host, ":", address.port);
}

absl::StatusOr<std::unique_ptr<FrameSocket>> FrameSocket::Connect(const std::string& address,
                                                                  Clock::time_point deadline) {
  HEARTH_ASSIGN_OR_RETURN(const HostPort parts, ParseHostPort(address));
  auto context = std::make_shared<asio::io_context>(1);
  boost::system::error_code error;
  tcp::resolver resolver(*context);
  const auto endpoints = resolver.resolve(parts.host, absl::StrCat(parts.port), error);
  if (error) return Lost(address, error.message());
  tcp::socket socket(*context);
  error = asio::error::timed_out;
  asio::async_connect(
      socket, endpoints,
      [&error](const boost::system::error_code& result, const tcp::endpoint&) { error = result; });
  context->run_until(deadline);
  if (!context->stopped()) {
    socket.close();
    context->run();  // lets the handler go, which refers to `error`
    error = asio::error::timed_out;
  }
  if (error) return Lost(address, error.message());
  return std::make_unique<FrameSocket>(std::make_unique<Impl>(std::move(context), std::move(socket)));
}

size_t FrameSocket::Impl::ReadSome(absl::Span<uint8_t> out, boost::system::error_code& error) {
  if (tls == nullptr) return socket.read_some(asio::buffer(out.data(), out.size()), error);
  MutexLock lock(&tls_mutex);
  ERR_clear_error();
  size_t received = 0;
  const int result = SSL_read_ex(tls.get(), out.data(), out.size(), &received);
  error = result == 1 ? boost::system::error_code() : TlsError(tls.get(), result);
  return received;
}

// Bytes count as sent once the system has all of what they have become: until then the same are asked for.
size_t FrameSocket::Impl::WriteSome(absl::Span<const asio::const_buffer> buffers,
                                    boost::system::error_code& error) {
  if (tls == nullptr) return socket.write_some(buffers, error);
  MutexLock lock(&tls_mutex);
  ERR_clear_error();
  error = {};
  if (encrypted == 0) encrypted = Encrypt(buffers, error);
  if (!error) SendEncrypted(error);
  return error ? 0 : std::exchange(encrypted, 0);
}

// Parts are gathered, so that a small frame is one record.
size_t FrameSocket::Impl::Encrypt(absl::Span<const asio::const_buffer> buffers,
                                  boost::system::error_code& error) {
  std::array<uint8_t, kRecordBytes> record;
  size_t gathered = 0, done = 0;
  const auto write = [&] {
    size_t written = 0;
    const int result = SSL_write_ex(tls.get(), record.data(), std::exchange(gathered, 0), &written);
    if (result != 1) error = TlsError(tls.get(), result);
    done += written;
  };
  for (asio::const_buffer part : buffers) {
    while (part.size() > 0 && done < kBatchBytes && !error) {
      const size_t count = std::min(part.size(), record.size() - gathered);
      std::memcpy(record.data() + gathered, part.data(), count);
      gathered += count;
      part += count;
      if (gathered == record.size()) write();
    }
  }
  if (gathered > 0 && !error) write();
  return done;
}

void FrameSocket::Impl::SendEncrypted(boost::system::error_code& error) {
  BIO* const records = SSL_get_wbio(tls.get());
  char* data = nullptr;
  const size_t bytes = static_cast<size_t>(BIO_get_mem_data(records, &data));
  while (records_sent < bytes && !error)
    records_sent += socket.write_some(asio::buffer(data + records_sent, bytes - records_sent), error);
  if (error) return;
  HEARTH_CHECK(BIO_reset(records) == 1);
  records_sent = 0;
}

FrameSocket::FrameSocket(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {
  // Setting an option fails only where the peer is gone already, which the first use tells.
  boost::system::error_code ignored;
  impl_->socket.non_blocking(true, ignored);
  impl_->socket.set_option(tcp::no_delay(true), ignored);
  impl_->socket.set_option(asio::socket_base::keep_alive(true), ignored);
  const tcp::endpoint endpoint = impl_->socket.remote_endpoint(ignored);
  peer_ = FormatHostPort({endpoint.address().to_string(ignored), endpoint.port()});
}

FrameSocket::~FrameSocket() = default;

void FrameSocket::Impl::BeginTls(const TlsContext& context, TlsEnd end) {
  tls = std::shared_ptr<ssl_st>(SSL_new(context.get()), SSL_free);
  HEARTH_CHECK(tls != nullptr && SSL_set_fd(tls.get(), socket.native_handle()) == 1);
  end == TlsEnd::kServer ? SSL_set_accept_state(tls.get()) : SSL_set_connect_state(tls.get());
}

absl::StatusOr<short> FrameSocket::Impl::Handshake() {
  ERR_clear_error();
  const int result = SSL_do_handshake(tls.get());
  if (result != 1) {
    const int wanted = SSL_get_error(tls.get(), result);
    if (wanted == SSL_ERROR_WANT_READ) return short{POLLIN};
    if (wanted == SSL_ERROR_WANT_WRITE) return short{POLLOUT};
    const std::string reason = wanted == SSL_ERROR_SYSCALL ? "closed by the other side" : TakeOpensslError();
    return absl::UnavailableError(absl::StrCat("no encrypted connection: ", reason, ClockWords(*tls)));
  }
  // From now on records are collected, and sent by WriteSome.
  BIO* const records = BIO_new(BIO_s_mem());
  HEARTH_CHECK(records != nullptr);
  SSL_set0_wbio(tls.get(), records);
  return short{0};
}

absl::StatusOr<Certificate> FrameSocket::StartTls(const TlsContext& context, TlsEnd end,
                                                  Clock::time_point deadline, const std::string& knock) {
  impl_->BeginTls(context, end);
  if (!knock.empty()) HEARTH_CHECK(SSL_set_tlsext_host_name(impl_->tls.get(), knock.c_str()) == 1);
  for (;;) {
    const absl::StatusOr<short> awaited = impl_->Handshake();
    if (!awaited.ok()) return Lost(peer_, std::string(awaited.status().message()));
    if (*awaited == 0) return PeerOf(impl_->tls.get());
    HEARTH_RETURN_IF_ERROR(AwaitReady(*awaited, deadline));
  }
}

// shutdown, not close: the descriptor stays ours until destruction, so that no other file can get its number
// while the other thread still uses it.
void FrameSocket::Close() { ::shutdown(impl_->socket.native_handle(), SHUT_RDWR); }

absl::Status FrameSocket::AwaitReady(short events, Clock::time_point deadline) {
  pollfd descriptor{impl_->socket.native_handle(), events, 0};
  for (;;) {
    const int ready = ::poll(&descriptor, 1, PollTimeoutMs(deadline));
    if (ready > 0) return absl::OkStatus();
    if (ready < 0 && errno != EINTR) return Lost(peer_, "poll failed");
    if (Clock::now() >= deadline) return Lost(peer_, "no answer in time");
  }
}

OutgoingFrame::OutgoingFrame(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts)
    : header_(EncodeFrameHeader(header)) {
  HEARTH_CHECK(parts.size() <= kMaxParts);
  uint64_t payload = 0;
  for (size_t i = 0; i < parts.size(); ++i) {
    parts_[i] = parts[i];
    payload += parts[i].size();
  }
  HEARTH_CHECK(payload == header.payload_bytes);
  bytes_left_ = bytes_ = kFrameHeaderBytes + payload;
}

absl::Status FrameSocket::Send(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts,
                               Clock::time_point deadline) {
  OutgoingFrame frame(header, parts);
  return Send(frame, deadline);
}

absl::Status FrameSocket::Send(OutgoingFrame& frame, Clock::time_point deadline) {
  for (;;) {
    HEARTH_RETURN_IF_ERROR(SendSome(frame));
    if (frame.sent()) return absl::OkStatus();
    HEARTH_RETURN_IF_ERROR(AwaitReady(POLLOUT, deadline));
  }
}

absl::Status FrameSocket::SendSome(OutgoingFrame& frame) {
  while (!frame.sent()) {
    std::array<asio::const_buffer, 1 + OutgoingFrame::kMaxParts> buffers;
    size_t skip = frame.bytes_ - frame.bytes_left_;
    const auto rest = [&skip](absl::Span<const uint8_t> part) {
      const size_t from_part = std::min(skip, part.size());
      skip -= from_part;
      return asio::buffer(part.data() + from_part, part.size() - from_part);
    };
    buffers[0] = rest(frame.header_);
    for (size_t i = 0; i < frame.parts_.size(); ++i) buffers[i + 1] = rest(frame.parts_[i]);
    boost::system::error_code error;
    const size_t sent = impl_->WriteSome(buffers, error);
    if (error == asio::error::would_block) return absl::OkStatus();
    if (error) return Lost(peer_, error.message());
    frame.bytes_left_ -= sent;
  }
  return absl::OkStatus();
}

absl::StatusOr<FrameHeader> FrameSocket::ReceiveHeader(Clock::time_point deadline) {
  FrameHeaderBytes bytes;
  HEARTH_RETURN_IF_ERROR(Receive(absl::MakeSpan(bytes), deadline));
  return DecodeFrameHeader(bytes);
}

absl::Status FrameSocket::Receive(absl::Span<uint8_t> out, Clock::time_point deadline) {
  BusyWait busy;
  while (!out.empty()) {
    boost::system::error_code error;
    const size_t received = impl_->ReadSome(out, error);
    if (error == asio::error::would_block) {
      if (!busy.Wait()) HEARTH_RETURN_IF_ERROR(AwaitReady(POLLIN, deadline));
      continue;
    }
    if (error) return Lost(peer_, error == asio::error::eof ? "closed by the other side" : error.message());
    out.remove_prefix(received);
    busy.Restart();
  }
  return absl::OkStatus();
}

}  // namespace hearth
