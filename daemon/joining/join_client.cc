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
#include "daemon/joining/applicants.h"
#include "daemon/joining/join_protocol.h"
#include "daemon/joining/short_code.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

// For which a coordinator may decide later than it ought to.
constexpr std::chrono::seconds kMargin{30};

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

  // Of whose home it is the coordinator. UNAUTHENTICATED where it is none.
  absl::StatusOr<Certificate> Authority() {
    const auto authority = PeerAuthorityOf(stream_.native_handle());
    const auto coordinator = PeerOf(stream_.native_handle());
    if (!authority.ok() || !coordinator.ok() || !CheckIssued(*coordinator, authority->pem).ok() ||
        coordinator->role != Role::kCoordinator) {
      return absl::UnauthenticatedError(absl::StrCat(address_, " is not the coordinator of a home"));
    }
    return authority;
  }

  // What it calls itself, made printable.
  std::string Name() { return Printable(PeerOf(stream_.native_handle()).value().name); }

  absl::Status Say(const std::string& message) {
    return Await([&](auto done) {
      asio::async_write(stream_, asio::buffer(message),
                        [done](const error_code& error, size_t) { done(error); });
    });
  }

  absl::StatusOr<std::vector<uint8_t>> Hear() {
    std::vector<uint8_t> bytes(kJoinLengthBytes);
    HEARTH_RETURN_IF_ERROR(Read(bytes));
    HEARTH_ASSIGN_OR_RETURN(const size_t length, DecodeJoinLength(bytes));
    bytes.resize(length);
    HEARTH_RETURN_IF_ERROR(Read(bytes));
    return bytes;
  }

  void SetDeadline(Clock::time_point deadline) { deadline_ = deadline; }

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
  Clock::time_point deadline_;
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

// Of one who was admitted; without its private key.
absl::StatusOr<ConnectionKey> KeyFrom(const JoinAnswer& answer, const Certificate& authority,
                                      const std::string& address, absl::Time now) {
  ConnectionKey key;
  HEARTH_ASSIGN_OR_RETURN(const Certificate certificate, ParseCertificate(answer.certificate_pem));
  HEARTH_RETURN_IF_ERROR(CheckIssued(certificate, authority.pem));
  HEARTH_RETURN_IF_ERROR(CheckLife(certificate.life, now));
  key.authority_pem = authority.pem;
  key.certificate_pem = certificate.pem;
  key.server = ServerAt(address, answer.port);
  return key;
}

absl::StatusOr<ConnectionKey> JoinAt(const std::string& address, const JoinCode& code,
                                     const JoinRequest& request, absl::Time now, Clock::time_point deadline) {
  Visit visit(address, deadline);
  HEARTH_RETURN_IF_ERROR(visit.Connect());
  const absl::StatusOr<Certificate> authority = visit.Authority();
  // Nothing is sent to anybody else.
  if (!authority.ok() || authority->id != code.authority) {
    return absl::UnauthenticatedError(
        absl::StrCat(address, " is not the coordinator that made the join code (its home is ",
                     authority.ok() ? authority->id.Short() : "unknown", ", the code's ",
                     code.authority.Short(), "): make a new one there with `hearth invite`"));
  }
  HEARTH_RETURN_IF_ERROR(visit.Say(EncodeJoinRequest(request)));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<uint8_t> bytes, visit.Hear());
  HEARTH_ASSIGN_OR_RETURN(const JoinAnswer answer, DecodeJoinAnswer(bytes));
  return KeyFrom(answer, *authority, address, now);
}

struct Waiting {
  Certificate authority;
  AtTheDoor shown;
};

absl::StatusOr<Waiting> Knock(Visit& visit, const JoinReveal& reveal) {
  HEARTH_RETURN_IF_ERROR(visit.Connect());
  Waiting waiting;
  HEARTH_ASSIGN_OR_RETURN(waiting.authority, visit.Authority());
  HEARTH_RETURN_IF_ERROR(visit.Say(EncodeJoinCommitment(CommitmentTo(reveal))));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<uint8_t> greeting, visit.Hear());
  HEARTH_ASSIGN_OR_RETURN(const JoinNonce nonce, DecodeJoinNonce(greeting));
  HEARTH_RETURN_IF_ERROR(visit.Say(EncodeJoinReveal(reveal)));
  HEARTH_ASSIGN_OR_RETURN(const std::vector<uint8_t> waits, visit.Hear());
  HEARTH_RETURN_IF_ERROR(DecodeJoinWaiting(waits));
  waiting.shown = {ShortCodeOf(reveal, nonce, waiting.authority.id), visit.Name(), waiting.authority.id};
  return waiting;
}

absl::StatusOr<JoinAnswer> AwaitDecision(Visit& visit, const std::string& address) {
  visit.SetDeadline(Clock::now() + Applicants::kPatience + kMargin);
  const absl::StatusOr<std::vector<uint8_t>> bytes = visit.Hear();
  if (bytes.ok()) return DecodeJoinAnswer(*bytes);
  return absl::UnavailableError(absl::StrCat("the coordinator at ", address,
                                             " was lost before it was told what to do (",
                                             bytes.status().message(), "): start this again for a new code"));
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

absl::StatusOr<ConnectionKey> AskToJoin(const std::vector<std::string>& doors,
                                        const std::string& private_key_pem, const std::string& name,
                                        absl::Time now,
                                        const std::function<absl::Status(const AtTheDoor&)>& show,
                                        std::chrono::milliseconds patience) {
  JoinReveal reveal;
  HEARTH_ASSIGN_OR_RETURN(reveal.signing_request_pem, MakeSigningRequest(private_key_pem, name));
  absl::Status outcome = absl::InvalidArgumentError("the coordinator has no address");
  for (const std::string& address : doors) {
    reveal.nonce = MakeJoinNonce();
    Visit visit(address, Clock::now() + patience);
    const absl::StatusOr<Waiting> waiting = Knock(visit, reveal);
    outcome = waiting.status();
    if (absl::IsUnavailable(outcome)) continue;
    HEARTH_RETURN_IF_ERROR(outcome);
    HEARTH_RETURN_IF_ERROR(show(waiting->shown));
    HEARTH_ASSIGN_OR_RETURN(const JoinAnswer answer, AwaitDecision(visit, address));
    HEARTH_ASSIGN_OR_RETURN(ConnectionKey key, KeyFrom(answer, waiting->authority, address, now));
    key.private_key_pem = private_key_pem;
    return key;
  }
  return outcome;
}

}  // namespace hearth
