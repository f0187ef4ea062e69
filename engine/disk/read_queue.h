#ifndef HEARTH_ENGINE_DISK_READ_QUEUE_H_
#define HEARTH_ENGINE_DISK_READ_QUEUE_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/types/span.h"

namespace hearth {

// What has come of one read: bytes that were read, or a negative errno.
struct ReadResult {
  size_t buffer = 0;
  ssize_t bytes = 0;
};

// Several reads of one file on their way at the same time, each into a buffer of its own. Used by one thread.
class ReadQueue {
 public:
  virtual ~ReadQueue() = default;

  // Starts reading at `offset` into the first `bytes` bytes of a buffer (from `to` on) on which no read is on
  // its way. The read may be held back until Flush or Wait.
  virtual void Submit(size_t buffer, uint64_t offset, absl::Span<uint8_t> to) = 0;
  virtual void Flush() = 0;
  // Waits for any of the reads on their way, of which there is one at least.
  virtual ReadResult Wait() = 0;
};

// By io_uring, with the file and, where the kernel lets that much memory be locked, the buffers registered.
// UNAVAILABLE where the kernel has none or forbids it. `fd` and the memory of the buffers, which lie in
// `memory`, outlive the queue.
absl::StatusOr<std::unique_ptr<ReadQueue>> MakeUringQueue(int fd, size_t depth, absl::Span<uint8_t> memory);

// By threads that read each for itself, for kernels without io_uring.
std::unique_ptr<ReadQueue> MakeThreadQueue(int fd, size_t threads);

}  // namespace hearth

#endif  // HEARTH_ENGINE_DISK_READ_QUEUE_H_
