#ifndef HEARTH_ENGINE_GPU_ATTENTION_H_
#define HEARTH_ENGINE_GPU_ATTENTION_H_

#include "engine/gpu/gpu.h"
#include "engine/gpu/gpu_args.h"

namespace hearth::gpu::HEARTH_GPU_BACKEND {

// The launches of attention.cu, prompt_attention.cu and head_products.cu; what each computes stands with its
// arguments.
cudaError_t LaunchFinishHeads(const FinishHeadsArgs& args, cudaStream_t stream);
cudaError_t LaunchAttention(const AttentionArgs& args, cudaStream_t stream);
cudaError_t LaunchPromptAttention(const AttentionArgs& args, cudaStream_t stream);
cudaError_t LaunchHeadProducts(const HeadProductArgs& args, cudaStream_t stream);

}  // namespace hearth::gpu::HEARTH_GPU_BACKEND

#endif  // HEARTH_ENGINE_GPU_ATTENTION_H_
