#include "engine/gpu/tile_products.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

TileLaunches SmallBlockTileLaunches(GpuType type) {
  switch (type) {
    case GpuType::kQ4_0:
      return TileLaunchesOf<GpuType::kQ4_0>();
    case GpuType::kQ4_1:
      return TileLaunchesOf<GpuType::kQ4_1>();
    case GpuType::kQ5_0:
      return TileLaunchesOf<GpuType::kQ5_0>();
    case GpuType::kQ5_1:
      return TileLaunchesOf<GpuType::kQ5_1>();
    case GpuType::kQ8_0:
      return TileLaunchesOf<GpuType::kQ8_0>();
    case GpuType::kIQ4_NL:
      return TileLaunchesOf<GpuType::kIQ4_NL>();
    case GpuType::kMXFP4:
      return TileLaunchesOf<GpuType::kMXFP4>();
    default:
      return {};
  }
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
