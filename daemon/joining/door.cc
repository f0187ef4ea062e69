#include "daemon/joining/door.h"

#include <openssl/ssl.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/log_limiter.h"
#include "daemon/channel/tcp_listener.h"
#include "daemon/identity/tls_context.h"
#include "daemon/joining/join_protocol.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::seconds kLinesApart{5};

// One who stands at the door: handshake, request, answer. Lives while one of its operations does.
class Visitor : public std::enable_shared_from_this<Visitor> {
 public:
  using Admit = std::function<absl::StatusOr<JoinAnswer>(const JoinRequest&)>;

  Visitor(tcp::socket socket, asio::ssl::context& context, Admit admit, std::function<void()> gone)
      : stream_(std::move(socket), context),
        timer_(stream_.get_executor()),
        admit_(std::move(admit)),
        gone_(std::move(gone)) {
    error_code ignored;
    address_ = stream_.lowest_layer().remote_endpoint(ignored).address();
  }
  ~Visitor() { gone_(); }

  const asio::ip::address& address() const { return address_; }

  void Start(std::chrono::milliseconds patience) {
    timer_.expires_after(patience);
    timer_.async_wait([weak = weak_from_this()](const error_code& error) {
      if (const auto self = weak.lock(); self && !error) self->SendAway();
    });
    stream_.async_handshake(asio::ssl::stream_base::server,
                            [self = shared_from_this()](const error_code& error) {
                              if (!error) self->ReadLength();
                            });
  }

  void SendAway() {
    error_code ignored;
    stream_.lowest_layer().close(ignored);
  }

 private:
  void ReadLength() {
    message_.resize(kJoinLengthBytes);
    asio::async_read(stream_, asio::buffer(message_),
                     [self = shared_from_this()](const error_code& error, size_t) {
                       const absl::StatusOr<size_t> length =
                           error ? absl::CancelledError("gone") : DecodeJoinLength(self->message_);
                       if (length.ok()) self->ReadRequest(*length);
                     });
  }

  void ReadRequest(size_t length) {
    message_.resize(length);
    asio::async_read(stream_, asio::buffer(message_),
                     [self = shared_from_this()](const error_code& error, size_t) {
                       if (!error) self->Answer();
                     });
  }

  void Answer() {
    const absl::StatusOr<JoinRequest> request = DecodeJoinRequest(message_);
    answer_ = EncodeJoinAnswer(request.ok() ? admit_(*request) : request.status());
    asio::async_write(stream_, asio::buffer(answer_),
                      [self = shared_from_this()](const error_code&, size_t) { self->timer_.cancel(); });
  }

  asio::ssl::stream<tcp::socket> stream_;
  asio::steady_timer timer_;
  const Admit admit_;
  const std::function<void()> gone_;
  asio::ip::address address_;
  std::vector<uint8_t> message_;
  std::string answer_;
};

// The certificate is shown to everybody, and nobody is asked for one.
absl::StatusOr<std::unique_ptr<asio::ssl::context>> MakeContext(const Home& home) {
  HEARTH_ASSIGN_OR_RETURN(const TlsContext tls, MakeTlsContext(home.live_key()));
  SSL_CTX_set_verify(tls.get(), SSL_VERIFY_NONE, nullptr);
  HEARTH_CHECK(SSL_CTX_up_ref(tls.get()) == 1);
  return std::make_unique<asio::ssl::context>(tls.get());
}

// All but construction and destruction happens on one thread.
class AsioDoor final : public Door {
 public:
  AsioDoor(const DoorOptions& options, Home& home, std::unique_ptr<asio::ssl::context> tls)
      : options_(options),
        home_(home),
        tls_(std::move(tls)),
        port_(context_, [this](tcp::socket socket) { Receive(std::move(socket)); }) {}

  ~AsioDoor() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    HEARTH_ASSIGN_OR_RETURN(HostPort where, ParseHostPort(options_.listen));
    error_code error;
    const asio::ip::address host = asio::ip::make_address(where.host, error);
    // An address of one interface means nothing on another machine, and a join code cannot say it.
    if (!error && where.host.find('%') != std::string::npos) error = asio::error::invalid_argument;
    if (!error) error = port_.Listen({host, where.port});
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot listen for new hosts on ", options_.listen, ": ",
                                                 error.message(),
                                                 "; choose another address with hearthd --lan HOST:PORT"));
    }
    where.port = port_.endpoint().port();
    address_ = FormatHostPort(where);
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

 private:
  void Receive(tcp::socket socket) {
    const auto place = visitors_.emplace(visitors_.end());
    const auto visitor = std::make_shared<Visitor>(
        std::move(socket), *tls_,
        [this, place](const JoinRequest& request) { return Admit(request, *place); },
        [this, place] { visitors_.erase(place); });
    MakeRoom(visitor->address());
    *place = visitor;
    visitor->Start(options_.patience);
  }

  // For one more from this address.
  void MakeRoom(const asio::ip::address& address) {
    std::vector<std::shared_ptr<Visitor>> present;
    std::vector<std::string> networks;
    for (const std::weak_ptr<Visitor>& weak : visitors_) {
      const auto visitor = weak.lock();
      if (visitor == nullptr) continue;
      present.push_back(visitor);
      networks.push_back(NetworkOf(visitor->address()));
    }
    const auto leaving = WhoMakesRoom(networks, NetworkOf(address), options_.per_address, options_.visitors);
    if (leaving) present[*leaving]->SendAway();
  }

  absl::StatusOr<JoinAnswer> Admit(const JoinRequest& request, const std::weak_ptr<Visitor>& visitor) {
    const auto self = visitor.lock();
    const std::string from = self == nullptr ? "" : self->address().to_string();
    absl::StatusOr<std::string> certificate = home_.Admit(request.secret, request.signing_request_pem);
    if (!certificate.ok()) {
      if (const auto left_out = limiter_.Allow()) {
        spdlog::warn("refused to let {} join: {} ({} similar lines left out)", from,
                     Printable(certificate.status().message()), *left_out);
      }
      return certificate.status();
    }
    const absl::StatusOr<Certificate> parsed = ParseCertificate(*certificate);
    HEARTH_CHECK(parsed.ok());
    spdlog::info("host {} ({}) joins the home from {}", parsed->name, parsed->id.Short(), from);
    return JoinAnswer{*std::move(certificate), options_.grpc_port};
  }

  const DoorOptions options_;
  Home& home_;
  LogLimiter limiter_{kLinesApart};
  std::string address_;
  const std::unique_ptr<asio::ssl::context> tls_;
  std::list<std::weak_ptr<Visitor>> visitors_;  // in the order in which they came; outlives them
  asio::io_context context_{1};
  TcpListener port_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Door>> Door::Open(const DoorOptions& options, Home& home) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<asio::ssl::context> tls, MakeContext(home));
  auto door = std::make_unique<AsioDoor>(options, home, std::move(tls));
  HEARTH_RETURN_IF_ERROR(door->Listen());
  return door;
}

}  // namespace hearth
