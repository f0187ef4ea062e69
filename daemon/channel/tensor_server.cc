#include "daemon/channel/tensor_server.h"

#include <openssl/crypto.h>
#include <spdlog/spdlog.h>

#include <atomic>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/lobby.h"
#include "daemon/channel/shard_shape.h"
#include "daemon/channel/wire_input.h"
#include "daemon/channel/wire_sums.h"
#include "engine/base/status_macros.h"
#include "engine/device/device_set.h"

namespace hearth {
namespace {

using Clock = FrameSocket::Clock;

// A leader gets this long to take the answer to its hello, a message that has begun this long to come to its
// end.
constexpr std::chrono::seconds kWelcomeTimeout{2};
constexpr std::chrono::seconds kPayloadTimeout{10};
// A leader needs one connection per plan and one for measuring.
constexpr size_t kMaxConnections = 64;

bool Equal(const SessionToken& a, const SessionToken& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

absl::Span<uint8_t> Bytes(std::vector<uint8_t>& buffer, uint64_t bytes) {
  if (buffer.size() < bytes) buffer.resize(bytes);
  return absl::MakeSpan(buffer).first(bytes);
}

// Counts the steps of all leaders: what devices remember of a step must not meet another's.
std::atomic<uint64_t> last_step{0};

// Answers the requests of one connection. Its buffers grow to the largest message that really comes, and are
// then reused.
class Answerer {
 public:
  // `stage` may be null.
  Answerer(FrameSocket& socket, HostShare& share, LedStage* stage, uint64_t epoch)
      : socket_(socket),
        share_(share),
        stage_(stage),
        shape_(ShapeOf(epoch, share.outline(), share.options(), share.shares())),
        devices_(share.devices()) {}

  // The next request, from its first byte to the last of its answer.
  absl::Status AnswerNext() {
    HEARTH_ASSIGN_OR_RETURN(const FrameHeader header, socket_.ReceiveHeader(FrameSocket::kNoDeadline));
    HEARTH_RETURN_IF_ERROR(ValidateRequest(header, shape_));
    HEARTH_RETURN_IF_ERROR(
        socket_.Receive(Bytes(payload_, header.payload_bytes), Clock::now() + kPayloadTimeout));
    switch (header.operation) {
      case FrameOperation::kMix:
        return Mix(header);
      case FrameOperation::kFfn:
        return Ffn(header);
      case FrameOperation::kOutput:
        return Output(header);
      case FrameOperation::kStage:
        return RunStage(header);
      default:
        return Cache(header);
    }
  }

 private:
  absl::Status Mix(const FrameHeader& header) {
    HEARTH_RETURN_IF_ERROR(TakePlaces(header));
    MixRequest request;
    request.step = own_step_;
    request.layer = header.layer;
    request.rows = rows_;
    request.x = Input(header);
    const PayloadShape parts = PayloadOf(shape_, header);
    if (header.hidden) request.adapted = PayloadPart<float>(parts.x_bytes + parts.places_bytes, 0).data();
    request.output_values = shape_.n_embd + shape_.layers[header.layer].heads_returned;
    return ComputeSums(header, request);
  }

  absl::Status RunStage(const FrameHeader& header) {
    HEARTH_RETURN_IF_ERROR(TakePlaces(header));
    const absl::Span<const float> x = PayloadPart<float>(0, PayloadOf(shape_, header).hidden);
    hidden_.assign(x.begin(), x.end());
    {
      MutexLock lock(&share_.host().compute_mutex());
      HEARTH_RETURN_IF_ERROR(stage_->Run(own_step_, rows_, hidden_.data()));
    }
    return Answer(header, FrameOperation::kHidden, FrameType::kFloat32,
                  {reinterpret_cast<const uint8_t*>(hidden_.data()), hidden_.size() * sizeof(float)});
  }

  // The rows of a step stay where they are until it is over.
  absl::Status TakePlaces(const FrameHeader& header) {
    const absl::Span<const WirePlace> places =
        PayloadPart<WirePlace>(PayloadOf(shape_, header).x_bytes, header.rows);
    HEARTH_RETURN_IF_ERROR(ValidatePlaces(shape_, places));
    new_rows_.clear();
    for (const WirePlace& place : places) {
      new_rows_.push_back({place.sequence, place.position, place.prompt != 0});
    }
    if (own_step_ != 0 && header.step == step_ && new_rows_ == rows_) return absl::OkStatus();
    rows_.swap(new_rows_);
    step_ = header.step;
    own_step_ = ++last_step;
    return absl::OkStatus();
  }

  absl::Status Ffn(const FrameHeader& header) {
    const PayloadShape parts = PayloadOf(shape_, header);
    FfnRequest request;
    request.layer = header.layer;
    request.rows = header.rows;
    request.x = Input(header);
    if (header.hidden) request.hidden = PayloadPart<float>(parts.x_bytes, 0).data();
    static_assert(sizeof(BlockChoice) == sizeof(uint32_t) + sizeof(float));
    request.choices =
        PayloadPart<BlockChoice>(parts.x_bytes + parts.hidden_bytes, size_t{header.rows} * header.choices);
    request.choices_per_row = header.choices;
    request.output_values = shape_.layers[header.layer].output_values;
    HEARTH_RETURN_IF_ERROR(ValidateChoices(header, shape_, request.choices));
    return ComputeSums(header, request);
  }

  absl::Status ComputeSums(const FrameHeader& header, const Request& request) {
    sums_.resize(SumsOf(request));
    HEARTH_RETURN_IF_ERROR(Compute(request));
    wire_.Encode(sums_);
    return Answer(header, FrameOperation::kSums, wire_.type(), wire_.bytes());
  }

  absl::Status Compute(const Request& request) {
    MutexLock lock(&share_.host().compute_mutex());
    devices_.Submit(request);
    return devices_.Collect(WorkOf(request), absl::MakeSpan(sums_).first(SumsOf(request)));
  }

  absl::Status Output(const FrameHeader& header) {
    const uint32_t n_vocab = share_.outline().spec.n_vocab;
    logits_.resize(size_t{header.rows} * n_vocab);
    OutputRequest request{header.rows, Input(header), logits_.data(), n_vocab};
    HEARTH_RETURN_IF_ERROR(Compute(request));
    held_.clear();
    for (uint32_t row = 0; row < header.rows; ++row) {
      const float* const logits = logits_.data() + size_t{row} * n_vocab;
      for (const IndexRange& run : shape_.output_runs) {
        held_.insert(held_.end(), logits + run.begin, logits + run.end);
      }
    }
    return Answer(header, FrameOperation::kLogits, FrameType::kFloat32,
                  {reinterpret_cast<const uint8_t*>(held_.data()), held_.size() * sizeof(float)});
  }

  absl::Status Cache(const FrameHeader& header) {
    const WireKvRange& wire = PayloadPart<WireKvRange>(0, 1)[0];
    HEARTH_RETURN_IF_ERROR(ValidateKvRange(header, shape_, wire));
    const KvRange range{header.layer, wire.group, wire.sequence, wire.begin, wire.end};
    std::vector<uint8_t> cached;
    {
      MutexLock lock(&share_.host().compute_mutex());
      if (header.operation == FrameOperation::kReadKv) {
        HEARTH_ASSIGN_OR_RETURN(cached, devices_.ReadKv(range));
      } else {
        HEARTH_RETURN_IF_ERROR(devices_.WriteKv(
            range, absl::MakeConstSpan(payload_).subspan(sizeof(wire), header.payload_bytes - sizeof(wire))));
      }
    }
    return Answer(header, FrameOperation::kKv, FrameType::kBytes, cached);
  }

  // A request's x, (rows, n_embd).
  const float* Input(const FrameHeader& header) {
    if (header.type == FrameType::kFloat32) return PayloadPart<float>(0, 0).data();
    input_.resize(size_t{header.rows} * shape_.n_embd);
    DecodeRounded(payload_, header.rows, shape_.n_embd, shape_.input_block(header.operation, header.layer),
                  input_.data());
    return input_.data();
  }

  absl::Status Answer(const FrameHeader& request, FrameOperation operation, FrameType type,
                      absl::Span<const uint8_t> payload) {
    FrameHeader answer;
    answer.operation = operation;
    answer.type = type;
    answer.epoch = request.epoch;
    answer.ticket = request.ticket;
    answer.layer = request.layer;
    answer.rows = request.rows;
    answer.payload_bytes = payload.size();
    return socket_.Send(answer, {payload}, Clock::now() + kPayloadTimeout);
  }

  // Values of the payload; Asio read it into memory that operator new aligned, and every part is a multiple
  // of four bytes long.
  template <class T>
  absl::Span<const T> PayloadPart(size_t offset, size_t count) const {
    return {reinterpret_cast<const T*>(payload_.data() + offset), count};
  }

  FrameSocket& socket_;
  HostShare& share_;
  LedStage* const stage_;
  const ShardShape shape_;
  DeviceSet devices_;
  uint64_t step_ = 0;      // the leader's number
  uint64_t own_step_ = 0;  // ours; 0: none yet
  std::vector<RowPlace> rows_, new_rows_;
  std::vector<uint8_t> payload_;
  std::vector<float> input_;  // (rows, n_embd), of one that came rounded
  std::vector<int64_t> sums_;
  std::vector<float> logits_;  // (rows, n_vocab)
  std::vector<float> hidden_;  // (rows, n_embd)
  std::vector<float> held_;    // those of the output rows that are here
  WireSums wire_;
};

}  // namespace

struct TensorServer::Connection {
  explicit Connection(std::unique_ptr<FrameSocket> socket) : socket(std::move(socket)) {}

