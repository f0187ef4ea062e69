#ifndef HEARTH_ENGINE_KERNEL_SCRATCH_H_
#define HEARTH_ENGINE_KERNEL_SCRATCH_H_

#include <cstddef>

#include "hwy/aligned_allocator.h"

namespace hearth {

inline constexpr size_t kCacheLine = 64;  // bytes

// An array that only grows, and keeps nothing when it does; aligned to cache lines.
template <class T>
class Scratch {
 public:
  // Room for `count` values; what was there may be lost.
  T* Reserve(size_t count) {
    if (count > capacity_) {
      data_ = hwy::AllocateAligned<T>(count);
      capacity_ = count;
    }
    return data_.get();
  }
  // What Reserve has given.
  T* data() const { return data_.get(); }

 private:
  hwy::AlignedFreeUniquePtr<T[]> data_;
  size_t capacity_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_SCRATCH_H_
