#ifndef HEARTH_ENGINE_GPU_KV_VALUES_H_
#define HEARTH_ENGINE_GPU_KV_VALUES_H_

// Device code: cached keys and values, and which of them a row sees.

#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_args.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

inline constexpr uint32_t kBlockValues = 32;  // of Q8_0
inline constexpr uint32_t kBlockBytes = 34;
inline constexpr float kLargestHalf = 65504.0f;

// What a cache of less than float32 keeps of a value.
__device__ __forceinline__ float Storable(float value) {
  if (value != value) return 0;
  return fminf(fmaxf(value, -kLargestHalf), kLargestHalf);
}

__device__ __forceinline__ uint32_t TwoHalves(float low, float high) {
  return FloatToHalf(Storable(low)) | static_cast<uint32_t>(FloatToHalf(Storable(high))) << 16;
}

// Four neighbours of a cached vector, from value d on (a multiple of 4).
template <GpuKv kKv>
__device__ __forceinline__ float4 LoadCached(const uint8_t* vector, uint32_t d) {
  if (kKv == GpuKv::kF32) return *reinterpret_cast<const float4*>(vector + d * 4);
  if (kKv == GpuKv::kF16) {
    const uint2 raw = *reinterpret_cast<const uint2*>(vector + d * 2);
    return make_float4(
        HalfToFloat(static_cast<uint16_t>(raw.x & 0xffffu)), HalfToFloat(static_cast<uint16_t>(raw.x >> 16)),
        HalfToFloat(static_cast<uint16_t>(raw.y & 0xffffu)), HalfToFloat(static_cast<uint16_t>(raw.y >> 16)));
  }
  const uint16_t* block = reinterpret_cast<const uint16_t*>(vector + d / kBlockValues * kBlockBytes);
  const float scale = HalfToFloat(block[0]);
  const uint16_t low = block[1 + d % kBlockValues / 2], high = block[2 + d % kBlockValues / 2];
  return make_float4(scale * static_cast<int8_t>(low & 0xff), scale * static_cast<int8_t>(low >> 8),
                     scale * static_cast<int8_t>(high & 0xff), scale * static_cast<int8_t>(high >> 8));
}

// Eight neighbours as halves, from value d on (a multiple of 8); not of a float32 cache.
template <GpuKv kKv>
__device__ __forceinline__ uint4 LoadEightHalves(const uint8_t* vector, uint32_t d) {
  if (kKv == GpuKv::kF16) return *reinterpret_cast<const uint4*>(vector + d * 2);
  const float4 low = LoadCached<kKv>(vector, d), high = LoadCached<kKv>(vector, d + 4);
  return make_uint4(TwoHalves(low.x, low.y), TwoHalves(low.z, low.w), TwoHalves(high.x, high.y),
                    TwoHalves(high.z, high.w));
}

__device__ __forceinline__ uint32_t FirstVisible(const AttentionArgs& args, uint32_t position) {
  if (args.window_kind == AttentionArgs::Window::kSliding) {
    return position < args.window ? 0 : position - args.window + 1;
  }
  if (args.window_kind == AttentionArgs::Window::kChunked) return position / args.window * args.window;
  return 0;
}

inline constexpr float kNothing = -3.402823466e38f;  // below every score: nothing was seen

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND

#endif  // HEARTH_ENGINE_GPU_KV_VALUES_H_
