#include "daemon/channel/remote_device.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "daemon/channel/knock.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using Clock = FrameSocket::Clock;

absl::Span<const uint8_t> AsBytes(const void* data, uint64_t bytes) {
  return {static_cast<const uint8_t*>(data), bytes};
}

// Where so many press that a caller is sent away before it could knock, another try meets others.
constexpr int kTries = 3;

absl::StatusOr<std::unique_ptr<FrameSocket>> Connect(const std::string& address, const SessionToken& token,
                                                     Clock::time_point deadline, const TensorTls& tls) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<FrameSocket> socket, FrameSocket::Connect(address, deadline));
  if (tls.context == nullptr) return socket;
  HEARTH_ASSIGN_OR_RETURN(const Certificate host,
                          socket->StartTls(tls.context, TlsEnd::kClient, deadline, KnockOf(token)));
  // A coordinator's certificate: one that may lead, and does not now.
  const bool is_host = host.role == Role::kHost || host.role == Role::kCoordinator;
  if (!is_host || host.id != tls.host) {
    return absl::UnavailableError(
        absl::StrCat("tensor connection with ", address, ": another host answers there, ", host.id.Short()));
  }
  return socket;
}

}  // namespace

absl::StatusOr<std::unique_ptr<FrameSocket>> OpenTensorConnection(const std::string& address,
                                                                  const SessionToken& token, uint64_t epoch,
                                                                  Clock::time_point deadline,
                                                                  absl::Span<uint64_t> cache_ids,
                                                                  const TensorTls& tls) {
  absl::StatusOr<std::unique_ptr<FrameSocket>> connected = Connect(address, token, deadline, tls);
  for (int tries = 1; !connected.ok() && tls.context != nullptr && tries < kTries; ++tries)
    connected = Connect(address, token, deadline, tls);
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<FrameSocket> socket, std::move(connected));
  FrameHeader hello;
  hello.epoch = epoch;
  hello.payload_bytes = token.size();
  HEARTH_RETURN_IF_ERROR(socket->Send(hello, {AsBytes(token.data(), token.size())}, deadline));
  HEARTH_ASSIGN_OR_RETURN(const FrameHeader welcome, socket->ReceiveHeader(deadline));
  const size_t id_bytes = cache_ids.size() * sizeof(uint64_t);
  if (welcome.operation != FrameOperation::kWelcome || welcome.epoch != epoch ||
      welcome.payload_bytes != id_bytes) {
    return absl::UnavailableError(
        absl::StrCat("tensor connection with ", address, ": unexpected answer to hello"));
  }
  HEARTH_RETURN_IF_ERROR(socket->Receive({reinterpret_cast<uint8_t*>(cache_ids.data()), id_bytes}, deadline));
  return socket;
}

RemoteDevice::RemoteDevice(std::string name, ShardShape shape, ExpectedTimes expected,
                           std::unique_ptr<FrameSocket> socket)
    : name_(std::move(name)),
      shape_(std::move(shape)),
      patience_(std::move(expected)),
      socket_(std::move(socket)),
      sender_(*socket_) {
  HEARTH_CHECK(patience_.expected().mix_us.size() == shape_.layers.size() &&
               patience_.expected().ffn_us.size() == shape_.layers.size());
  for (Slot& slot : slots_) slot.places.reserve(shape_.limits.max_rows);
}

RemoteDevice::~RemoteDevice() { socket_->Close(); }

void RemoteDevice::Close(const std::string& reason) {
  MutexLock lock(&mutex_);
  if (close_reason_.empty()) close_reason_ = reason;
  socket_->Close();
}

bool RemoteDevice::Holds(Work work, uint32_t layer) const {
  if (work == Work::kOutput) return !shape_.output_runs.empty();
  if (layer >= shape_.layers.size()) return false;
  return work == Work::kMix ? shape_.layers[layer].heads : shape_.layers[layer].neurons;
}

Clock::time_point RemoteDevice::Deadline(const FrameHeader& request) const {
  return Clock::now() + patience_.For(request);
}

absl::Status RemoteDevice::Fail(const absl::Status& status) {
  socket_->Close();
  sender_.Drain();  // what requests have borrowed is theirs again
  lost_ = true;
  const absl::Status unsent = sender_.status();
  MutexLock lock(&mutex_);
  const std::string reason = !close_reason_.empty() ? close_reason_
                             : !unsent.ok()         ? std::string(unsent.message())
                                                    : std::string(status.message());
  failed_ = absl::UnavailableError(absl::StrCat("host ", name_, " was lost (", reason, ")"));
  return failed_;
}

