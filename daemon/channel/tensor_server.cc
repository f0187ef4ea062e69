#include "daemon/channel/tensor_server.h"

#include <openssl/crypto.h>
#include <spdlog/spdlog.h>
#include <sys/socket.h>

#include <atomic>
#include <boost/asio/ip/tcp.hpp>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/frame_socket_impl.h"
#include "daemon/channel/shard_shape.h"
#include "daemon/channel/wire_sums.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using Clock = FrameSocket::Clock;

// A stranger gets this long to say hello, a message that has begun this long to come to its end.
constexpr std::chrono::seconds kHelloTimeout{2};
constexpr std::chrono::seconds kPayloadTimeout{10};
// A leader needs one connection per plan and one for measuring.
constexpr size_t kMaxConnections = 64;
// Of callers that have not said hello: the one that came first makes room for the next, so that those who say
// nothing keep nobody out.
constexpr size_t kMaxStrangers = 16;
constexpr std::chrono::milliseconds kAcceptAgain{100};

bool Equal(const SessionToken& a, const SessionToken& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::Span<uint8_t> Bytes(std::vector<uint8_t>& buffer, uint64_t bytes) {
  if (buffer.size() < bytes) buffer.resize(bytes);
  return absl::MakeSpan(buffer).first(bytes);
}

// Borrows the parts of a request from its payload. Asio read it into memory that operator new aligned.
FfnRequest ParseRequest(const FrameHeader& header, const ShardShape& shape, const uint8_t* payload) {
  const FfnPayload parts = FfnPayloadOf(shape, header);
  FfnRequest request;
  request.layer = header.layer;
  request.rows = header.rows;
  request.x = reinterpret_cast<const float*>(payload);
  if (header.hidden) request.hidden = reinterpret_cast<const float*>(payload + parts.x_bytes);
  static_assert(sizeof(BlockChoice) == sizeof(uint32_t) + sizeof(float));
  request.choices = {reinterpret_cast<const BlockChoice*>(payload + parts.x_bytes + parts.hidden_bytes),
                     size_t{header.rows} * header.choices};
  request.choices_per_row = header.choices;
  request.output_values = shape.layers[header.layer].output_values;
  return request;
}

}  // namespace

struct TensorServer::Acceptor {
  std::shared_ptr<asio::io_context> context = std::make_shared<asio::io_context>(1);
  tcp::acceptor acceptor{*context};
};

struct TensorServer::Connection {
  explicit Connection(std::unique_ptr<FrameSocket> socket) : socket(std::move(socket)) {}

  const std::unique_ptr<FrameSocket> socket;
  std::thread thread;
  std::atomic<bool> done{false};
  // Guarded by the server's mutex.
  std::optional<SessionToken> token;  // once it has said hello
  bool closing = false;               // it has to make room
  uint64_t epoch = 0;
  std::shared_ptr<LocalShard> shard;  // null: measures only
};

absl::StatusOr<std::unique_ptr<TensorServer>> TensorServer::Open(const std::string& listen) {
  HEARTH_ASSIGN_OR_RETURN(HostPort where, ParseHostPort(listen));
  auto acceptor = std::make_unique<Acceptor>();
  boost::system::error_code error;
  tcp::resolver resolver(*acceptor->context);
  const auto endpoints =
      resolver.resolve(where.host, absl::StrCat(where.port), tcp::resolver::passive, error);
  if (!error) {
    const tcp::endpoint endpoint = endpoints.begin()->endpoint();
    acceptor->acceptor.open(endpoint.protocol(), error);
    if (!error) acceptor->acceptor.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor->acceptor.bind(endpoint, error);
    if (!error) acceptor->acceptor.listen(asio::socket_base::max_listen_connections, error);
  }
  if (error) {
    return absl::UnavailableError(
        absl::StrCat("the tensor channel cannot listen on ", listen, ": ", error.message()));
  }
  const tcp::endpoint local = acceptor->acceptor.local_endpoint();
  where = {local.address().to_string(), local.port()};
  auto server = std::unique_ptr<TensorServer>(new TensorServer(std::move(acceptor)));
  server->address_ = FormatHostPort(where);
  server->thread_ = std::thread([raw = server.get()] { raw->Accept(); });
  return server;
}

