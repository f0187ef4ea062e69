#include "engine/gpu/products.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

ProductLaunches SuperBlockLaunches(GpuType type) {
  switch (type) {
    case GpuType::kQ3_K:
      return LaunchesOf<GpuType::kQ3_K>();
    case GpuType::kQ4_K:
      return LaunchesOf<GpuType::kQ4_K>();
    case GpuType::kQ5_K:
      return LaunchesOf<GpuType::kQ5_K>();
    case GpuType::kQ6_K:
      return LaunchesOf<GpuType::kQ6_K>();
    case GpuType::kIQ4_XS:
      return LaunchesOf<GpuType::kIQ4_XS>();
    default:
      return {};
  }
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