FrameHeader RemoteDevice::HeaderOf(FrameOperation operation, uint32_t layer, uint32_t rows) {
  FrameHeader header;
  header.operation = operation;
  header.type = FrameType::kFloat32;
  header.epoch = shape_.epoch;
  header.ticket = submitted_;
  header.layer = layer;
  header.rows = rows;
  return header;
}

FrameHeader RemoteDevice::HeaderWithInput(Slot& slot, FrameOperation operation, uint32_t layer, uint32_t rows,
                                          const float* x) {
  FrameHeader header = HeaderOf(operation, layer, rows);
  slot.x.Encode(x, rows, shape_.n_embd, shape_.input_block(operation, layer));
  header.type = slot.x.type();
  return header;
}

Ticket RemoteDevice::Submit(const Request& request) {
  HEARTH_CHECK(Holds(WorkOf(request), LayerOf(request)));
  ++submitted_;
  if (!failed_.ok()) return submitted_;
  SlotOf(submitted_).sent = Clock::now();
  std::visit([&](const auto& of_kind) { Send(SlotOf(submitted_), of_kind); }, request);
  return submitted_;
}

void RemoteDevice::SendWithPlaces(Slot& slot, FrameOperation operation, uint32_t layer, uint64_t step,
                                  absl::Span<const RowPlace> rows, const float* x, const float* adapted) {
  slot.header = HeaderWithInput(slot, operation, layer, static_cast<uint32_t>(rows.size()), x);
  slot.header.step = step;
  slot.header.hidden = adapted != nullptr && shape_.layers[layer].heads_adapted > 0;
  slot.places.clear();
  for (const RowPlace& row : rows) slot.places.push_back({row.sequence, row.position, row.prompt});
  const PayloadShape payload = PayloadOf(shape_, slot.header);
  slot.header.payload_bytes = payload.request_bytes();
  Send(slot.header, {slot.x.bytes(), AsBytes(slot.places.data(), payload.places_bytes),
                     AsBytes(adapted, payload.hidden_bytes)});
}

void RemoteDevice::Send(Slot& slot, const MixRequest& request) {
  SendWithPlaces(slot, FrameOperation::kMix, request.layer, request.step, request.rows, request.x,
                 request.adapted);
}

absl::Status RemoteDevice::RunStage(uint64_t step, absl::Span<const RowPlace> rows, float* x) {
  ++submitted_;
  if (!failed_.ok()) return failed_;
  Slot& slot = SlotOf(submitted_);
  slot.hidden = x;
  slot.sent = Clock::now();
  SendWithPlaces(slot, FrameOperation::kStage, 0, step, rows, x);
  return Collect(submitted_, {});
}

void RemoteDevice::Send(Slot& slot, const FfnRequest& request) {
  slot.header = HeaderWithInput(slot, FrameOperation::kFfn, request.layer, request.rows, request.x);
  slot.header.hidden = request.hidden != nullptr && shape_.layers[request.layer].hidden_values > 0;
  slot.header.choices = request.choices_per_row;
  const PayloadShape payload = PayloadOf(shape_, slot.header);
  HEARTH_CHECK(request.choices.size() == size_t{request.rows} * request.choices_per_row);
  slot.header.payload_bytes = payload.request_bytes();
  Send(slot.header, {slot.x.bytes(), AsBytes(request.hidden, payload.hidden_bytes),
                     AsBytes(request.choices.data(), payload.choices_bytes)});
}

void RemoteDevice::Send(Slot& slot, const OutputRequest& request) {
  slot.header = HeaderWithInput(slot, FrameOperation::kOutput, 0, request.rows, request.x);
  slot.logits = request.logits;
  slot.n_vocab = request.n_vocab;
  slot.header.payload_bytes = PayloadOf(shape_, slot.header).request_bytes();
  Send(slot.header, {slot.x.bytes()});
}

void RemoteDevice::Send(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts) {
  network_bytes_ += kFrameHeaderBytes + header.payload_bytes;
  sender_.Send(header, parts, Deadline(header));
}

