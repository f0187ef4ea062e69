#include "daemon/channel/link_probe.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "daemon/channel/frame_socket.h"
#include "daemon/channel/remote_device.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using Clock = FrameSocket::Clock;

constexpr std::chrono::seconds kTimeout{2};
constexpr int kSmallPings = 41;
constexpr size_t kSmallBytes = 64;
// The first large messages open TCP's window; the measuring stops early on a slow link.
constexpr int kLargePings = 12;
constexpr std::chrono::milliseconds kLargeTime{300};

// Seconds from sending a ping of `payload` until its answer is here.
absl::StatusOr<double> PingSeconds(FrameSocket& socket, absl::Span<const uint8_t> payload,
                                   Clock::time_point deadline) {
  FrameHeader ping;
  ping.operation = FrameOperation::kPing;
  ping.payload_bytes = payload.size();
  const Clock::time_point start = Clock::now();
  HEARTH_RETURN_IF_ERROR(socket.Send(ping, {payload}, deadline));
  HEARTH_ASSIGN_OR_RETURN(const FrameHeader pong, socket.ReceiveHeader(deadline));
  if (pong.operation != FrameOperation::kPong || pong.payload_bytes != 0) {
    return absl::UnavailableError("unexpected answer to a ping");
  }
  return std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

absl::StatusOr<placement::Link> ProbeLink(const std::string& tensor_address, const SessionToken& token) {
  const Clock::time_point deadline = Clock::now() + kTimeout;
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<FrameSocket> socket,
                          OpenTensorConnection(tensor_address, token, /*epoch=*/0, deadline));
  std::vector<uint8_t> payload(kMaxPingBytes);
  std::vector<double> round_trips;
  for (int i = 0; i < kSmallPings; ++i) {
    HEARTH_ASSIGN_OR_RETURN(const double seconds,
                            PingSeconds(*socket, absl::MakeSpan(payload).first(kSmallBytes), deadline));
    round_trips.push_back(seconds);
  }
  std::nth_element(round_trips.begin(), round_trips.begin() + kSmallPings / 2, round_trips.end());
  const double round_trip = round_trips[kSmallPings / 2];

  double best = 0;
  const Clock::time_point end = Clock::now() + kLargeTime;
  for (int i = 0; i < kLargePings && (i == 0 || Clock::now() < end); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const double seconds, PingSeconds(*socket, payload, deadline));
    best = std::max(best, static_cast<double>(payload.size()) / std::max(seconds - round_trip, 1e-6));
  }
  return placement::Link{round_trip * 1e6, best};
}

}  // namespace hearth
