#ifndef HEARTH_ENGINE_DEVICE_GPU_EXCHANGE_H_
#define HEARTH_ENGINE_DEVICE_GPU_EXCHANGE_H_

#include <cstdint>
#include <memory>

#include "engine/device/gpu_scratch.h"
#include "engine/gpu/gpu_runtime.h"

namespace hearth {

// Memory of the host that stays where it is; grows.
class PinnedMemory {
 public:
  explicit PinnedMemory(gpu::Gpu* stream) : stream_(stream) {}
  ~PinnedMemory();
  PinnedMemory(PinnedMemory&& other) noexcept;
  // Null without memory.
  uint8_t* Reserve(uint64_t bytes);
  uint8_t* data() const { return data_; }
  void SetStream(gpu::Gpu* stream) { stream_ = stream; }

 private:
  gpu::Gpu* stream_;
  uint8_t* data_ = nullptr;
  uint64_t bytes_ = 0;
};
// The input of a request: parts one after another, as they are in pinned memory and, after one copy, in the
// GPU's.
class GpuInput {
 public:
  GpuInput(uint8_t* host, uint8_t* device, uint64_t bytes) : host_(host), device_(device), bytes_(bytes) {}

  template <class T>
  struct Part {
    T* host;
    T* device;
  };
  template <class T>
  Part<T> Take(uint64_t count) {
    const Part<T> part = {reinterpret_cast<T*>(host_ + used_), reinterpret_cast<T*>(device_ + used_)};
    Use(count * sizeof(T));
    return part;
  }
  // Rows of `cols` values, filled up with zeros. Returns where the first is.
  float* TakeRows(const float* from, uint32_t rows, uint32_t cols, GpuActivations& to);
  void CopyIn(gpu::Gpu& stream) const { stream.CopyIn(device_, host_, used_); }

 private:
  void Use(uint64_t bytes);  // CHECK: they are left

  uint8_t* host_;
  uint8_t* device_;
  uint64_t bytes_;
  uint64_t used_ = 0;
};
// What goes to the GPU and comes back for one request.
struct GpuExchange {
  explicit GpuExchange(gpu::Gpu* stream) : input(stream), results(stream) {}
  void SetStream(gpu::Gpu* stream) { input.SetStream(stream), results.SetStream(stream); }
  PinnedMemory input;
  PinnedMemory results;
  bool busy = false;
};

// A single row of a layer's work, which is the same work for every token, as long as `key` is.
struct RecordedWork {
  uint64_t key = 0;
  const void* input = nullptr;
  const void* results = nullptr;
  std::unique_ptr<gpu::Gpu::Recording> recording;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_EXCHANGE_H_
