#ifndef HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_H_
#define HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/channel/frame.h"

namespace hearth {

// A TCP connection that carries frames. Waiting for bytes first spins for some microseconds, since the next
// message of a decode loop usually follows at once, and then sleeps.
//
// One thread at a time sends and one receives; Close may be called by any thread at any time and makes both
// fail at once.
class FrameSocket {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr Clock::time_point kNoDeadline = Clock::time_point::max();

  // Connects to HOST:PORT. UNAVAILABLE with the address and the reason; INVALID_ARGUMENT for no address.
  static absl::StatusOr<std::unique_ptr<FrameSocket>> Connect(const std::string& address,
                                                              Clock::time_point deadline);
  // Takes over a connected socket.
  struct Impl;
  explicit FrameSocket(std::unique_ptr<Impl> impl);
  ~FrameSocket();
  FrameSocket(const FrameSocket&) = delete;
  FrameSocket& operator=(const FrameSocket&) = delete;

  // All return UNAVAILABLE when the peer is gone, the socket was closed or the deadline has passed.
  // Sends a header and then the parts of its payload, header.payload_bytes in all (CHECK); at most 4 parts.
  absl::Status Send(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts,
                    Clock::time_point deadline);
  // INVALID_ARGUMENT for bytes that are no header.
  absl::StatusOr<FrameHeader> ReceiveHeader(Clock::time_point deadline);
  absl::Status Receive(absl::Span<uint8_t> out, Clock::time_point deadline);

  void Close();
  const std::string& peer() const { return peer_; }

 private:
  absl::Status AwaitReady(short events, Clock::time_point deadline);

  std::unique_ptr<Impl> impl_;
  std::string peer_;
};

// The parts of "HOST:PORT" or "[IPV6]:PORT". INVALID_ARGUMENT when it is neither.
struct HostPort {
  std::string host;
  uint16_t port = 0;
};
absl::StatusOr<HostPort> ParseHostPort(const std::string& address);
std::string FormatHostPort(const HostPort& address);

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_H_