TensorServer::TensorServer(std::unique_ptr<Acceptor> acceptor) : acceptor_(std::move(acceptor)) {}

TensorServer::~TensorServer() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    for (const auto& connection : connections_) connection->socket->Close();
  }
  stop_.SignalAll();
  ::shutdown(acceptor_->acceptor.native_handle(), SHUT_RDWR);  // wakes accept()
  thread_.join();
  Reap(/*all=*/true);
}

void TensorServer::SetSession(const SessionToken& token) {
  MutexLock lock(&mutex_);
  token_ = token;
  for (const auto& connection : connections_) {
    if (!connection->token || !Equal(*connection->token, token)) connection->socket->Close();
  }
}

void TensorServer::Publish(std::shared_ptr<LocalShard> shard) {
  MutexLock lock(&mutex_);
  shards_[shard->description().epoch] = std::move(shard);
}

void TensorServer::Withdraw(uint64_t epoch) {
  MutexLock lock(&mutex_);
  shards_.erase(epoch);
  for (const auto& connection : connections_) {
    if (connection->shard != nullptr && connection->epoch == epoch) connection->socket->Close();
  }
}

uint64_t TensorServer::refused() const {
  MutexLock lock(&mutex_);
  return refused_;
}

bool TensorServer::Stopped() const {
  MutexLock lock(&mutex_);
  return stopped_;
}

void TensorServer::Accept() {
  while (!Stopped()) {
    tcp::socket socket(*acceptor_->context);
    boost::system::error_code error;
    acceptor_->acceptor.accept(socket, error);
    Reap(/*all=*/false);
    if (error) {
      // Out of descriptors, or a caller that was gone before it was accepted: both pass.
      MutexLock lock(&mutex_);
      if (!stopped_ && limiter_.Allow()) spdlog::warn("tensor channel: accept: {}", error.message());
      if (!stopped_) stop_.WaitFor(&mutex_, kAcceptAgain);
      continue;
    }
    auto connection = std::make_unique<Connection>(std::make_unique<FrameSocket>(
        std::make_unique<FrameSocket::Impl>(acceptor_->context, std::move(socket))));
    MutexLock lock(&mutex_);
    const size_t strangers = CloseOldestStranger();
    if (stopped_ || connections_.size() - strangers >= kMaxConnections) {
      ++refused_;
      continue;
    }
    Connection& reference = *connection;
    connections_.push_back(std::move(connection));
    reference.thread = std::thread([this, &reference] { Serve(reference); });
  }
}

// Makes room for one more caller that has not said hello; returns how many connections are none of a
// leader's.
size_t TensorServer::CloseOldestStranger() {
  size_t strangers = 0;
  size_t waiting = 0;
  Connection* oldest = nullptr;
  for (const auto& connection : connections_) {
    if (connection->token) continue;
    ++strangers;
    if (connection->done || connection->closing) continue;
    ++waiting;
    if (oldest == nullptr) oldest = connection.get();
  }
  if (waiting >= kMaxStrangers) {
    oldest->closing = true;
    oldest->socket->Close();
  }
  return strangers;
}

void TensorServer::Reap(bool all) {
  std::list<std::unique_ptr<Connection>> finished;
  {
    MutexLock lock(&mutex_);
    for (auto it = connections_.begin(); it != connections_.end();) {
      const auto next = std::next(it);
      if (all || (*it)->done) finished.splice(finished.end(), connections_, it);
      it = next;
    }
  }
  for (const auto& connection : finished) connection->thread.join();
}

