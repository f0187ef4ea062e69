#ifndef HEARTH_ENGINE_DEVICE_OUTPUT_SHARD_H_
#define HEARTH_ENGINE_DEVICE_OUTPUT_SHARD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/outline/output_rows.h"
#include "engine/spec/spec.h"
#include "engine/weights/unit.h"
#include "engine/weights/workspace.h"

namespace hearth {

// What a CPU holds of the output head: some runs of its rows. Used by one thread at a time.
class OutputShard {
 public:
  // `held`: rising numbers of the model's `runs`, with their weights, one unit each, in this order. `pool` is
  // for loading. INVALID_ARGUMENT when weights do not fit the model, RESOURCE_EXHAUSTED without memory.
  static absl::StatusOr<std::unique_ptr<OutputShard>> Load(const ModelSpec& model,
                                                           absl::Span<const IndexRange> runs,
                                                           std::vector<uint32_t> held,
                                                           absl::Span<const UnitWeights> weights,
                                                           Arithmetic arithmetic, ThreadPool& pool);

  // Writes the held rows' logits: for row t of x, (rows, n_embd), at logits + t * stride.
  void Run(const float* x, size_t rows, Workspace& work, float* logits, size_t stride);

  // Which runs it holds, and the bytes that they take.
  const std::vector<uint32_t>& held() const { return held_; }
  uint64_t weight_bytes() const { return weight_bytes_; }

 private:
  OutputShard() = default;

  std::vector<uint32_t> held_;
  std::vector<RowSegment> segments_;
  std::optional<TensorSet> borrowed_;  // what the matrix reads of the tensors' own bytes
  Linear rows_;
  uint64_t weight_bytes_ = 0;
  std::vector<float> scratch_;  // (rows, held rows) where they are not all neighbours
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_OUTPUT_SHARD_H_
