#ifndef HEARTH_DAEMON_CHANNEL_LOBBY_H_
#define HEARTH_DAEMON_CHANNEL_LOBBY_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "daemon/channel/frame.h"
#include "daemon/channel/frame_socket.h"
#include "daemon/channel/stranger_limits.h"
#include "daemon/identity/tls_context.h"
#include "daemon/weights/session_token.h"

namespace hearth {

struct LobbyOptions {
  std::string listen;                        // HOST:PORT; port 0 takes any free one
  TlsContext tls;                            // only the coordinator of the home gets through; null: plain
  size_t strangers = 128;                    // at the same time
  size_t per_network = 64;                   // of them; those that knock count as a network
  StrangerRate::Options handshakes;          // of those that do not knock (knock.h)
  std::chrono::milliseconds patience{3000};  // with each, in all
};

// The port of a tensor server until callers have said hello: one thread waits for all of them. A caller costs
// a socket until it has sent something, and at most a handshake's memory from then on; TLS begins for whoever
// knocks, for others as often as their network's rate allows. Whoever is too many, slow, or wrong is gone.
class Lobby {
 public:
  // Called on the lobby's thread, which they keep waiting.
  struct Events {
    // A caller that has said hello, valid but for its token and epoch.
    std::function<void(std::unique_ptr<FrameSocket>, const FrameHeader& hello, const SessionToken&)> arrived;
    // One that was sent away for what it sent or showed.
    std::function<void(const std::string& peer, const absl::Status&)> refused;
  };

  // UNAVAILABLE with the address and the reason.
  static absl::StatusOr<std::unique_ptr<Lobby>> Open(const LobbyOptions& options, Events events);
  // Ends the thread; those who wait are sent away.
  virtual ~Lobby() = default;

  virtual std::string address() const = 0;  // ADDRESS:PORT, in numbers, with the real port
  // The token that leaders knock with from now on. From any thread.
  virtual void SetToken(const SessionToken& token) = 0;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_LOBBY_H_