void TensorServer::Serve(Connection& connection) {
  absl::Status status = Greet(connection);
  std::shared_ptr<LocalShard> shard;
  {
    MutexLock lock(&mutex_);
    shard = connection.shard;
  }
  while (status.ok()) status = shard ? ServeFfn(connection, *shard) : ServePings(connection);
  connection.socket->Close();
  const bool refused = !absl::IsUnavailable(status);  // UNAVAILABLE: the other side has gone
  if (refused) {
    if (const auto left_out = limiter_.Allow()) {
      spdlog::warn("tensor channel: closed the connection of {}: {} ({} similar lines left out)",
                   connection.socket->peer(), std::string(status.message()), *left_out);
    }
  }
  shard.reset();
  MutexLock lock(&mutex_);
  refused_ += refused ? 1 : 0;
  connection.shard.reset();
  connection.done = true;
}

absl::Status TensorServer::Greet(Connection& connection) {
  const Clock::time_point deadline = Clock::now() + kHelloTimeout;
  HEARTH_ASSIGN_OR_RETURN(const FrameHeader hello, connection.socket->ReceiveHeader(deadline));
  HEARTH_RETURN_IF_ERROR(ValidateHello(hello));
  SessionToken token;
  HEARTH_RETURN_IF_ERROR(connection.socket->Receive(absl::MakeSpan(token), deadline));
  {
    MutexLock lock(&mutex_);
    if (!token_ || !Equal(*token_, token))
      return absl::PermissionDeniedError("it does not know the session's token");
    if (hello.epoch != 0) {
      const auto found = shards_.find(hello.epoch);
      if (found == shards_.end()) {
        return absl::FailedPreconditionError(
            absl::StrCat("no shard of plan epoch ", hello.epoch, " is ready here"));
      }
      connection.shard = found->second;
      connection.epoch = hello.epoch;
    }
    connection.token = token;
  }
  FrameHeader welcome;
  welcome.operation = FrameOperation::kWelcome;
  welcome.epoch = hello.epoch;
  return connection.socket->Send(welcome, {}, deadline);
}

absl::Status TensorServer::ServePings(Connection& connection) {
  std::vector<uint8_t> payload(kMaxPingBytes);
  for (;;) {
    HEARTH_ASSIGN_OR_RETURN(const FrameHeader ping,
                            connection.socket->ReceiveHeader(FrameSocket::kNoDeadline));
    HEARTH_RETURN_IF_ERROR(ValidatePing(ping));
    const Clock::time_point deadline = Clock::now() + kPayloadTimeout;
    HEARTH_RETURN_IF_ERROR(connection.socket->Receive(Bytes(payload, ping.payload_bytes), deadline));
    FrameHeader pong;
    pong.operation = FrameOperation::kPong;
    pong.step = ping.step;
    HEARTH_RETURN_IF_ERROR(connection.socket->Send(pong, {}, deadline));
  }
}

absl::Status TensorServer::ServeFfn(Connection& connection, LocalShard& shard) {
  const ShardShape shape = ShapeOf(shard.description());
  // Grow to the largest message of the plan that really comes, and are then reused.
  std::vector<uint8_t> payload;
  std::vector<int64_t> sums;
  WireSums wire;
  for (;;) {
    HEARTH_ASSIGN_OR_RETURN(const FrameHeader header,
                            connection.socket->ReceiveHeader(FrameSocket::kNoDeadline));
    HEARTH_RETURN_IF_ERROR(ValidateFfn(header, shape));
    HEARTH_RETURN_IF_ERROR(
        connection.socket->Receive(Bytes(payload, header.payload_bytes), Clock::now() + kPayloadTimeout));
    const FfnRequest request = ParseRequest(header, shape, payload.data());
    HEARTH_RETURN_IF_ERROR(ValidateChoices(header, shape, request.choices));
    sums.resize(size_t{request.rows} * request.output_values);
    HEARTH_RETURN_IF_ERROR(shard.Run(request, absl::MakeSpan(sums)));

    FrameHeader answer = header;
    answer.operation = FrameOperation::kSums;
    answer.hidden = false;
    answer.choices = 0;
    wire.Encode(sums);
    answer.type = wire.type();
    answer.payload_bytes = wire.bytes().size();
    HEARTH_RETURN_IF_ERROR(connection.socket->Send(answer, {wire.bytes()}, Clock::now() + kPayloadTimeout));
  }
}

}  // namespace hearth
