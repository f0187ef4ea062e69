#include "daemon/channel/lobby.h"

#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket_impl.h"
#include "daemon/channel/knock.h"
#include "daemon/channel/tcp_listener.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = FrameSocket::Clock;

constexpr uint8_t kTlsHandshakeRecord = 22;
// A leader's first flight is shorter, and comes in one piece.
constexpr size_t kFirstBytes = 1024;

// Strangers are gone before the context, which keeps their handlers.
std::shared_ptr<asio::io_context> NotOwned(asio::io_context& context) {
  return {std::shared_ptr<void>(), &context};
}

// One who has not said hello. All happens on the lobby's thread. Lives while it waits for something.
class Stranger : public std::enable_shared_from_this<Stranger> {
 public:
  // Asks whether TLS may begin for one who has sent these first bytes.
  using MayBegin = std::function<bool(Stranger&, absl::Span<const uint8_t>)>;
  // It has said hello, or is sent away: the last that it does.
  using Leave = std::function<void(Stranger&, const absl::Status&)>;

  Stranger(std::unique_ptr<FrameSocket::Impl> impl, TlsContext tls, MayBegin may_begin, Leave leave)
      : impl_(std::move(impl)),
        timer_(impl_->socket.get_executor()),
        tls_(std::move(tls)),
        may_begin_(std::move(may_begin)),
        leave_(std::move(leave)) {
    error_code ignored;
    impl_->socket.non_blocking(true, ignored);
    peer_ = impl_->socket.remote_endpoint(ignored);
    network_ = NetworkOf(peer_.address());
  }

  const std::string& network() const { return network_; }
  void TakeAsOneOf(std::string network) { network_ = std::move(network); }
  std::string peer() const { return FormatHostPort({peer_.address().to_string(), peer_.port()}); }
  const FrameHeader& hello() const { return hello_; }
  const SessionToken& token() const { return token_; }
  // The connection, once it has said hello.
  FrameSocket::Impl& connection() { return *impl_; }

  void Start(std::chrono::milliseconds patience) {
    timer_.expires_after(patience);
    timer_.async_wait([weak = weak_from_this()](const error_code& error) {
      if (const auto self = weak.lock(); self && !error) self->End(absl::UnavailableError("too slow"));
    });
    Await(POLLIN);
  }

  // At once, without the farewells of TCP and what they cost.
  void SendAway() {
    error_code ignored;
    impl_->socket.set_option(asio::socket_base::linger(true, 0), ignored);
    impl_->socket.close(ignored);
    timer_.cancel();
  }

 private:
  void Await(short events) {
    impl_->socket.async_wait(events == POLLIN ? tcp::socket::wait_read : tcp::socket::wait_write,
                             [self = shared_from_this()](const error_code& error) {
                               if (!error) self->GoOn();
                             });
  }

  void GoOn() {
    if (!impl_->socket.is_open()) return;  // sent away since this was due; its descriptor may be another's
    const absl::StatusOr<short> awaited = Step();
    if (!awaited.ok()) return End(awaited.status());
    if (*awaited == 0) return End(absl::OkStatus());
    Await(*awaited);
  }

  void End(const absl::Status& status) {
    timer_.cancel();
    leave_(*this, status);
  }

  // As far as it goes without waiting: what to wait for then; 0 once it has said hello.
  absl::StatusOr<short> Step() {
    if (tls_ != nullptr && !is_coordinator_) {
      if (impl_->tls == nullptr) HEARTH_RETURN_IF_ERROR(BeginTls());
      const absl::StatusOr<short> awaited = impl_->Handshake();
      if (!awaited.ok()) return absl::PermissionDeniedError(awaited.status().message());
      if (*awaited != 0) return awaited;
      HEARTH_ASSIGN_OR_RETURN(const Certificate peer, PeerOf(impl_->tls.get()));
      if (peer.role != Role::kCoordinator)
        return absl::PermissionDeniedError("it is not the coordinator of this home");
      is_coordinator_ = true;
    }
    return ReadHello();
  }

  absl::Status BeginTls() {
    std::array<uint8_t, kFirstBytes> first;
    const ssize_t received =
        ::recv(impl_->socket.native_handle(), first.data(), first.size(), MSG_PEEK | MSG_DONTWAIT);
    if (received <= 0) return absl::UnavailableError("gone");
    if (first[0] != kTlsHandshakeRecord) return absl::PermissionDeniedError("it does not speak TLS");
    if (!may_begin_(*this, absl::MakeSpan(first).first(static_cast<size_t>(received))))
      return absl::ResourceExhaustedError("its network comes too often");
    impl_->BeginTls(tls_, TlsEnd::kServer);
    return absl::OkStatus();
  }

  absl::StatusOr<short> ReadHello() {
    while (received_ < kFrameHeaderBytes + token_.size()) {
      const bool in_header = received_ < kFrameHeaderBytes;
      const absl::Span<uint8_t> rest = in_header
                                           ? absl::MakeSpan(header_).subspan(received_)
                                           : absl::MakeSpan(token_).subspan(received_ - kFrameHeaderBytes);
      error_code error;
      received_ += impl_->ReadSome(rest, error);
      if (error == asio::error::would_block) return short{POLLIN};
      if (error) return absl::UnavailableError(error.message());
      if (in_header && received_ == kFrameHeaderBytes) {
        HEARTH_ASSIGN_OR_RETURN(hello_, DecodeFrameHeader(header_));
        HEARTH_RETURN_IF_ERROR(ValidateHello(hello_));
      }
    }
    return short{0};
  }

