#include "engine/gpu/products.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

ProductLaunches SmallBlockLaunches(GpuType type) {
  switch (type) {
    case GpuType::kQ4_0:
      return LaunchesOf<GpuType::kQ4_0>();
    case GpuType::kQ4_1:
      return LaunchesOf<GpuType::kQ4_1>();
    case GpuType::kQ5_0:
      return LaunchesOf<GpuType::kQ5_0>();
    case GpuType::kQ5_1:
      return LaunchesOf<GpuType::kQ5_1>();
    case GpuType::kQ8_0:
      return LaunchesOf<GpuType::kQ8_0>();
    case GpuType::kIQ4_NL:
      return LaunchesOf<GpuType::kIQ4_NL>();
    case GpuType::kMXFP4:
      return LaunchesOf<GpuType::kMXFP4>();
    default:
      return {};
  }
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
