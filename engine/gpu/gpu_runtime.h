#ifndef HEARTH_ENGINE_GPU_GPU_RUNTIME_H_
#define HEARTH_ENGINE_GPU_GPU_RUNTIME_H_

#include <cstdint>
#include <memory>
#include <string>

#include "engine/gpu/gpu_args.h"

namespace hearth::gpu {

// What a GPU says of itself.
struct GpuInfo {
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  uint32_t multiprocessors = 0;
  uint64_t memory_bytes = 0;
  uint64_t free_bytes = 0;  // now
};

// A stream of work on one GPU. Everything but Allocate is queued, runs in the order of the calls, and may be
// given pointers whose contents are made by what was queued before. What fails leaves error() set; from then
// on nothing is queued. Used by one thread at a time; several streams of a GPU share its memory.
class Gpu {
 public:
  virtual ~Gpu() = default;

  virtual GpuInfo info() const = 0;
  // Of the GPU, at a multiple of 256 bytes, or of the host, in pages that stay where they are; null without
  // memory.
  virtual void* Allocate(uint64_t bytes) = 0;
  virtual void Free(void* memory) = 0;
  virtual void* AllocateHost(uint64_t bytes) = 0;
  virtual void FreeHost(void* memory) = 0;

  virtual void CopyIn(void* to, const void* from, uint64_t bytes) = 0;   // from the host
  virtual void CopyOut(void* to, const void* from, uint64_t bytes) = 0;  // to the host
  virtual void CopyWithin(void* to, const void* from, uint64_t bytes) = 0;
  virtual void Clear(void* memory, uint64_t bytes) = 0;  // all bytes 0

  // Marks the end of what was queued so far, and waits until the GPU has come to the mark. kMarks marks, in
  // turn.
  static constexpr uint32_t kMarks = 8;
  virtual void Mark(uint32_t mark) = 0;
  virtual void WaitFor(uint32_t mark) = 0;
  // Waits for everything.
  virtual void Finish() = 0;

  // Between Record and EndRecord calls are kept in place of being queued; Replay queues them again, with the
  // same arguments, at the cost of one call. EndRecord gives null, and error() is set, where that fails. The
  // recording belongs to this stream and goes before it.
  class Recording {
   public:
    virtual ~Recording() = default;
  };
  virtual void Record() = 0;
  virtual std::unique_ptr<Recording> EndRecord() = 0;
  virtual void Replay(const Recording& recording) = 0;

  // What the kernels compute stands with their arguments. `exact`: dequantised weights times float32 values.
  virtual void MatVec(const MatVecArgs& args, bool exact) = 0;
  virtual void FixedMatVec(const FixedMatVecArgs& args, bool exact) = 0;
  // Whether the next two take such a matrix.
  virtual bool HasTiles(GpuType type, uint32_t cols) const = 0;
  virtual void TileProducts(const TileProductArgs& args) = 0;
  virtual void FixedTileProducts(const FixedTileArgs& args) = 0;
  virtual void NeuronSum(const NeuronSumArgs& args) = 0;
  virtual void Round(const RoundArgs& args) = 0;
  virtual void Activate(const ActivateArgs& args) = 0;
  virtual void Gather(const GatherArgs& args) = 0;
  virtual void AddBias(const AddBiasArgs& args) = 0;
  virtual void Residual(const ResidualArgs& args) = 0;
  virtual void HeadProducts(const HeadProductArgs& args) = 0;
  virtual void FinishHeads(const FinishHeadsArgs& args) = 0;
  virtual void Attention(const AttentionArgs& args) = 0;
  // Whether PromptAttention takes such heads.
  virtual bool HasPromptAttention(GpuKv type, uint32_t key_dim, uint32_t value_dim) const = 0;
  // Attention with tiles of up to kPromptTileRows rows, in half precision with float32 sums: for rows of
  // prompts. Reads neither chunks nor partial.
  virtual void PromptAttention(const AttentionArgs& args) = 0;
  virtual void Peak(const PeakArgs& args) = 0;

  // The first error, in words; empty: there was none.
  virtual const std::string& error() const = 0;
};

// Which GPUs: real ones, or emulated ones that run the same kernels on CPUs, for tests and demonstrations.
enum class GpuKind { kCuda, kEmulated };

// How many there are; 0 with the reason in *why ("built without CUDA", "no driver").
int CountGpus(GpuKind kind, std::string* why);
// Null with the reason in *why.
std::unique_ptr<Gpu> OpenGpu(GpuKind kind, int number, std::string* why);

// The two kinds, where the build has them.
namespace cuda {
int CountGpus(std::string* why);
std::unique_ptr<Gpu> OpenGpu(int number, std::string* why);
}  // namespace cuda
namespace emulated {
int CountGpus(std::string* why);
std::unique_ptr<Gpu> OpenGpu(int number, std::string* why);
}  // namespace emulated

}  // namespace hearth::gpu

#endif  // HEARTH_ENGINE_GPU_GPU_RUNTIME_H_
