#include "engine/gpu/tile_products.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

TileLaunches SuperBlockTileLaunches(GpuType type) {
  switch (type) {
    case GpuType::kQ3_K:
      return TileLaunchesOf<GpuType::kQ3_K>();
    case GpuType::kQ4_K:
      return TileLaunchesOf<GpuType::kQ4_K>();
    case GpuType::kQ5_K:
      return TileLaunchesOf<GpuType::kQ5_K>();
    case GpuType::kQ6_K:
      return TileLaunchesOf<GpuType::kQ6_K>();
    case GpuType::kIQ4_XS:
      return TileLaunchesOf<GpuType::kIQ4_XS>();
    default:
      return {};
  }
}

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND
