#include "engine/kernel/weight_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/mutex.h"

namespace hearth {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;
// Address space, of which only what is written becomes memory.
constexpr size_t kRegionBytes = size_t{256} << 20;

size_t RoundUp(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

size_t PageBytes() {
  static const auto bytes = static_cast<size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

}  // namespace

// A mapping that pieces are cut from, each part of it once: what was never written is zero.
class WeightMemory::Region {
 public:
  // Null when the system refuses.
  static std::shared_ptr<Region> Map(size_t bytes) {
    const size_t mapped = bytes + kHugePage;  // the first piece starts with a huge page
    void* data = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return nullptr;
    madvise(data, mapped, MADV_HUGEPAGE);  // a wish; without huge pages all works the same
    return std::make_shared<Region>(static_cast<uint8_t*>(data), mapped);
  }

  Region(uint8_t* data, size_t size)
      : data_(data),
        size_(size),
        used_(RoundUp(reinterpret_cast<uintptr_t>(data), kHugePage) - reinterpret_cast<uintptr_t>(data)) {}
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region() { munmap(data_, size_); }

  // Null when there is not enough left. `bytes` are whole pages.
  uint8_t* Cut(size_t bytes) {
    if (bytes > size_ - used_) return nullptr;
    return data_ + std::exchange(used_, used_ + bytes);
  }

 private:
  uint8_t* const data_;
  const size_t size_;
  size_t used_;
};

absl::StatusOr<WeightMemory> WeightMemory::Allocate(size_t bytes) {
  static Mutex mutex;
  static std::shared_ptr<Region>& current ABSL_GUARDED_BY(mutex) = *new std::shared_ptr<Region>;
  WeightMemory piece;
  if (bytes == 0) return piece;
  const auto refusal = [&] {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes of weights"));
  };
  if (bytes > std::numeric_limits<size_t>::max() / 2) return refusal();
  const size_t pages = RoundUp(bytes, PageBytes());

  MutexLock lock(&mutex);
  if (current != nullptr) piece.data_ = current->Cut(pages);
  if (piece.data_ == nullptr) {
    std::shared_ptr<Region> region = Region::Map(std::max(kRegionBytes, pages));
    if (region == nullptr) region = Region::Map(pages);
    if (region == nullptr) return refusal();
    current = std::move(region);
    piece.data_ = current->Cut(pages);
  }
  piece.region_ = current;
  piece.size_ = bytes;
  return piece;
}

WeightMemory::WeightMemory(WeightMemory&& other) noexcept
    : region_(std::move(other.region_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

WeightMemory& WeightMemory::operator=(WeightMemory&& other) noexcept {
  std::swap(region_, other.region_);
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

WeightMemory::~WeightMemory() {
  if (data_ != nullptr) madvise(data_, RoundUp(size_, PageBytes()), MADV_DONTNEED);
}

}  // namespace hearth
