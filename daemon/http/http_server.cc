#include "daemon/http/http_server.h"

#include <openssl/ssl.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <future>
#include <list>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/http/connection.h"
#include "engine/base/mutex.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;

// After the system could not give one more connection, for want of file descriptors say.
constexpr std::chrono::milliseconds kAcceptAgain{100};
// What the system keeps of an answer for a client that does not read; by itself it keeps up to some MiB.
constexpr int kSendBufferBytes = 128 << 10;

class AsioHttpServer final : public HttpServer {
 public:
  AsioHttpServer(const HttpServerOptions& options, HttpHandler& handler)
      : options_(options),
        handler_(handler),
        context_(std::make_shared<asio::io_context>()),
        work_(asio::make_work_guard(*context_)),
        strand_(asio::make_strand(*context_)),
        acceptor_(strand_),
        accept_again_(strand_) {
    if (options_.tls == nullptr) return;
    SSL_CTX_up_ref(options_.tls.get());  // that the next line takes over
    tls_.emplace(options_.tls.get());
  }

  ~AsioHttpServer() override { Stop(std::chrono::milliseconds(0)); }

  absl::Status Listen() {
    HEARTH_ASSIGN_OR_RETURN(HostPort address, ParseHostPort(options_.listen));
    error_code error;
    tcp::resolver resolver(*context_);
    const auto found =
        resolver.resolve(address.host, absl::StrCat(address.port), tcp::resolver::passive, error);
    if (!error && found.empty()) error = asio::error::host_not_found;
    if (!error) Open(found.begin()->endpoint(), error);
    if (error) {
      return absl::UnavailableError(absl::StrCat("cannot listen on ", options_.listen, " for HTTP: ",
                                                 error.message(), "; choose another --http HOST:PORT"));
    }
    address.port = acceptor_.local_endpoint().port();
    address_ = FormatHostPort(address);
    asio::post(strand_, [this] { Accept(); });
    for (int i = 0; i < options_.threads; ++i) threads_.emplace_back([this] { context_->run(); });
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }

  size_t connections() const override {
    MutexLock lock(&mutex_);
    return connections_.size();
  }

  void Stop(std::chrono::milliseconds grace) override {
    if (threads_.empty()) return;
    CloseAcceptor();
    ForEach([](Connection& connection) { connection.StopSoon(); });
    AwaitNoConnections(grace);
    ForEach([](Connection& connection) { connection.Close(); });
    // The threads end when the last exchange is let go.
    work_.reset();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

 private:
  void Open(const tcp::endpoint& endpoint, error_code& error) {
    if (!error) acceptor_.open(endpoint.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(endpoint, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  }

  // When it returns no connection is added any more.
  void CloseAcceptor() {
    std::promise<void> closed;
    asio::post(strand_, [this, &closed] {
      error_code ignored;
      acceptor_.close(ignored);
      accept_again_.cancel();
      closed.set_value();
    });
    closed.get_future().wait();
  }

  void Accept() {
    if (!acceptor_.is_open()) return;
    acceptor_.async_accept(asio::make_strand(*context_), [this](const error_code& error, tcp::socket socket) {
      if (!acceptor_.is_open()) return;
      if (error) {
        accept_again_.expires_after(kAcceptAgain);
        return accept_again_.async_wait([this](const error_code& cancelled) {
          if (!cancelled) Accept();
        });
      }
      Admit(std::move(socket));
      Accept();
    });
  }

  void Admit(tcp::socket socket) {
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);  // a token is to go out at once
    socket.set_option(asio::socket_base::send_buffer_size(kSendBufferBytes), ignored);
    const auto connection =
        std::make_shared<Connection>(context_, std::move(socket), tls_ ? &*tls_ : nullptr, handler_,
                                     options_.limits, [this](Connection* closed) { Forget(closed); });
    {
      MutexLock lock(&mutex_);
      connections_[connection.get()] = order_.insert(order_.end(), connection);
      if (connections_.size() > options_.limits.connections) CloseOneIdle();
    }
    asio::post(connection->executor(), [connection] { connection->Start(); });
  }

  // Asks the connections, longest known first, until one is found that waits for a request: the newest is
  // one.
  void CloseOneIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    auto candidates = std::make_shared<std::vector<std::weak_ptr<Connection>>>(order_.begin(), order_.end());
    CloseFirstIdle(candidates, 0);
  }

  static void CloseFirstIdle(const std::shared_ptr<std::vector<std::weak_ptr<Connection>>>& candidates,
                             size_t next) {
    if (next >= candidates->size()) return;
    const auto connection = (*candidates)[next].lock();
    if (connection == nullptr) return;  // closed meanwhile: that made room
    asio::post(connection->executor(), [connection, candidates, next] {
      if (connection->idle()) return connection->Close();
      CloseFirstIdle(candidates, next + 1);
    });
  }

  void Forget(Connection* connection) {
    MutexLock lock(&mutex_);
    const auto found = connections_.find(connection);
    if (found == connections_.end()) return;
    order_.erase(found->second);
    connections_.erase(found);
    if (connections_.empty()) none_left_.SignalAll();
  }

  template <class Action>
  void ForEach(Action action) {
    MutexLock lock(&mutex_);
    for (const std::weak_ptr<Connection>& entry : order_) {
      if (const auto connection = entry.lock()) {
        asio::post(connection->executor(), [connection, action] { action(*connection); });
      }
    }
  }

  void AwaitNoConnections(std::chrono::milliseconds grace) {
    const auto deadline = CondVar::Clock::now() + grace;
    MutexLock lock(&mutex_);
    while (!connections_.empty() && none_left_.WaitUntil(&mutex_, deadline)) {
    }
  }

  const HttpServerOptions options_;
  HttpHandler& handler_;
  std::optional<asio::ssl::context> tls_;
  std::string address_;

  // Connections share it: what still runs on threads of gRPC when the server ends lets go of it last.
  const std::shared_ptr<asio::io_context> context_;
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::strand<asio::io_context::executor_type> strand_;  // of the acceptor
  tcp::acceptor acceptor_;
  asio::steady_timer accept_again_;

  mutable Mutex mutex_;
  CondVar none_left_;
  using Order = std::list<std::weak_ptr<Connection>>;
  Order order_ ABSL_GUARDED_BY(mutex_);  // open connections, longest known first
  std::unordered_map<Connection*, Order::iterator> connections_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<HttpServer>> HttpServer::Start(const HttpServerOptions& options,
                                                              HttpHandler& handler) {
  auto server = std::make_unique<AsioHttpServer>(options, handler);
  HEARTH_RETURN_IF_ERROR(server->Listen());
  return server;
}

}  // namespace hearth
