#ifndef HEARTH_DAEMON_CHANNEL_TENSOR_SERVER_H_
#define HEARTH_DAEMON_CHANNEL_TENSOR_SERVER_H_

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "daemon/channel/frame.h"
#include "daemon/channel/log_limiter.h"
#include "daemon/identity/tls_context.h"
#include "daemon/weights/session_token.h"
#include "daemon/weights/shard_publisher.h"
#include "engine/base/mutex.h"
#include "engine/device/host_share.h"
#include "engine/model/led_stage.h"

namespace hearth {

class FrameSocket;
class Lobby;

// The worker's end of the tensor channel: answers its leader's requests with the shares that are published.
// Whoever has said hello with the session's token has a thread, which computes too; there is one per plan in
// use, and one that measures now and then. Until then callers wait in a lobby.
//
// Whoever sends anything but what frame.h and the connection's plan allow is disconnected, with one line in
// the log; nothing is allocated for such a message. Thread-safe.
class TensorServer : public ShardPublisher {
 public:
  // Opens HOST:PORT (port 0: any free one). With `tls` only the coordinator of the home is answered.
  // UNAVAILABLE with the address and the reason.
  static absl::StatusOr<std::unique_ptr<TensorServer>> Open(const std::string& listen,
                                                            TlsContext tls = nullptr);
  ~TensorServer() override;
  TensorServer(const TensorServer&) = delete;
  TensorServer& operator=(const TensorServer&) = delete;

  // ADDRESS:PORT, in numbers, with the real port.
  const std::string& address() const { return address_; }

  // Only connections that know `token` are answered from now on; those of another session are closed.
  void SetSession(const SessionToken& token);
  void Publish(uint64_t epoch, std::shared_ptr<HostShare> share, std::shared_ptr<LedStage> stage) override;
  // Also closes the epoch's connections. The share is let go when its last message has been
  // answered.
  void Withdraw(uint64_t epoch) override;

  // Connections that were closed because of what came in.
  uint64_t refused() const;

 private:
  struct Connection;
  // What the host does for a plan; the stage uses the share.
  struct Part {
    std::shared_ptr<HostShare> share;  // null: nothing
    std::shared_ptr<LedStage> stage;
  };

  TensorServer() = default;
  void Arrive(std::unique_ptr<FrameSocket> socket, const FrameHeader& hello, const SessionToken& token);
  absl::Status Admit(Connection& connection, const FrameHeader& hello, const SessionToken& token)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Refuse(const std::string& peer, const absl::Status& status);
  void Reap(bool all);
  void Serve(Connection& connection);
  static absl::Status Welcome(FrameSocket& socket, const Part& part, uint64_t epoch);
  absl::Status ServePings(Connection& connection);
  absl::Status ServeRequests(Connection& connection, const Part& part, uint64_t epoch);

  std::string address_;
  LogLimiter limiter_{std::chrono::seconds(5)};

  mutable Mutex mutex_;
  std::optional<SessionToken> token_ ABSL_GUARDED_BY(mutex_);
  std::map<uint64_t, Part> parts_ ABSL_GUARDED_BY(mutex_);
  std::list<std::unique_ptr<Connection>> connections_ ABSL_GUARDED_BY(mutex_);
  uint64_t refused_ ABSL_GUARDED_BY(mutex_) = 0;

  std::unique_ptr<Lobby> lobby_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_TENSOR_SERVER_H_
