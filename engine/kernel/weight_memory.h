#ifndef HEARTH_ENGINE_KERNEL_WEIGHT_MEMORY_H_
#define HEARTH_ENGINE_KERNEL_WEIGHT_MEMORY_H_

#include <cstddef>
#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"

namespace hearth {

// Zeroed memory for packed weights, aligned to pages. Pieces lie one after another in large regions, in huge
// pages where the system has them: prefetchers stop at every page, so weights in small pages, and be it only
// the end of each matrix, are read at a lower bandwidth. A piece's pages go back to the system with it (those
// of a huge page that it shares with others when memory runs short), and the next piece that fits takes its
// place. Movable.
class WeightMemory {
 public:
  // RESOURCE_EXHAUSTED when the system has no such memory. Thread-safe.
  static absl::StatusOr<WeightMemory> Allocate(size_t bytes);

  WeightMemory() = default;
  WeightMemory(WeightMemory&& other) noexcept;
  WeightMemory& operator=(WeightMemory&& other) noexcept;
  ~WeightMemory();

  // The region's bytes.
  uint8_t* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  class Region;
  struct Regions;

  std::shared_ptr<Region> region_;
  uint8_t* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_KERNEL_WEIGHT_MEMORY_H_