absl::Status RemoteDevice::Collect(Ticket ticket, absl::Span<int64_t> sums) {
  if (!failed_.ok()) return failed_;
  const Clock::time_point start = Clock::now();
  const Slot& slot = SlotOf(ticket);
  const absl::Status received = Receive(slot, sums);
  const Clock::time_point end = Clock::now();
  wait_us_ += std::chrono::duration_cast<std::chrono::microseconds>(end - start).count();
  if (!received.ok()) return Fail(received);
  patience_.Note(slot.header, end - slot.sent);
  ++round_trips_;
  return absl::OkStatus();
}

// The header of the answer, which is the one to `request`.
absl::StatusOr<FrameHeader> RemoteDevice::ReceiveAnswer(const FrameHeader& request,
                                                        Clock::time_point deadline,
                                                        const WireKvRange& range) {
  HEARTH_ASSIGN_OR_RETURN(const FrameHeader header, socket_->ReceiveHeader(deadline));
  HEARTH_RETURN_IF_ERROR(ValidateAnswer(header, request, shape_, range));
  network_bytes_ += kFrameHeaderBytes + header.payload_bytes;
  return header;
}

absl::Status RemoteDevice::Receive(const Slot& slot, absl::Span<int64_t> sums) {
  const Clock::time_point deadline = Deadline(slot.header);
  HEARTH_ASSIGN_OR_RETURN(const FrameHeader header, ReceiveAnswer(slot.header, deadline));
  if (slot.header.operation == FrameOperation::kOutput) return ReceiveLogits(slot, deadline);
  if (slot.header.operation == FrameOperation::kStage) {
    return socket_->Receive({reinterpret_cast<uint8_t*>(slot.hidden), header.payload_bytes}, deadline);
  }
  HEARTH_RETURN_IF_ERROR(socket_->Receive(sums_.Receive(header.type, sums.size()), deadline));
  sums_.AddTo(sums);
  return absl::OkStatus();
}

// Puts each row's logits where the host's output rows are in the vocabulary.
absl::Status RemoteDevice::ReceiveLogits(const Slot& slot, Clock::time_point deadline) {
  for (uint32_t row = 0; row < slot.header.rows; ++row) {
    for (const IndexRange& run : shape_.output_runs) {
      float* const out = slot.logits + size_t{row} * slot.n_vocab + run.begin;
      HEARTH_RETURN_IF_ERROR(
          socket_->Receive({reinterpret_cast<uint8_t*>(out), run.size() * sizeof(float)}, deadline));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint8_t>> RemoteDevice::AskForKv(FrameOperation operation, const KvRange& range,
                                                            absl::Span<const uint8_t> bytes) {
  if (!failed_.ok()) return failed_;
  if (!Holds(Work::kMix, range.layer)) {
    return absl::InvalidArgumentError(
        absl::StrCat("host ", name_, " holds no head groups of layer ", range.layer));
  }
  ++submitted_;
  FrameHeader request = HeaderOf(operation, range.layer, 0);
  request.type = FrameType::kBytes;
  const WireKvRange wire{range.group, range.sequence, range.begin, range.end};
  request.payload_bytes = sizeof(wire) + bytes.size();
  Send(request, {AsBytes(&wire, sizeof(wire)), bytes});
  const auto answer = [&]() -> absl::StatusOr<std::vector<uint8_t>> {
    const Clock::time_point deadline = Deadline(request);
    HEARTH_ASSIGN_OR_RETURN(const FrameHeader header, ReceiveAnswer(request, deadline, wire));
    std::vector<uint8_t> cached(header.payload_bytes);
    HEARTH_RETURN_IF_ERROR(socket_->Receive(absl::MakeSpan(cached), deadline));
    return cached;
  }();
  if (!answer.ok()) return Fail(answer.status());
  return answer;
}

absl::StatusOr<std::vector<uint8_t>> RemoteDevice::ReadKv(const KvRange& range) {
  return AskForKv(FrameOperation::kReadKv, range, {});
}

absl::Status RemoteDevice::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) {
  return AskForKv(FrameOperation::kWriteKv, range, bytes).status();
}

DeviceCounters RemoteDevice::counters() const {
  DeviceCounters counters;
  counters.round_trips = round_trips_;
  counters.wait_us = wait_us_;
  return counters;
}

}  // namespace hearth