  const std::unique_ptr<FrameSocket::Impl> impl_;
  asio::steady_timer timer_;
  const TlsContext tls_;
  const MayBegin may_begin_;
  const Leave leave_;
  tcp::endpoint peer_;
  std::string network_;
  bool is_coordinator_ = false;
  size_t received_ = 0;  // bytes of what follows
  FrameHeaderBytes header_;
  SessionToken token_;
  FrameHeader hello_;
};

class AsioLobby final : public Lobby {
 public:
  AsioLobby(const LobbyOptions& options, Events events)
      : options_(options),
        events_(std::move(events)),
        rate_(options.handshakes),
        port_(context_, [this](tcp::socket socket) { Receive(std::move(socket)); }) {}

  ~AsioLobby() override {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Listen() {
    HEARTH_ASSIGN_OR_RETURN(const HostPort where, ParseHostPort(options_.listen));
    error_code error;
    tcp::resolver resolver(context_);
    const auto endpoints =
        resolver.resolve(where.host, absl::StrCat(where.port), tcp::resolver::passive, error);
    if (!error) error = port_.Listen(endpoints.begin()->endpoint());
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("the tensor channel cannot listen on ", options_.listen, ": ", error.message()));
    }
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  std::string address() const override {
    const tcp::endpoint local = port_.endpoint();
    return FormatHostPort({local.address().to_string(), local.port()});
  }

  void SetToken(const SessionToken& token) override {
    MutexLock lock(&mutex_);
    knock_ = KnockOf(token);
  }

 private:
  void Receive(tcp::socket socket) {
    const auto stranger = std::make_shared<Stranger>(
        std::make_unique<FrameSocket::Impl>(NotOwned(context_), std::move(socket)), options_.tls,
        [this](Stranger& self, absl::Span<const uint8_t> first) { return MayBegin(self, first); },
        [this](Stranger& self, const absl::Status& status) { Leave(self, status); });
    std::vector<std::string> present;
    for (const auto& other : strangers_) present.push_back(other->network());
    if (const auto index =
            WhoMakesRoom(present, stranger->network(), options_.per_network, options_.strangers, knock())) {
      const auto leaving = std::next(strangers_.begin(), static_cast<ptrdiff_t>(*index));
      (*leaving)->SendAway();
      strangers_.erase(leaving);
    }
    strangers_.push_back(stranger);
    stranger->Start(options_.patience);
  }

  std::string knock() {
    MutexLock lock(&mutex_);
    return knock_;
  }

  bool MayBegin(Stranger& stranger, absl::Span<const uint8_t> first_bytes) {
    MutexLock lock(&mutex_);
    if (knock_.empty() || !Knocks(first_bytes, knock_)) return rate_.Allow(stranger.network(), Clock::now());
    stranger.TakeAsOneOf(knock_);  // others of its address do not crowd it out
    return true;
  }

  void Leave(Stranger& stranger, const absl::Status& status) {
    if (status.ok()) events_.arrived(Release(stranger.connection()), stranger.hello(), stranger.token());
    const bool gone = absl::IsUnavailable(status);
    if (!status.ok() && !gone) events_.refused(stranger.peer(), status);
    // Others are told why by what TLS has sent.
    if (gone || absl::IsResourceExhausted(status)) stranger.SendAway();
    strangers_.remove_if([&](const auto& other) { return other.get() == &stranger; });
  }

  // Takes the connection out of the lobby's thread, which would be woken by each of its messages.
  std::unique_ptr<FrameSocket> Release(FrameSocket::Impl& impl) {
    error_code error;
    const tcp protocol = impl.socket.local_endpoint(error).protocol();
    tcp::socket socket(*silent_);
    const int descriptor = impl.socket.release(error);
    if (!error) socket.assign(protocol, descriptor, error);
    auto released = std::make_unique<FrameSocket::Impl>(silent_, std::move(socket));
    released->tls = impl.tls;
    return std::make_unique<FrameSocket>(std::move(released));
  }

  const LobbyOptions options_;
  const Events events_;
  asio::io_context context_{1};
  const std::shared_ptr<asio::io_context> silent_ = std::make_shared<asio::io_context>(1);  // never runs
  StrangerRate rate_;
  std::list<std::shared_ptr<Stranger>> strangers_;  // in the order in which they came
  TcpListener port_;
  Mutex mutex_;
  std::string knock_ ABSL_GUARDED_BY(mutex_);  // empty: nobody can
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Lobby>> Lobby::Open(const LobbyOptions& options, Events events) {
  auto lobby = std::make_unique<AsioLobby>(options, std::move(events));
  HEARTH_RETURN_IF_ERROR(lobby->Listen());
  return lobby;
}

}  // namespace hearth
