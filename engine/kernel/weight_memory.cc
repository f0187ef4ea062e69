#include "engine/kernel/weight_memory.h"

#include <sys/mman.h>

#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace hearth {
namespace {

constexpr size_t kHugePage = size_t{2} << 20;

}  // namespace

absl::StatusOr<WeightMemory> WeightMemory::Allocate(size_t bytes) {
  if (bytes == 0) return WeightMemory();
  // Mapped larger than asked for and trimmed at the front, so that the first huge page starts with the data.
  const size_t slack = bytes >= kHugePage ? kHugePage : 0;
  if (bytes > SIZE_MAX - slack) return absl::ResourceExhaustedError("weights larger than the address space");
  void* mapped = mmap(nullptr, bytes + slack, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) {
    return absl::ResourceExhaustedError(absl::StrCat("no memory for ", bytes, " bytes of weights"));
  }
  auto* begin = static_cast<uint8_t*>(mapped);
  if (slack == 0) return WeightMemory(begin, bytes);
  const size_t skip = (kHugePage - reinterpret_cast<uintptr_t>(begin) % kHugePage) % kHugePage;
  if (skip > 0) munmap(begin, skip);
  uint8_t* data = begin + skip;
  constexpr size_t kPage = 4096;
  const size_t used = (bytes + kPage - 1) / kPage * kPage;
  uint8_t* end = begin + (bytes + slack + kPage - 1) / kPage * kPage;
  if (data + used < end) munmap(data + used, static_cast<size_t>(end - (data + used)));
  madvise(data, used, MADV_HUGEPAGE);  // a wish; without huge pages all works the same
  return WeightMemory(data, bytes);
}

WeightMemory::WeightMemory(WeightMemory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}

WeightMemory& WeightMemory::operator=(WeightMemory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

WeightMemory::~WeightMemory() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace hearth
