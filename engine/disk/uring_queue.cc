#include <liburing.h>
#include <sys/uio.h>

#include <cerrno>

#include "absl/status/status.h"
#include "engine/base/check.h"
#include "engine/disk/read_queue.h"

namespace hearth {
namespace {

class UringQueue : public ReadQueue {
 public:
  explicit UringQueue(int fd) : fd_(fd) {}
  UringQueue(const UringQueue&) = delete;
  UringQueue& operator=(const UringQueue&) = delete;
  ~UringQueue() override {
    if (!open_) return;
    while (in_flight_ > 0) Wait();  // the kernel writes into buffers that are about to go
    io_uring_queue_exit(&ring_);
  }

  absl::Status Open(size_t depth, absl::Span<uint8_t> memory) {
    const int made = io_uring_queue_init(static_cast<unsigned>(depth), &ring_, 0);
    if (made < 0) return absl::UnavailableError("the kernel offers no io_uring");
    open_ = true;
    registered_file_ = io_uring_register_files(&ring_, &fd_, 1) == 0;
    const iovec all = {memory.data(), memory.size()};
    registered_memory_ = io_uring_register_buffers(&ring_, &all, 1) == 0;
    return absl::OkStatus();
  }

  void Submit(size_t buffer, uint64_t offset, absl::Span<uint8_t> to) override {
    io_uring_sqe* entry = io_uring_get_sqe(&ring_);
    if (entry == nullptr) {
      Flush();
      entry = io_uring_get_sqe(&ring_);
    }
    HEARTH_CHECK(entry != nullptr);
    const int file = registered_file_ ? 0 : fd_;
    const auto bytes = static_cast<unsigned>(to.size());
    if (registered_memory_) {
      io_uring_prep_read_fixed(entry, file, to.data(), bytes, offset, 0);
    } else {
      io_uring_prep_read(entry, file, to.data(), bytes, offset);
    }
    if (registered_file_) entry->flags |= IOSQE_FIXED_FILE;
    io_uring_sqe_set_data64(entry, buffer);
    ++in_flight_;
  }

  void Flush() override {
    // Refused for want of memory or by a signal: the entries stay, and Wait submits them.
    (void)io_uring_submit(&ring_);
  }

  ReadResult Wait() override {
    io_uring_cqe* done = nullptr;
    for (;;) {
      if (io_uring_peek_cqe(&ring_, &done) == 0) break;
      const int waited = io_uring_submit_and_wait(&ring_, 1);
      HEARTH_CHECK(waited >= 0 || waited == -EINTR || waited == -EAGAIN || waited == -EBUSY);
    }
    const ReadResult result = {static_cast<size_t>(io_uring_cqe_get_data64(done)), done->res};
    io_uring_cqe_seen(&ring_, done);
    --in_flight_;
    return result;
  }

 private:
  const int fd_;
  io_uring ring_ = {};
  bool open_ = false;
  bool registered_file_ = false;
  bool registered_memory_ = false;
  size_t in_flight_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ReadQueue>> MakeUringQueue(int fd, size_t depth, absl::Span<uint8_t> memory) {
  auto queue = std::make_unique<UringQueue>(fd);
  if (absl::Status status = queue->Open(depth, memory); !status.ok()) return status;
  return queue;
}

}  // namespace hearth
