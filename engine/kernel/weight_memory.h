#ifndef HEARTH_ENGINE_KERNEL_WEIGHT_MEMORY_H_
#define HEARTH_ENGINE_KERNEL_WEIGHT_MEMORY_H_

#include <cstddef>
#include <cstdint>

#include "absl/status/statusor.h"

namespace hearth {

// Zeroed memory for packed weights, aligned to cache lines. Large pieces come in huge pages where the system
// has them: reading gigabytes per token through 4 KiB pages costs bandwidth. Movable.
class WeightMemory {
 public:
  // RESOURCE_EXHAUSTED when the system has no such memory.
  static absl::StatusOr<WeightMemory> Allocate(size_t bytes);

  WeightMemory() = default;
  WeightMemory(WeightMemory&& other) noexcept;
  WeightMemory& operator=(WeightMemory&& other) noexcept;
  ~WeightMemory();

  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  WeightMemory(uint8_t* data, size_t size) : data_(data), size_(size) {}

  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_WEIGHT_MEMORY_H_
