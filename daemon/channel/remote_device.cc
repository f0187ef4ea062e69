#include "daemon/channel/remote_device.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using Clock = FrameSocket::Clock;

// For a host that syncs but does not answer: it is lost once a layer takes so many times as long as the plan
// expects, which allows for speeds that were measured too high, within these bounds.
constexpr double kPatience = 4;
constexpr double kLeastPatienceS = 1;
constexpr double kMostPatienceS = 600;

absl::Span<const uint8_t> AsBytes(const void* data, uint64_t bytes) {
  return {static_cast<const uint8_t*>(data), bytes};
}

}  // namespace

absl::StatusOr<std::unique_ptr<FrameSocket>> OpenTensorConnection(const std::string& address,
                                                                  const SessionToken& token, uint64_t epoch,
                                                                  Clock::time_point deadline) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<FrameSocket> socket, FrameSocket::Connect(address, deadline));
  FrameHeader hello;
  hello.epoch = epoch;
  hello.payload_bytes = token.size();
  HEARTH_RETURN_IF_ERROR(socket->Send(hello, {AsBytes(token.data(), token.size())}, deadline));
  HEARTH_ASSIGN_OR_RETURN(const FrameHeader welcome, socket->ReceiveHeader(deadline));
  if (welcome.operation != FrameOperation::kWelcome || welcome.epoch != epoch || welcome.payload_bytes != 0) {
    return absl::UnavailableError(
        absl::StrCat("tensor connection with ", address, ": unexpected answer to hello"));
  }
  return socket;
}

RemoteDevice::RemoteDevice(std::string name, ShardShape shape, std::vector<double> expected_us,
                           std::unique_ptr<FrameSocket> socket)
    : name_(std::move(name)),
      shape_(std::move(shape)),
      expected_us_(std::move(expected_us)),
      socket_(std::move(socket)) {
  HEARTH_CHECK(expected_us_.size() == shape_.layers.size());
}

void RemoteDevice::Close(const std::string& reason) {
  MutexLock lock(&mutex_);
  if (close_reason_.empty()) close_reason_ = reason;
  socket_->Close();
}

bool RemoteDevice::Holds(Work work, uint32_t layer) const {
  return work == Work::kFfn && layer < shape_.layers.size() && shape_.layers[layer].held;
}

// Of the request that is on its way.
Clock::time_point RemoteDevice::Deadline() const {
  const double expected_s = 1e-6 * expected_us_[request_.layer] * request_.rows;
  const std::chrono::duration<double> patience{
      std::clamp(kPatience * expected_s, kLeastPatienceS, kMostPatienceS)};
  return Clock::now() + std::chrono::duration_cast<Clock::duration>(patience);
}

absl::Status RemoteDevice::Fail(const absl::Status& status) {
  socket_->Close();
  lost_ = true;
  MutexLock lock(&mutex_);
  const std::string reason = close_reason_.empty() ? std::string(status.message()) : close_reason_;
  failed_ = absl::UnavailableError(absl::StrCat("host ", name_, " was lost (", reason, ")"));
  return failed_;
}

Ticket RemoteDevice::Submit(const Request& request) {
  HEARTH_CHECK(Holds(WorkOf(request), LayerOf(request)));
  if (!failed_.ok()) return request_.step;
  const absl::Status sent = SendRequest(std::get<FfnRequest>(request));
  if (!sent.ok()) Fail(sent);
  return request_.step;
}

absl::Status RemoteDevice::SendRequest(const FfnRequest& request) {
  const uint64_t step = request_.step + 1;
  request_ = {};
  request_.operation = FrameOperation::kFfn;
  request_.type = FrameType::kFloat32;
  request_.hidden = request.hidden != nullptr && shape_.layers[request.layer].predictor_rank > 0;
  request_.epoch = shape_.epoch;
  request_.step = step;
  request_.layer = request.layer;
  request_.rows = request.rows;
  request_.choices = request.choices_per_row;
  const FfnPayload payload = FfnPayloadOf(shape_, request_);
  HEARTH_CHECK(request.choices.size() == size_t{request.rows} * request.choices_per_row);
  request_.payload_bytes = payload.request_bytes();
  network_bytes_ += kFrameHeaderBytes + request_.payload_bytes;
  return socket_->Send(request_,
                       {AsBytes(request.x, payload.x_bytes), AsBytes(request.hidden, payload.hidden_bytes),
                        AsBytes(request.choices.data(), payload.choices_bytes)},
                       Deadline());
}

absl::Status RemoteDevice::Collect(Ticket ticket, absl::Span<int64_t> sums) {
  if (!failed_.ok()) return failed_;
  const Clock::time_point start = Clock::now();
  const absl::Status received = ReceiveSums(sums);
  wait_us_ += std::chrono::duration_cast<std::chrono::microseconds>(Clock::now() - start).count();
  if (!received.ok()) return Fail(received);
  ++round_trips_;
  return absl::OkStatus();
}

absl::Status RemoteDevice::ReceiveSums(absl::Span<int64_t> sums) {
  const Clock::time_point deadline = Deadline();
  HEARTH_ASSIGN_OR_RETURN(const FrameHeader header, socket_->ReceiveHeader(deadline));
  HEARTH_RETURN_IF_ERROR(ValidateSums(header, request_, shape_));
  HEARTH_RETURN_IF_ERROR(socket_->Receive(received_.Receive(header.type, sums.size()), deadline));
  received_.AddTo(sums);
  network_bytes_ += kFrameHeaderBytes + header.payload_bytes;
  return absl::OkStatus();
}

absl::StatusOr<std::vector<uint8_t>> RemoteDevice::ReadKv(const KvRange& range) {
  return absl::InvalidArgumentError(absl::StrCat("host ", name_, " holds no head groups"));
}

absl::Status RemoteDevice::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) {
  return absl::InvalidArgumentError(absl::StrCat("host ", name_, " holds no head groups"));
}

DeviceCounters RemoteDevice::counters() const {
  DeviceCounters counters;
  counters.round_trips = round_trips_;
  counters.wait_us = wait_us_;
  return counters;
}

}  // namespace hearth
