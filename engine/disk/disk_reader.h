#ifndef HEARTH_ENGINE_DISK_DISK_READER_H_
#define HEARTH_ENGINE_DISK_DISK_READER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/disk/read_queue.h"
#include "engine/file/gguf.h"
#include "engine/kernel/weight_memory.h"

namespace hearth {

struct DiskReaderOptions {
  size_t depth = 128;                     // reads on their way at the same time
  size_t buffer_bytes = size_t{1} << 16;  // of each
  bool io_uring = true;                   // false: threads, as where the kernel has none

  // For parts of up to so many bytes: buffers take a small share of a budget, where it is large enough for
  // some.
  static DiskReaderOptions For(size_t largest_part, uint64_t budget_bytes);
};

// Reads parts of a file past the page cache, many at a time. Parts may begin and end anywhere: what is read
// are the whole sectors around them, into buffers that are taken once. Used by one thread.
class DiskReader {
 public:
  // Of the file that is mapped. RESOURCE_EXHAUSTED without memory; the errors of open().
  static absl::StatusOr<std::unique_ptr<DiskReader>> Open(const GgufFile& file,
                                                          const DiskReaderOptions& options);
  // For tests: reads are what `make` makes of the buffers' memory; sectors have `sector_bytes`.
  using MakeQueue = std::function<std::unique_ptr<ReadQueue>(absl::Span<uint8_t> memory)>;
  static absl::StatusOr<std::unique_ptr<DiskReader>> Make(std::string file_name,
                                                          const DiskReaderOptions& options,
                                                          size_t sector_bytes, const MakeQueue& make);
  ~DiskReader();

  // Whether another read can be started now; the most bytes of one.
  bool can_start() const { return !idle_.empty(); }
  size_t most_bytes() const { return options_.buffer_bytes - 2 * sector_bytes_; }
  bool in_flight() const { return idle_.size() < options_.depth; }

  // Starts reading bytes [offset, offset + bytes); can_start (CHECK). `tag` comes back with them. May be held
  // back until Flush or Finish.
  void Start(uint64_t offset, size_t bytes, uint64_t tag);
  void Flush() { queue_->Flush(); }

  // Waits for any read on its way, of which there is one at least. The bytes stay until the next call.
  struct Done {
    uint64_t tag = 0;
    absl::Span<const uint8_t> bytes;
  };
  // DATA_LOSS when the file ends before the part does or cannot be read.
  absl::StatusOr<Done> Finish();

  // Of all reads so far, whole sectors.
  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t reads() const { return reads_; }
  // Memory of the buffers.
  uint64_t memory_bytes() const { return memory_.size(); }

 private:
  struct Read {
    uint64_t tag = 0;
    uint64_t offset = 0;  // of the buffer's first byte in the file
    size_t skip = 0;      // bytes before the part
    size_t bytes = 0;     // of the part
    size_t wanted = 0;    // whole sectors
    size_t done = 0;
  };

  DiskReader(std::string file_name, const DiskReaderOptions& options, size_t sector_bytes,
             WeightMemory memory);
  absl::Span<uint8_t> Buffer(size_t buffer) const {
    return {memory_.data() + buffer * options_.buffer_bytes, options_.buffer_bytes};
  }
  void Submit(size_t buffer);

  const std::string file_name_;
  const DiskReaderOptions options_;
  const size_t sector_bytes_;
  const WeightMemory memory_;
  int fd_ = -1;
  std::unique_ptr<ReadQueue> queue_;
  std::vector<Read> reads_of_;  // by buffer
  std::vector<size_t> idle_;
  size_t shown_ = SIZE_MAX;  // the buffer that Finish gave last
  uint64_t bytes_read_ = 0;
  uint64_t reads_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DISK_DISK_READER_H_
