#include "daemon/joining/join_client.h"

#include <openssl/ssl.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/identity/certificate.h"
#include "daemon/identity/tls_context.h"
#include "daemon/joining/join_protocol.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// Owns a context of ours in Asio's way.
asio::ssl::context StrangersContext() {
  const TlsContext tls = MakeStrangersTlsContext();
  HEARTH_CHECK(SSL_CTX_up_ref(tls.get()) == 1);
  return asio::ssl::context(tls.get());
}

// A conversation with whoever listens at an address; all of it has one deadline.
class Visit {
 public:
  Visit(std::string address, Clock::time_point deadline)
      : address_(std::move(address)), deadline_(deadline), stream_(context_, tls_) {}

  absl::Status Connect() {
    HEARTH_ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(address_));
    error_code error;
    const asio::ip::address host = asio::ip::make_address(where.host, error);
    if (error) return absl::InvalidArgumentError(absl::StrCat(address_, ": ", error.message()));
    HEARTH_RETURN_IF_ERROR(Await([&](auto done) {
      stream_.lowest_layer().async_connect(tcp::endpoint(host, where.port), std::move(done));
    }));
    return Await(
        [&](auto done) { stream_.async_handshake(asio::ssl::stream_base::client, std::move(done)); });
  }

  // Whether it is the coordinator of the home: nothing is sent to anybody else.
  absl::StatusOr<std::string> CheckHome(const HostId& expected) {
    const auto authority = PeerAuthorityOf(stream_.native_handle());
    const auto coordinator = PeerOf(stream_.native_handle());
    if (!authority.ok() || !coordinator.ok() || authority->id != expected ||
        !CheckIssued(*coordinator, authority->pem).ok() || coordinator->role != Role::kCoordinator) {
      return absl::UnauthenticatedError(
          absl::StrCat(address_, " is not the coordinator that made the join code (its home is ",
                       authority.ok() ? authority->id.Short() : "unknown", ", the code's ", expected.Short(),
                       "): make a new one there with `hearth invite`"));
    }
    return authority->pem;
  }

  absl::StatusOr<JoinAnswer> Ask(const JoinRequest& request) {
    const std::string message = EncodeJoinRequest(request);
    HEARTH_RETURN_IF_ERROR(Await([&](auto done) {
      asio::async_write(stream_, asio::buffer(message),
                        [done](const error_code& error, size_t) { done(error); });
    }));
    std::vector<uint8_t> bytes(kJoinLengthBytes);
    HEARTH_RETURN_IF_ERROR(Read(bytes));
    HEARTH_ASSIGN_OR_RETURN(const size_t length, DecodeJoinLength(bytes));
    bytes.resize(length);
    HEARTH_RETURN_IF_ERROR(Read(bytes));
    return DecodeJoinAnswer(bytes);
  }

 private:
  absl::Status Read(std::vector<uint8_t>& bytes) {
    return Await([&](auto done) {
      asio::async_read(stream_, asio::buffer(bytes),
                       [done](const error_code& error, size_t) { done(error); });
    });
  }

  // Runs one operation, which `start` starts, to its end or the deadline.
  template <class Start>
  absl::Status Await(Start start) {
    error_code result = asio::error::timed_out;
    start([&result](const error_code& error) { result = error; });
    context_.restart();
    context_.run_until(deadline_);
    if (!context_.stopped()) {
      error_code ignored;
      stream_.lowest_layer().close(ignored);
      context_.run();  // lets the handlers go, which refer to `result`
      result = asio::error::timed_out;
    }
    if (!result) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("cannot connect to ", address_, ": ", result.message()));
  }

  const std::string address_;
  const Clock::time_point deadline_;
  asio::io_context context_{1};
  asio::ssl::context tls_ = StrangersContext();
  asio::ssl::stream<tcp::socket> stream_;
};

// The coordinator's encrypted port: where it was reached now.
std::string ServerAt(const std::string& address, uint16_t port) {
  HostPort where = ParseHostPort(address).value();
  where.port = port;
  return FormatHostPort(where);
}

absl::StatusOr<ConnectionKey> JoinAt(const std::string& address, const JoinCode& code,
                                     const JoinRequest& request, absl::Time now, Clock::time_point deadline) {
  Visit visit(address, deadline);
  HEARTH_RETURN_IF_ERROR(visit.Connect());
  ConnectionKey key;
  HEARTH_ASSIGN_OR_RETURN(key.authority_pem, visit.CheckHome(code.authority));
  HEARTH_ASSIGN_OR_RETURN(const JoinAnswer answer, visit.Ask(request));
  HEARTH_ASSIGN_OR_RETURN(const Certificate certificate, ParseCertificate(answer.certificate_pem));
  HEARTH_RETURN_IF_ERROR(CheckIssued(certificate, key.authority_pem));
  HEARTH_RETURN_IF_ERROR(CheckLife(certificate.life, now));
  key.certificate_pem = certificate.pem;
  key.server = ServerAt(address, answer.port);
  return key;
}

}  // namespace

absl::StatusOr<ConnectionKey> JoinHome(const JoinCode& code, const std::string& private_key_pem,
                                       const std::string& name, absl::Time now,
                                       std::chrono::milliseconds patience) {
  JoinRequest request;
  request.secret = code.secret;
  HEARTH_ASSIGN_OR_RETURN(request.signing_request_pem, MakeSigningRequest(private_key_pem, name));
  absl::Status outcome = absl::InvalidArgumentError("the join code has no address");
  bool first = true;
  for (const std::string& address : code.addresses) {
    absl::StatusOr<ConnectionKey> key = JoinAt(address, code, request, now, Clock::now() + patience);
    if (key.ok()) {
      key->private_key_pem = private_key_pem;
      return key;
    }
    // Another machine may have this address today; the right one may be at the next.
    if (!absl::IsUnavailable(key.status()) && !absl::IsUnauthenticated(key.status())) return key;
    if (std::exchange(first, false) || absl::IsUnavailable(key.status())) outcome = key.status();
  }
  return outcome;
}

}  // namespace hearth