  const std::unique_ptr<FrameSocket> socket;
  std::thread thread;
  std::atomic<bool> done{false};
  // Guarded by the server's mutex.
  SessionToken token;
  uint64_t epoch = 0;
  Part part;  // without a share it measures only
};

absl::StatusOr<std::unique_ptr<TensorServer>> TensorServer::Open(const std::string& listen, TlsContext tls) {
  auto server = std::unique_ptr<TensorServer>(new TensorServer());
  LobbyOptions options;
  options.listen = listen;
  options.tls = std::move(tls);
  Lobby::Events events;
  events.arrived = [raw = server.get()](std::unique_ptr<FrameSocket> socket, const FrameHeader& hello,
                                        const SessionToken& token) {
    raw->Arrive(std::move(socket), hello, token);
  };
  events.refused = [raw = server.get()](const std::string& peer, const absl::Status& status) {
    raw->Refuse(peer, status);
  };
  HEARTH_ASSIGN_OR_RETURN(server->lobby_, Lobby::Open(options, std::move(events)));
  server->address_ = server->lobby_->address();
  return server;
}

TensorServer::~TensorServer() {
  lobby_.reset();  // nobody arrives any more
  {
    MutexLock lock(&mutex_);
    for (const auto& connection : connections_) connection->socket->Close();
  }
  Reap(/*all=*/true);
}

void TensorServer::SetSession(const SessionToken& token) {
  lobby_->SetToken(token);
  MutexLock lock(&mutex_);
  token_ = token;
  for (const auto& connection : connections_) {
    if (!Equal(connection->token, token)) connection->socket->Close();
  }
}

void TensorServer::Publish(uint64_t epoch, std::shared_ptr<HostShare> share,
                           std::shared_ptr<LedStage> stage) {
  MutexLock lock(&mutex_);
  parts_[epoch] = {std::move(share), std::move(stage)};
}

void TensorServer::Withdraw(uint64_t epoch) {
  MutexLock lock(&mutex_);
  parts_.erase(epoch);
  for (const auto& connection : connections_) {
    if (connection->part.share != nullptr && connection->epoch == epoch) connection->socket->Close();
  }
}

uint64_t TensorServer::refused() const {
  MutexLock lock(&mutex_);
  return refused_;
}

void TensorServer::Arrive(std::unique_ptr<FrameSocket> socket, const FrameHeader& hello,
                          const SessionToken& token) {
  Reap(/*all=*/false);
  auto connection = std::make_unique<Connection>(std::move(socket));
  absl::Status status;
  {
    MutexLock lock(&mutex_);
    status = Admit(*connection, hello, token);
    if (status.ok()) {
      Connection& reference = *connections_.emplace_back(std::move(connection));
      reference.thread = std::thread([this, &reference] { Serve(reference); });
    }
  }
  if (!status.ok()) Refuse(connection->socket->peer(), status);
}

// Gives the connection what its hello asks for.
absl::Status TensorServer::Admit(Connection& connection, const FrameHeader& hello,
                                 const SessionToken& token) {
  if (!token_ || !Equal(*token_, token))
    return absl::PermissionDeniedError("it does not know the session's token");
  if (connections_.size() >= kMaxConnections)
    return absl::ResourceExhaustedError("its leader has too many connections");
  if (hello.epoch != 0) {
    const auto found = parts_.find(hello.epoch);
    if (found == parts_.end()) {
      return absl::FailedPreconditionError(
          absl::StrCat("no shard of plan epoch ", hello.epoch, " is ready here"));
    }
    connection.part = found->second;
  }
  connection.epoch = hello.epoch;
  connection.token = token;
  return absl::OkStatus();
}

void TensorServer::Refuse(const std::string& peer, const absl::Status& status) {
  {
    MutexLock lock(&mutex_);
    ++refused_;
  }
  if (const auto left_out = limiter_.Allow()) {
    spdlog::warn("tensor channel: closed the connection of {}: {} ({} similar lines left out)", peer,
                 std::string(status.message()), *left_out);
  }
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
  Part part;
  uint64_t epoch = 0;
  {
    MutexLock lock(&mutex_);
    part = connection.part;
    epoch = connection.epoch;
  }
  absl::Status status = Welcome(*connection.socket, part, epoch);
  if (status.ok()) status = part.share ? ServeRequests(connection, part, epoch) : ServePings(connection);
  connection.socket->Close();
  if (!absl::IsUnavailable(status))
    Refuse(connection.socket->peer(), status);  // else the other side has gone
  part = {};
  MutexLock lock(&mutex_);
  connection.part = {};
  connection.done = true;
}

absl::Status TensorServer::Welcome(FrameSocket& socket, const Part& part, uint64_t epoch) {
  std::vector<uint64_t> cache_ids;
  if (part.share != nullptr) {
    for (const auto& [unit, id] : part.share->cache_ids()) cache_ids.push_back(id);
  }
  FrameHeader welcome;
  welcome.operation = FrameOperation::kWelcome;
  welcome.epoch = epoch;
  welcome.payload_bytes = cache_ids.size() * sizeof(uint64_t);
  return socket.Send(welcome, {{reinterpret_cast<const uint8_t*>(cache_ids.data()), welcome.payload_bytes}},
                     Clock::now() + kWelcomeTimeout);
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

absl::Status TensorServer::ServeRequests(Connection& connection, const Part& part, uint64_t epoch) {
  Answerer answerer(*connection.socket, *part.share, part.stage.get(), epoch);
  for (;;) HEARTH_RETURN_IF_ERROR(answerer.AnswerNext());
}

}  // namespace hearth
