#ifndef HEARTH_TESTS_CUDA_EMU_SHARED_MEMORY_H_
#define HEARTH_TESTS_CUDA_EMU_SHARED_MEMORY_H_

#include <cstddef>

namespace hearth::cuda_emu::internal {

// The shared memory of the block that runs: static objects from the start, dynamic memory at the end, where
// an inaccessible page follows. AddressSanitizer sees the objects' ends as well. Not thread-safe.
class SharedMemory {
 public:
  SharedMemory();
  SharedMemory(const SharedMemory&) = delete;
  SharedMemory& operator=(const SharedMemory&) = delete;

  // Begins a block: no static objects, all bytes 0xff.
  void Begin(size_t dynamic_bytes);

  // The static object of that key; null: static and dynamic memory together would exceed `limit_bytes`, or
  // static memory 48 KiB.
  void* Static(const void* key, size_t bytes, size_t alignment, size_t limit_bytes);

  void* Dynamic() const { return dynamic_; }

  // Whether the bytes are in some block's shared memory.
  bool Holds(const void* address, size_t bytes) const;

  // Whether the address is in the inaccessible page behind dynamic memory.
  bool FollowedBy(const void* address) const { return address >= end_ && address < end_ + page_bytes_; }

 private:
  struct Object {
    const void* key;
    char* data;
  };

  static constexpr size_t kMaxObjects = 64;

  size_t page_bytes_;
  char* begin_;
  char* end_;  // of what is accessible
  char* dynamic_;
  size_t dynamic_bytes_ = 0;
  size_t placed_bytes_ = 0;  // of static objects with what lies between them
  size_t static_bytes_ = 0;
  size_t dirty_bytes_ = 0;  // of the start that former blocks used
  Object objects_[kMaxObjects];
  size_t object_count_ = 0;
};

}  // namespace hearth::cuda_emu::internal

#endif  // HEARTH_TESTS_CUDA_EMU_SHARED_MEMORY_H_
