#include "engine/kernel/weight_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <limits>
#include <map>
#include <utility>
#include <vector>

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

// A mapping that pieces are cut from: what nobody holds is zero. Used under the mutex of `Regions`.
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

  Region(uint8_t* data, size_t size) : data_(data), size_(size) {
    const auto address = reinterpret_cast<uintptr_t>(data);
    const size_t first = RoundUp(address, kHugePage) - address;
    free_[first] = size - first;
  }
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  ~Region() { munmap(data_, size_); }

  // The first place that has room; null where none has. `bytes` are whole pages.
  uint8_t* Cut(size_t bytes) {
    const auto room = std::find_if(free_.begin(), free_.end(),
                                   [bytes](const auto& place) { return place.second >= bytes; });
    if (room == free_.end()) return nullptr;
    const auto [offset, size] = *room;
    free_.erase(room);
    if (size > bytes) free_[offset + bytes] = size - bytes;
    return data_ + offset;
  }

  // The other way.
  void Return(const uint8_t* piece, size_t bytes) {
    auto place = free_.emplace(piece - data_, bytes).first;
    if (const auto next = std::next(place); next != free_.end() && place->first + bytes == next->first) {
      place->second += next->second;
      free_.erase(next);
    }
    if (place == free_.begin()) return;
    if (const auto former = std::prev(place); former->first + former->second == place->first) {
      former->second += place->second;
      free_.erase(place);
    }
  }

 private:
  uint8_t* const data_;
  const size_t size_;
  std::map<size_t, size_t> free_;  // bytes by offset; no two of them touch
};

// All that are mapped.
struct WeightMemory::Regions {
  static Regions& Get() {
    static Regions& regions = *new Regions;
    return regions;
  }

  Mutex mutex;
  std::vector<std::weak_ptr<Region>> all ABSL_GUARDED_BY(mutex);
  // Stays, for the next piece.
  std::shared_ptr<Region> newest ABSL_GUARDED_BY(mutex);
};

absl::StatusOr<WeightMemory> WeightMemory::Allocate(size_t bytes) {
  WeightMemory piece;
  if (bytes == 0) return piece;
  const auto refusal = [&] {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes of weights"));
  };
  if (bytes > std::numeric_limits<size_t>::max() / 2) return refusal();
  const size_t pages = RoundUp(bytes, PageBytes());
  piece.size_ = bytes;

  Regions& regions = Regions::Get();
  MutexLock lock(&regions.mutex);
  std::erase_if(regions.all, [](const auto& region) { return region.expired(); });
  // The room that other pieces have left comes first: those that stay would else keep huge pages all over the
  // address space, which the system fills again around them.
  for (const std::weak_ptr<Region>& weak : regions.all) {
    piece.region_ = weak.lock();
    if (piece.region_ != nullptr) piece.data_ = piece.region_->Cut(pages);
    if (piece.data_ != nullptr) return piece;
  }
  piece.region_ = Region::Map(std::max(kRegionBytes, pages));
  if (piece.region_ == nullptr) piece.region_ = Region::Map(pages);
  if (piece.region_ == nullptr) return refusal();
  piece.data_ = piece.region_->Cut(pages);
  regions.all.push_back(piece.region_);
  regions.newest = piece.region_;
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
  if (data_ == nullptr) return;
  const size_t pages = RoundUp(size_, PageBytes());
  madvise(data_, pages, MADV_DONTNEED);
  MutexLock lock(&Regions::Get().mutex);
  region_->Return(data_, pages);
}

}  // namespace hearth
