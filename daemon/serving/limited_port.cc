#include "daemon/serving/limited_port.h"

#include <grpcpp/grpcpp.h>
#include <poll.h>

#include <algorithm>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <list>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/peer_host.h"
#include "daemon/channel/tcp_listener.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kNextTry{50};

// nullopt where the peer has no address.
std::optional<std::string> NetworkOfPeer(const std::string& peer) {
  error_code error;
  const asio::ip::address address = asio::ip::make_address(PeerHost(peer).value_or(""), error);
  if (error) return std::nullopt;
  return NetworkOf(address);
}

// One whose connection the server does not have yet. Lives while it waits for something.
class Caller : public std::enable_shared_from_this<Caller> {
 public:
  // Whether the server may have it now.
  using MayGoOn = std::function<bool(Caller&)>;
  // The last that it does: `goes_on`, or it is sent away.
  using Leave = std::function<void(Caller&, bool goes_on)>;

  Caller(tcp::socket socket, MayGoOn may_go_on, Leave leave)
      : socket_(std::move(socket)),
        timer_(socket_.get_executor()),
        may_go_on_(std::move(may_go_on)),
        leave_(std::move(leave)) {
    error_code ignored;
    const asio::ip::address address = socket_.remote_endpoint(ignored).address();
    network_ = NetworkOf(address);
    is_loopback_ = IsLoopback(address);
  }

  const std::string& network() const { return network_; }
  bool is_loopback() const { return is_loopback_; }

  void Start(std::chrono::milliseconds patience) {
    deadline_ = Clock::now() + patience;
    After(deadline_, [](Caller& self) { self.leave_(self, false); });
    socket_.async_wait(tcp::socket::wait_read, [self = shared_from_this()](const error_code& error) {
      if (!error && self->socket_.is_open()) self->Try();
    });
  }

  // At once, without the farewells of TCP and what they cost.
  void SendAway() {
    error_code ignored;
    socket_.set_option(asio::socket_base::linger(true, 0), ignored);
    socket_.close(ignored);
    timer_.cancel();
  }

  // The socket, which is nobody's from now on; none where it has broken.
  std::optional<int> Release() {
    timer_.cancel();
    error_code error;
    socket_.native_non_blocking(true, error);
    if (!error) socket_.set_option(tcp::no_delay(true), error);
    if (error) return std::nullopt;
    const int descriptor = socket_.release(error);
    return error ? std::nullopt : std::optional(descriptor);
  }

 private:
  void After(Clock::time_point when, void (*then)(Caller&)) {
    timer_.expires_at(when);
    timer_.async_wait([weak = weak_from_this(), then](const error_code& error) {
      if (const auto self = weak.lock(); self && !error && self->socket_.is_open()) then(*self);
    });
  }

  void Try() {
    pollfd state{socket_.native_handle(), POLLRDHUP, 0};
    if (poll(&state, 1, 0) != 0) return leave_(*this, false);  // it has gone
    if (may_go_on_(*this)) return leave_(*this, true);
    const Clock::time_point next = Clock::now() + kNextTry;
    if (next >= deadline_) return leave_(*this, false);
    After(next, [](Caller& self) { self.Try(); });
  }

  tcp::socket socket_;
  asio::steady_timer timer_;
  const MayGoOn may_go_on_;
  const Leave leave_;
  std::string network_;
  bool is_loopback_ = false;
  Clock::time_point deadline_;
};

// All but construction and the end happens on one thread.
class AsioLimitedPort final : public LimitedPort {
 public:
  AsioLimitedPort(const LimitedPortOptions& options, Take take)
      : options_(options),
        take_(std::move(take)),
        rate_(options.connections),
        port_(std::in_place, context_, [this](tcp::socket socket) { Receive(std::move(socket)); }) {}

  ~AsioLimitedPort() override { Close(); }

  absl::Status Listen() {
    HEARTH_ASSIGN_OR_RETURN(HostPort where, ParseHostPort(options_.listen));
    error_code error;
    tcp::resolver resolver(context_);
    const auto endpoints =
        resolver.resolve(where.host, absl::StrCat(where.port), tcp::resolver::passive, error);
    if (!error) error = port_->Listen(endpoints.begin()->endpoint());
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", options_.listen, ": ", error.message(), "; ", options_.advice));
    }
    where.port = port_->endpoint().port();
    address_ = FormatHostPort(where);
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  void Start() override {
    thread_ = std::thread([this] { context_.run(); });
  }

  void Welcome(const std::string& peer) override {
    asio::post(context_, [this, peer] {
      if (const auto network = NetworkOfPeer(peer)) rate_.GiveBack(*network);
    });
  }

  void Close() override {
    MutexLock lock(&closing_);
    context_.stop();
    if (thread_.joinable()) thread_.join();
    for (const auto& caller : callers_) caller->SendAway();
    callers_.clear();
    port_.reset();
  }

 private:
  void Receive(tcp::socket socket) {
    const auto caller = std::make_shared<Caller>(
        std::move(socket),
        [this](Caller& self) {
          return (options_.spares_loopback && self.is_loopback()) ||
                 rate_.Allow(self.network(), Clock::now());
        },
        [this](Caller& self, bool goes_on) { Leave(self, goes_on); });
    std::vector<std::string> present;
    for (const auto& other : callers_) present.push_back(other->network());
    if (const auto index = WhoMakesRoom(present, caller->network(), options_.per_network, options_.waiting)) {
      const auto leaving = std::next(callers_.begin(), static_cast<ptrdiff_t>(*index));
      (*leaving)->SendAway();
      callers_.erase(leaving);
    }
    callers_.push_back(caller);
    caller->Start(options_.patience);
  }

  void Leave(Caller& caller, bool goes_on) {
    const std::optional<int> descriptor = goes_on ? caller.Release() : std::nullopt;
    descriptor ? take_(*descriptor) : caller.SendAway();
    callers_.remove_if([&](const auto& other) { return other.get() == &caller; });
  }

  const LimitedPortOptions options_;
  const Take take_;
  std::string address_;
  asio::io_context context_{1};
  StrangerRate rate_;
  std::list<std::shared_ptr<Caller>> callers_;  // in the order in which they came
  std::optional<TcpListener> port_;             // none once it is closed
  Mutex closing_;
  std::thread thread_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LimitedPort>> LimitedPort::Open(const LimitedPortOptions& options, Take take) {
  auto port = std::make_unique<AsioLimitedPort>(options, std::move(take));
  HEARTH_RETURN_IF_ERROR(port->Listen());
  return port;
}

LimitedPort::Take TakeFor(grpc::ServerBuilder& builder,
                          const std::shared_ptr<grpc::ServerCredentials>& credentials) {
  using Acceptor = grpc::experimental::ExternalConnectionAcceptor;
  const std::shared_ptr<Acceptor> acceptor = builder.experimental().AddExternalConnectionAcceptor(
      grpc::ServerBuilder::experimental_type::ExternalConnectionType::FROM_FD, credentials);
  return [acceptor](int descriptor) {
    Acceptor::NewConnectionParameters connection;
    connection.fd = descriptor;
    acceptor->HandleNewConnection(&connection);
  };
}

}  // namespace hearth
