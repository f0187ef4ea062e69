#include "engine/disk/disk_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr size_t kUsualSector = 512;
constexpr size_t kLargeSector = 4096;
// Without io_uring.
constexpr size_t kThreads = 16;

// Whether the file can be read past the page cache in sectors of the usual size.
bool ReadsUsualSectors(int fd, uint8_t* memory) {
  return pread(fd, memory + kUsualSector, kUsualSector, kUsualSector) >= 0;
}

}  // namespace

DiskReaderOptions DiskReaderOptions::For(size_t largest_part, uint64_t budget_bytes) {
  DiskReaderOptions options;
  const size_t usual = options.buffer_bytes, deepest = options.depth;
  options.buffer_bytes = std::clamp<uint64_t>(budget_bytes / 256, 4 * kLargeSector, usual);
  options.buffer_bytes = std::max(options.buffer_bytes, largest_part + 2 * kLargeSector);
  options.buffer_bytes = (options.buffer_bytes + kLargeSector - 1) / kLargeSector * kLargeSector;
  options.depth = std::clamp<uint64_t>(budget_bytes / 16 / options.buffer_bytes, 4, deepest);
  return options;
}

DiskReader::DiskReader(std::string file_name, const DiskReaderOptions& options, size_t sector_bytes,
                       WeightMemory memory)
    : file_name_(std::move(file_name)),
      options_(options),
      sector_bytes_(sector_bytes),
      memory_(std::move(memory)),
      reads_of_(options.depth) {
  for (size_t i = options.depth; i > 0; --i) idle_.push_back(i - 1);
}

DiskReader::~DiskReader() {
  queue_.reset();
  if (fd_ >= 0) close(fd_);
}

absl::StatusOr<std::unique_ptr<DiskReader>> DiskReader::Open(const GgufFile& file,
                                                             const DiskReaderOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(WeightMemory memory, WeightMemory::Allocate(options.depth * options.buffer_bytes));
  absl::StatusOr<int> fd = file.OpenDescriptor(O_DIRECT);
  size_t sector = 1;
  if (fd.ok()) {
    sector = ReadsUsualSectors(*fd, memory.data()) ? kUsualSector : kLargeSector;
  } else {
    // File systems in memory have no other way.
    HEARTH_ASSIGN_OR_RETURN(fd, file.OpenDescriptor(0));
  }
  std::unique_ptr<DiskReader> reader(new DiskReader(file.name(), options, sector, std::move(memory)));
  reader->fd_ = *fd;
  if (options.io_uring) {
    absl::StatusOr<std::unique_ptr<ReadQueue>> queue =
        MakeUringQueue(*fd, options.depth, {reader->memory_.data(), reader->memory_.size()});
    if (queue.ok()) reader->queue_ = *std::move(queue);
  }
  if (reader->queue_ == nullptr) reader->queue_ = MakeThreadQueue(*fd, std::min(kThreads, options.depth));
  return reader;
}

absl::StatusOr<std::unique_ptr<DiskReader>> DiskReader::Make(std::string file_name,
                                                             const DiskReaderOptions& options,
                                                             size_t sector_bytes, const MakeQueue& make) {
  HEARTH_ASSIGN_OR_RETURN(WeightMemory memory, WeightMemory::Allocate(options.depth * options.buffer_bytes));
  std::unique_ptr<DiskReader> reader(
      new DiskReader(std::move(file_name), options, sector_bytes, std::move(memory)));
  reader->queue_ = make({reader->memory_.data(), reader->memory_.size()});
  return reader;
}

void DiskReader::Start(uint64_t offset, size_t bytes, uint64_t tag) {
  HEARTH_CHECK(can_start() && bytes > 0 && bytes <= most_bytes());
  const size_t buffer = idle_.back();
  idle_.pop_back();
  Read& read = reads_of_[buffer];
  read.tag = tag;
  read.skip = offset % sector_bytes_;
  read.offset = offset - read.skip;
  read.bytes = bytes;
  read.wanted = (read.skip + bytes + sector_bytes_ - 1) / sector_bytes_ * sector_bytes_;
  read.done = 0;
  Submit(buffer);
}

void DiskReader::Submit(size_t buffer) {
  const Read& read = reads_of_[buffer];
  queue_->Submit(buffer, read.offset + read.done, Buffer(buffer).subspan(read.done, read.wanted - read.done));
  ++reads_;
}

absl::StatusOr<DiskReader::Done> DiskReader::Finish() {
  if (shown_ != SIZE_MAX) idle_.push_back(std::exchange(shown_, SIZE_MAX));
  HEARTH_CHECK(in_flight());
  for (;;) {
    const ReadResult result = queue_->Wait();
    Read& read = reads_of_[result.buffer];
    if (result.bytes < 0) {
      return absl::DataLossError(absl::StrCat("cannot read ", file_name_, ": ",
                                              std::strerror(static_cast<int>(-result.bytes)),
                                              "; check its disk"));
    }
    bytes_read_ += static_cast<uint64_t>(result.bytes);
    const size_t got = read.done + static_cast<size_t>(result.bytes);
    if (got >= read.skip + read.bytes) {
      shown_ = result.buffer;
      return Done{read.tag, Buffer(result.buffer).subspan(read.skip, read.bytes)};
    }
    // A short read is gone on with from the last whole sector; one without any is the end of the file.
    const size_t whole = got / sector_bytes_ * sector_bytes_;
    if (whole <= read.done) {
      return absl::DataLossError(
          absl::StrCat(file_name_, ": was cut short while it was in use; copy it again, then load it again"));
    }
    read.done = whole;
    Submit(result.buffer);
  }
}

}  // namespace hearth
