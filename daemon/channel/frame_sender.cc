#include "daemon/channel/frame_sender.h"

#include "engine/base/check.h"

namespace hearth {

FrameSender::FrameSender(FrameSocket& socket) : socket_(socket), thread_([this] { Run(); }) {}

FrameSender::~FrameSender() {
  {
    MutexLock lock(&mutex_);
    stopped_ = true;
    if (count_ > 0) socket_.Close();
  }
  changed_.SignalAll();
  thread_.join();
}

void FrameSender::Send(const FrameHeader& header, absl::Span<const absl::Span<const uint8_t>> parts,
                       FrameSocket::Clock::time_point deadline) {
  MutexLock lock(&mutex_);
  if (!status_.ok()) return;
  HEARTH_CHECK(count_ < kMaxFrames);
  Pending& pending = ring_[(first_ + count_) % kMaxFrames];
  pending = {OutgoingFrame(header, parts), deadline};
  if (count_ == 0) {
    if (const absl::Status status = socket_.SendSome(pending.frame); !status.ok()) return Fail(status);
    if (pending.frame.sent()) return;
  }
  ++count_;
  changed_.SignalAll();
}

void FrameSender::Drain() {
  MutexLock lock(&mutex_);
  while (count_ > 0) changed_.Wait(&mutex_);
}

absl::Status FrameSender::status() const {
  MutexLock lock(&mutex_);
  return status_;
}

void FrameSender::Run() {
  MutexLock lock(&mutex_);
  while (!stopped_) {
    if (count_ == 0) {
      changed_.Wait(&mutex_);
      continue;
    }
    Pending& pending = ring_[first_];
    lock.Unlock();
    const absl::Status status = socket_.Send(pending.frame, pending.deadline);
    lock.Lock();
    if (!status.ok()) {
      Fail(status);
    } else {
      first_ = (first_ + 1) % kMaxFrames;
      --count_;
    }
    changed_.SignalAll();
  }
}

void FrameSender::Fail(const absl::Status& status) {
  status_ = status;
  count_ = 0;
  socket_.Close();
}

}  // namespace hearth
