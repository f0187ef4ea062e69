#include "daemon/channel/link_probe.h"

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include "daemon/channel/frame_socket.h"
#include "daemon/channel/remote_device.h"
#include "engine/base/quantile.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

using Clock = FrameSocket::Clock;

constexpr std::chrono::seconds kTimeout{10};
constexpr size_t kSmallBytes = 64;
constexpr size_t kFewestPings = 3;
// Large messages grow from here as long as they are quick: the first ones open TCP's window, and a slow link
// is measured with what it carries.
constexpr size_t kFirstLargeBytes = 16 << 10;
constexpr size_t kGrowth = 4;

// How many messages of each size, and how long they may take together.
struct Effort {
  size_t pings;
  std::chrono::milliseconds ping_time;
  size_t large;
  std::chrono::milliseconds large_time;
};
constexpr Effort kThorough = {41, std::chrono::milliseconds{400}, 12, std::chrono::milliseconds{300}};
constexpr Effort kQuick = {9, std::chrono::milliseconds{60}, 5, std::chrono::milliseconds{20}};

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

// The lower quartile: what hosts do besides makes single messages slower.
absl::StatusOr<double> RoundTripSeconds(FrameSocket& socket, const Effort& effort,
                                        Clock::time_point deadline) {
  const std::vector<uint8_t> payload(kSmallBytes);
  std::vector<double> seconds;
  const Clock::time_point end = Clock::now() + effort.ping_time;
  while (seconds.size() < kFewestPings || (seconds.size() < effort.pings && Clock::now() < end)) {
    HEARTH_ASSIGN_OR_RETURN(const double ping, PingSeconds(socket, payload, deadline));
    seconds.push_back(ping);
  }
  return Quantile(absl::MakeSpan(seconds), 0.25);
}

absl::StatusOr<double> BytesPerSecond(FrameSocket& socket, const Effort& effort, double round_trip_s,
                                      Clock::time_point deadline) {
  const std::vector<uint8_t> payload(kMaxPingBytes);
  // What switches and cards hold back for a moment hides a link's speed from small messages: the largest
  // count.
  double best = 0;
  size_t best_bytes = 0, bytes = kFirstLargeBytes;
  const Clock::time_point end = Clock::now() + effort.large_time;
  for (size_t i = 0; i < effort.large && (i == 0 || Clock::now() < end); ++i) {
    HEARTH_ASSIGN_OR_RETURN(const double seconds,
                            PingSeconds(socket, absl::MakeSpan(payload).first(bytes), deadline));
    // Round trips vary: at most half of a message's time is taken for one.
    const double rate = static_cast<double>(bytes) / std::max(seconds - round_trip_s, seconds / 2);
    best = bytes > best_bytes ? rate : std::max(best, rate);
    best_bytes = bytes;
    if (seconds < std::chrono::duration<double>(effort.large_time).count() / kGrowth)
      bytes = std::min<size_t>(bytes * kGrowth, kMaxPingBytes);
  }
  return best;
}

}  // namespace

absl::StatusOr<placement::Link> ProbeLink(const std::string& tensor_address, const SessionToken& token,
                                          const TensorTls& tls, ProbeEffort wanted) {
  const Effort& effort = wanted == ProbeEffort::kQuick ? kQuick : kThorough;
  const Clock::time_point deadline = Clock::now() + kTimeout;
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<FrameSocket> socket,
                          OpenTensorConnection(tensor_address, token, /*epoch=*/0, deadline, {}, tls));
  HEARTH_ASSIGN_OR_RETURN(const double round_trip_s, RoundTripSeconds(*socket, effort, deadline));
  HEARTH_ASSIGN_OR_RETURN(const double bytes_per_s, BytesPerSecond(*socket, effort, round_trip_s, deadline));
  return placement::Link{round_trip_s * 1e6, bytes_per_s};
}

}  // namespace hearth
