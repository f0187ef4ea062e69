#ifndef HEARTH_ENGINE_DEVICE_GPU_MEMORY_H_
#define HEARTH_ENGINE_DEVICE_GPU_MEMORY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/mutex.h"
#include "engine/gpu/gpu_runtime.h"

namespace hearth {

class GpuMemory;

// Memory of a GPU, given back when it goes. Movable.
class GpuBuffer {
 public:
  GpuBuffer() = default;
  GpuBuffer(GpuBuffer&& other) noexcept { Swap(other); }
  GpuBuffer& operator=(GpuBuffer&& other) noexcept {
    GpuBuffer gone(std::move(other));
    Swap(gone);
    return *this;
  }
  ~GpuBuffer();

  template <class T>
  T* as() const {
    return static_cast<T*>(data_);
  }
  uint64_t bytes() const { return bytes_; }

 private:
  friend class GpuMemory;
  void Swap(GpuBuffer& other) {
    std::swap(memory_, other.memory_);
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
  }

  std::shared_ptr<GpuMemory> memory_;
  void* data_ = nullptr;
  uint64_t bytes_ = 0;
};

// A GPU of this host with the memory that its owner offers of it: all plans' weights, caches and workspaces
// come out of one budget. Thread-safe.
class GpuMemory : public std::enable_shared_from_this<GpuMemory> {
 public:
  // UNAVAILABLE when there is no such GPU, with the reason; RESOURCE_EXHAUSTED when less of its memory is
  // free than the budget asks for.
  static absl::StatusOr<std::shared_ptr<GpuMemory>> Open(gpu::GpuKind kind, int number,
                                                         uint64_t budget_bytes);

  const gpu::GpuInfo& info() const { return info_; }
  gpu::GpuKind kind() const { return kind_; }
  uint64_t budget_bytes() const { return budget_bytes_; }
  uint64_t used_bytes() const;

  // RESOURCE_EXHAUSTED, with the numbers, when the budget or the GPU has not as much left. Bytes are counted
  // in whole pages of kPageBytes.
  absl::StatusOr<GpuBuffer> Allocate(uint64_t bytes);
  static constexpr uint64_t kPageBytes = 256;
  // Another stream of work on the GPU. UNAVAILABLE when it cannot be made.
  absl::StatusOr<std::unique_ptr<gpu::Gpu>> OpenStream() const;

 private:
  friend class GpuBuffer;
  GpuMemory(gpu::GpuKind kind, int number, uint64_t budget_bytes, std::unique_ptr<gpu::Gpu> gpu);
  void Free(void* data, uint64_t bytes);

  const gpu::GpuKind kind_;
  const int number_;
  const uint64_t budget_bytes_;
  const gpu::GpuInfo info_;
  mutable Mutex mutex_;
  const std::unique_ptr<gpu::Gpu> gpu_ ABSL_PT_GUARDED_BY(mutex_);
  uint64_t used_bytes_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_MEMORY_H_
