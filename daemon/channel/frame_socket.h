#ifndef HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_H_
#define HEARTH_DAEMON_CHANNEL_FRAME_SOCKET_H_

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "daemon/channel/frame.h"
#include "daemon/identity/tls_context.h"

namespace hearth {

// A frame on its way out. Borrows the bytes of its payload.
class OutgoingFrame {
 public:
  static constexpr size_t kMaxParts = 4;

  OutgoingFrame() = default;  // nothing
  // header.payload_bytes are those of all parts together, at most kMaxParts (CHECK).
  OutgoingFrame(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts);

  // Whether nothing is left to be sent.
  bool sent() const { return bytes_left_ == 0; }

 private:
  friend class FrameSocket;

  FrameHeaderBytes header_{};
  std::array<absl::Span<const uint8_t>, kMaxParts> parts_;
  size_t bytes_left_ = 0;
  size_t bytes_ = 0;
};

// Which end of a TLS connection.
enum class TlsEnd { kServer, kClient };

// A TCP connection that carries frames, from StartTls on within TLS. Waiting for bytes keeps the thread awake
// for a millisecond, since the next message of a decode loop usually follows at once, and then sleeps.
//
// One thread at a time sends and one receives; Close may be called by any thread at any time and makes both
// fail at once. TLS writes without Asio: a process that uses it ignores SIGPIPE.
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

  // Encrypts all that follows; before anything else is sent or received. A client may show a server `knock`,
  // in clear (knock.h). The certificate that the other end has shown, of the same home; UNAVAILABLE with the
  // reason where the two ends do not come together.
  absl::StatusOr<Certificate> StartTls(const TlsContext& context, TlsEnd end, Clock::time_point deadline,
                                       const std::string& knock = "");

  // All return UNAVAILABLE when the peer is gone, the socket was closed or the deadline has passed.
  // Sends a frame, or what is left of it.
  absl::Status Send(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts,
                    Clock::time_point deadline);
  absl::Status Send(OutgoingFrame& frame, Clock::time_point deadline);
  // Sends as much of it as the system takes at once, perhaps nothing.
  absl::Status SendSome(OutgoingFrame& frame);
  // INVALID_ARGUMENT for bytes that are no header.
  absl::StatusOr<FrameHeader> ReceiveHeader(Clock::time_point deadline);
  absl::Status Receive(absl::Span<uint8_t> out, Clock::time_point deadline);

  // From any thread, at any time; what waits fails at once.
  void Close();
  // ADDRESS:PORT of the other end.
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
