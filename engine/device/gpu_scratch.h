#ifndef HEARTH_ENGINE_DEVICE_GPU_SCRATCH_H_
#define HEARTH_ENGINE_DEVICE_GPU_SCRATCH_H_

#include <cstdint>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/gpu_memory.h"
#include "engine/gpu/gpu_args.h"
#include "engine/gpu/gpu_runtime.h"

namespace hearth {

// Rows of activations in a GPU's memory: float32 and, made when first needed, their 8-bit forms, so that
// several products with the same rows convert them once (as Activations, engine/kernel/matrix.h).
class GpuActivations {
 public:
  GpuActivations() = default;
  // RESOURCE_EXHAUSTED without memory. cols is filled up to whole units.
  static absl::StatusOr<GpuActivations> Create(GpuMemory& memory, uint32_t rows, uint32_t cols);
  // The same without memory for the values, which SetValues names.
  static absl::StatusOr<GpuActivations> CreateCodes(GpuMemory& memory, uint32_t rows, uint32_t cols);

  // What Create takes, but for the ends of pages.
  static uint64_t Bytes(uint32_t rows, uint32_t cols);

  // (rows, cols()): after writing them Reset forgets the 8-bit forms.
  float* values() const { return values_; }
  void SetValues(float* values) {
    values_ = values;
    Reset();
  }
  uint32_t cols() const { return cols_; }
  void Reset() { small_made_ = large_made_ = false; }
  // What products with weights of `type` read of the first `rows` rows: rounds them where it has to.
  gpu::GpuRows For(gpu::GpuType type, bool exact, uint32_t rows, gpu::Gpu& stream);
  // The buffers for that, for a kernel that writes values and rounds them itself.
  gpu::GpuRows RoundedBy(gpu::GpuType type, bool exact) const;

 private:
  struct Codes {
    GpuBuffer codes, scales, half_sums;
  };
  static absl::StatusOr<Codes> MakeCodes(GpuMemory& memory, uint64_t rows, uint32_t cols);

  uint32_t cols_ = 0;
  float* values_ = nullptr;
  GpuBuffer memory_;
  Codes small_, large_;  // scales of 32 and of 256 columns
  bool small_made_ = false, large_made_ = false;
};

// What a GPU's pieces need for computing, each as large as the largest of them wants it. Counted while pieces
// are added, then allocated once.
struct GpuNeeds {
  uint32_t max_rows = 0;
  uint32_t n_embd = 0;
  uint32_t output_values = 0;  // of a row's sums
  uint32_t neurons = 0;        // of a block of a piece
  uint32_t predictor_rank = 0;
  uint32_t query = 0, key = 0, value = 0, results = 0;  // values of a row
  uint32_t projected = 0, query_rank = 0;               // of latent attention
  uint64_t partial_floats = 0;                          // AttentionArgs::partial
  uint32_t rope_values = 0;                             // of a row, all ropes
  uint32_t output_rows = 0;                             // of an output piece
  uint32_t blocks_per_row = 1;                          // choices
  bool leads = false;                                   // runs whole layers

  // Rows of a request that a feed-forward block takes at once.
  uint32_t pass_rows() const;
  // What a request of so many rows brings at most.
  uint64_t InputBytes(uint64_t rows) const;
};

struct GpuScratch {
  uint32_t pass_rows = 0;       // GpuNeeds::pass_rows
  GpuBuffer input;              // a request's input as it comes from the host, GpuInput
  GpuActivations x;             // (max_rows): the rows in it, or `normed`
  GpuActivations residual;      // (max_rows): in `input`; of whole layers, as the next two
  GpuBuffer normed;             // (max_rows, x.cols())
  GpuBuffer predicted;          // (max_rows, hidden.cols()): what the first half of the predictor gives
  GpuActivations scaled_x;      // (kMaxTokens): rows times their block's weight
  GpuActivations hidden;        // (max_rows, rank): first half of the predictor, in `input` too
  GpuActivations h;             // (pass_rows, neurons)
  GpuActivations attended;      // (max_rows, results)
  GpuBuffer scores;             // (kMaxTokens, neurons)
  GpuBuffer gate, up;           // (pass_rows, neurons)
  GpuBuffer query, key, value;  // (max_rows, ...)
  GpuBuffer projected;          // (max_rows, projected): queries, then attended latents
  GpuBuffer compressed_raw;     // (max_rows, compressed.cols()), before the norm
  GpuActivations compressed;    // (max_rows, query_rank)
  GpuBuffer partial;
  GpuBuffer sums;    // (max_rows, output_values) int64
  GpuBuffer logits;  // (kMaxTokens, output_rows)

  // RESOURCE_EXHAUSTED without memory.
  static absl::StatusOr<GpuScratch> Create(GpuMemory& memory, const GpuNeeds& needs);
  // What Create takes, but for the ends of pages.
  static uint64_t Bytes(const GpuNeeds& needs);
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_SCRATCH_H_
