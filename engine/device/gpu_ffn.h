#ifndef HEARTH_ENGINE_DEVICE_GPU_FFN_H_
#define HEARTH_ENGINE_DEVICE_GPU_FFN_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/device/gpu_scratch.h"
#include "engine/device/gpu_weights.h"
#include "engine/device/local_device.h"
#include "engine/neuron/ffn_request.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/group_weights.h"
#include "engine/neuron/row_choices.h"

namespace hearth {

// Neuron groups of one layer on a GPU. Each group begins at a multiple of 32 neurons (filled up with neurons
// of zeros): a slice of 32 neurons is the unit of float32 sums, so that a sum does not depend on which groups
// lie together.
class GpuFfn : public UnitPiece {
 public:
  // OK where a GPU computes such a layer, else UNIMPLEMENTED.
  static absl::Status CanHold(const FfnLayerSpec& spec);
  static absl::StatusOr<std::shared_ptr<GpuFfn>> Load(const FfnLayerSpec& spec, SparsityMode mode,
                                                      std::vector<uint32_t> groups,
                                                      std::vector<GroupWeights> weights,
                                                      GpuUploader& uploader);

  void AddNeeds(GpuNeeds& needs) const;

  // Rows of the request as a GPU sees them: what chose each block. Made anew for each request.
  struct Rows {
    uint32_t count;  // of the request
    const RowChoices& choices;
    // On the GPU, for block b from offsets[b] on, in the order of its rows; null: all 1, and every row.
    const float* factors;
    const uint32_t* row_ids;
    const std::vector<uint32_t>& offsets;
    const std::vector<bool>& predicted;  // by row: has a prediction
  };
  struct Work {
    uint64_t neurons_computed = 0;
    uint64_t bytes_touched = 0;
  };
  // Queues the partial sums of the groups, which are added to scratch.sums, (rows, spec.output_values()).
  // scratch.x has the input and, where rows have predictions, scratch.hidden the predictor's first half.
  // `first`: scratch.sums has nothing yet; it was cleared unless Overwrites.
  void Run(const Rows& rows, bool exact, bool first, GpuScratch& scratch, gpu::Gpu& stream) const;
  // Whether Run as the first writes every sum of all rows.
  bool Overwrites(const Rows& rows) const;
  // What that is at most: how many neurons fire the GPU does not tell.
  Work WorkFor(const Rows& rows) const;

  uint64_t weight_bytes() const override { return weight_bytes_; }
  uint64_t neurons() const { return neurons_; }
  const FfnLayerSpec& spec() const { return spec_; }

 private:
  struct Block {
    uint32_t block = 0;
    uint32_t neurons = 0;  // with those that fill up
    uint32_t held = 0;     // without
    GpuLinear gate, up, down, predictor;
    GpuBuffer down_bias;
    uint64_t bytes() const {
      return gate.bytes() + up.bytes() + down.bytes() + predictor.bytes() + down_bias.bytes();
    }
  };

  // Rows of a block that are computed together.
  struct Pass {
    uint32_t count = 0;
    uint32_t offset = 0;    // of the first among all choices
    gpu::RowList in;        // their numbers in the request
    bool tiled = false;     // products of all rows at once; else by `tokens`
    gpu::TokenRows tokens;  // from rows of the request to rows 0, 1, ... of the buffers
    bool masked = false;    // the predictor names their neurons
  };

  const float* FactorsOf(const Rows& rows, uint32_t offset) const;
  GpuFfn(const FfnLayerSpec& spec, SparsityMode mode, std::vector<uint32_t> groups);
  absl::StatusOr<Block> LoadBlock(absl::Span<const GroupWeights> groups, GpuUploader& uploader) const;
  // The next rows of a block that are computed together, from `first` of its rows on.
  Pass PassFrom(const Block& block, absl::Span<const ChosenRow> rows, uint32_t first, const Rows& all,
                bool exact, const GpuScratch& scratch, const gpu::Gpu& stream) const;
  void RunPass(const Block& block, Pass pass, const Rows& all, bool exact, bool overwrite,
               GpuScratch& scratch, gpu::Gpu& stream) const;
  // A pass's products, to rows 0, 1, ... of the results.
  static void Multiply(absl::Span<const gpu::ProductOut> products, const gpu::GpuRows& x, const Pass& pass,
                       const gpu::RowMask& mask, bool exact, gpu::Gpu& stream);
  gpu::RowMask PredictedMask(const Block& block, const Pass& pass, const Rows& all, bool exact,
                             GpuScratch& scratch, gpu::Gpu& stream) const;
  void Activate(const Block& block, const Pass& pass, const Rows& all, bool exact, GpuScratch& scratch,
                gpu::Gpu& stream) const;
  gpu::GpuRows HiddenOf(const Block& block, bool exact, const GpuScratch& scratch) const;
  void SumNeurons(const Block& block, const Pass& pass, bool exact, bool overwrite, GpuScratch& scratch,
                  gpu::Gpu& stream) const;

  const FfnLayerSpec spec_;
  const SparsityMode mode_;
  std::vector<Block> blocks_;
  uint64_t weight_bytes_ = 0;
  uint64_t neurons_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_FFN_H_
