#ifndef HEARTH_ENGINE_GPU_ELEMENTWISE_H_
#define HEARTH_ENGINE_GPU_ELEMENTWISE_H_

#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_args.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

// The launches of elementwise.cu; what each computes stands with its arguments.
cudaError_t LaunchRound(const RoundArgs& args, cudaStream_t stream);
cudaError_t LaunchActivate(const ActivateArgs& args, cudaStream_t stream);
cudaError_t LaunchGather(const GatherArgs& args, cudaStream_t stream);
cudaError_t LaunchResidual(const ResidualArgs& args, cudaStream_t stream);
cudaError_t LaunchAddBias(const AddBiasArgs& args, cudaStream_t stream);
// That of peak.cu.
cudaError_t LaunchPeak(const PeakArgs& args, cudaStream_t stream);

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND

#endif  // HEARTH_ENGINE_GPU_ELEMENTWISE_H_
