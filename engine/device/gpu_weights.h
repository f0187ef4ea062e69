#ifndef HEARTH_ENGINE_DEVICE_GPU_WEIGHTS_H_
#define HEARTH_ENGINE_DEVICE_GPU_WEIGHTS_H_

#include <cstdint>
#include <memory>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/device/gpu_memory.h"
#include "engine/gpu/gpu_matrix.h"
#include "engine/kernel/matrix.h"
#include "engine/quant/types.h"
#include "engine/weights/parameters.h"

namespace hearth {

// How a GPU holds a file's type. Types without kernels of their own become F16, which rounds them, or F32 for
// exact arithmetic.
gpu::GpuType GpuTypeOf(TensorType type, Arithmetic arithmetic);

// A matrix, and its bias and scale where it has them, in a GPU's memory.
struct GpuLinear {
  gpu::GpuMatrix matrix;
  GpuBuffer memory;
  GpuBuffer bias;  // float32 (rows), or empty
  float scale = 1;

  bool empty() const { return matrix.rows == 0; }
  uint64_t bytes() const { return memory.bytes() + bias.bytes(); }
  const float* bias_values() const { return bias.as<const float>(); }
};

// Brings weights into a GPU's memory. Used by one thread.
class GpuUploader {
 public:
  // `pool` packs. Both outlive this. UNAVAILABLE without a stream.
  static absl::StatusOr<std::unique_ptr<GpuUploader>> Create(GpuMemory& memory, ThreadPool& pool,
                                                             Arithmetic arithmetic);

  // The rows that `read` gives, as the file has them; see Matrix::PackRows. RESOURCE_EXHAUSTED without
  // memory.
  absl::StatusOr<GpuLinear> Rows(TensorType type, size_t rows, size_t cols, Matrix::RowReader read);
  // A matrix that borrows the file's rows (Matrix::Borrow), with bias and scale.
  absl::StatusOr<GpuLinear> Upload(const Linear& linear);
  absl::StatusOr<GpuLinear> Upload(const Matrix& matrix);
  // Empty for no values.
  absl::StatusOr<GpuBuffer> Upload(absl::Span<const float> values);

 private:
  GpuUploader(GpuMemory& memory, ThreadPool& pool, Arithmetic arithmetic, std::unique_ptr<gpu::Gpu> stream)
      : memory_(memory), pool_(pool), arithmetic_(arithmetic), stream_(std::move(stream)) {}
  // Waits until everything is there.
  absl::Status Finish();

  GpuMemory& memory_;
  ThreadPool& pool_;
  const Arithmetic arithmetic_;
  const std::unique_ptr<gpu::Gpu> stream_;
  std::vector<uint8_t> raw_, padded_, codes_, high_, scales_, super_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_WEIGHTS_H_
