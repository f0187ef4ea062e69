#include "tests/cuda_emu/shared_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/cuda_emu/sanitizers.h"

namespace hearth::cuda_emu::internal {
namespace {

constexpr size_t kMaxStaticBytes = size_t{48} << 10;
// Room for static objects with their gaps, then for the most dynamic memory that a card has.
constexpr size_t kStaticRegion = size_t{128} << 10;
constexpr size_t kRegion = kStaticRegion + (size_t{256} << 10);
// Between objects, so that AddressSanitizer sees accesses past their ends.
constexpr size_t kGap = kAddressSanitizer ? 128 : 0;

}  // namespace

SharedMemory::SharedMemory() : page_bytes_(static_cast<size_t>(sysconf(_SC_PAGESIZE))) {
  void* mapping =
      mmap(nullptr, kRegion + page_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapping == MAP_FAILED || mprotect(static_cast<char*>(mapping) + kRegion, page_bytes_, PROT_NONE) != 0) {
    perror("cuda emulator: no memory for shared memory");
    abort();
  }
  begin_ = static_cast<char*>(mapping);
  end_ = begin_ + kRegion;
  dynamic_ = end_;
  dirty_bytes_ = kStaticRegion;
}

void SharedMemory::Begin(size_t dynamic_bytes) {
  if (placed_bytes_ > dirty_bytes_) dirty_bytes_ = placed_bytes_;
  UnpoisonMemory(begin_, dirty_bytes_);
  memset(begin_, 0xff, dirty_bytes_);
  PoisonMemory(begin_, dirty_bytes_);
  dirty_bytes_ = 0;
  object_count_ = 0;
  placed_bytes_ = 0;
  static_bytes_ = 0;
  dynamic_bytes_ = (dynamic_bytes + 15) / 16 * 16;
  dynamic_ = end_ - dynamic_bytes_;
  memset(dynamic_, 0xff, dynamic_bytes_);
}

HEARTH_EMULATOR_UNCHECKED void* SharedMemory::Static(const void* key, size_t bytes, size_t alignment,
                                                     size_t limit_bytes) {
  for (size_t i = 0; i < object_count_; i++) {
    if (objects_[i].key == key) return objects_[i].data;
  }
  if (alignment < 16) alignment = 16;
  static_bytes_ = (static_bytes_ + alignment - 1) / alignment * alignment + bytes;
  if (object_count_ == kMaxObjects || static_bytes_ > kMaxStaticBytes) return nullptr;
  if (static_bytes_ + dynamic_bytes_ > limit_bytes) return nullptr;
  const size_t offset = (placed_bytes_ + kGap + alignment - 1) / alignment * alignment;
  if (offset + bytes + kGap > kStaticRegion) return nullptr;
  placed_bytes_ = offset + bytes + kGap;
  UnpoisonMemory(begin_ + offset, bytes);
  objects_[object_count_++] = {key, begin_ + offset};
  return begin_ + offset;
}

HEARTH_EMULATOR_UNCHECKED bool SharedMemory::Holds(const void* address, size_t bytes) const {
  const char* data = static_cast<const char*>(address);
  const bool is_static = data >= begin_ && data < begin_ + placed_bytes_ &&
                         bytes <= static_cast<size_t>(begin_ + placed_bytes_ - data);
  const bool is_dynamic = data >= dynamic_ && data < end_ && bytes <= static_cast<size_t>(end_ - data);
  return is_static || is_dynamic;
}

}  // namespace hearth::cuda_emu::internal
