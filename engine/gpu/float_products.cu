#include "engine/gpu/products.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

ProductLaunches FloatLaunches(GpuType type) {
  switch (type) {
    case GpuType::kF32:
      return LaunchesOf<GpuType::kF32>();
    case GpuType::kF16:
      return LaunchesOf<GpuType::kF16>();
    case GpuType::kBF16:
      return LaunchesOf<GpuType::kBF16>();
    default:
      return {};
  }
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
