#include "engine/gpu/gpu_runtime.h"

namespace hearth::gpu {

int CountGpus(GpuKind kind, std::string* why) {
  switch (kind) {
    case GpuKind::kCuda:
#ifdef HEARTH_HAS_CUDA
      return cuda::CountGpus(why);
#else
      *why = "this version was built without CUDA";
      return 0;
#endif
    case GpuKind::kEmulated:
#ifdef HEARTH_HAS_EMULATED_GPU
      return emulated::CountGpus(why);
#else
      *why = "this version was built without the emulator of GPUs";
      return 0;
#endif
  }
  return 0;
}

std::unique_ptr<Gpu> OpenGpu(GpuKind kind, int number, std::string* why) {
  if (CountGpus(kind, why) == 0) return nullptr;
#ifdef HEARTH_HAS_CUDA
  if (kind == GpuKind::kCuda) return cuda::OpenGpu(number, why);
#endif
#ifdef HEARTH_HAS_EMULATED_GPU
  if (kind == GpuKind::kEmulated) return emulated::OpenGpu(number, why);
#endif
  return nullptr;
}

}  // namespace hearth::gpu
