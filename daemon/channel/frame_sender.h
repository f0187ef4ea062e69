#ifndef HEARTH_DAEMON_CHANNEL_FRAME_SENDER_H_
#define HEARTH_DAEMON_CHANNEL_FRAME_SENDER_H_

#include <array>
#include <cstddef>
#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/types/span.h"
#include "daemon/channel/frame_socket.h"
#include "engine/base/mutex.h"

namespace hearth {

// Sends frames without ever waiting for the peer: what the system does not take at once, a thread of the
// sender's own sends behind it, in order. Used by one thread.
class FrameSender {
 public:
  static constexpr size_t kMaxFrames = 8;  // on their way out

  // `socket` outlives this; the thread closes it when a frame cannot be sent.
  explicit FrameSender(FrameSocket& socket);
  // Closes the socket if anything is still on its way.
  ~FrameSender();

  // Borrows the payload until the frame was answered or Drain has returned. At most kMaxFrames (CHECK).
  void Send(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts,
            FrameSocket::Clock::time_point deadline);
  // Waits until nothing is on its way out; with a closed socket that is at once.
  void Drain();
  // Why a frame could not be sent; later ones are dropped.
  absl::Status status() const;

 private:
  struct Pending {
    OutgoingFrame frame;
    FrameSocket::Clock::time_point deadline;
  };

  void Run();
  void Fail(const absl::Status& status) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  FrameSocket& socket_;
  mutable Mutex mutex_;
  CondVar changed_;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  size_t first_ ABSL_GUARDED_BY(mutex_) = 0;  // of the ring; the thread's while it sends it
  size_t count_ ABSL_GUARDED_BY(mutex_) = 0;
  std::array<Pending, kMaxFrames> ring_;
  std::thread thread_;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_CHANNEL_FRAME_SENDER_H_
