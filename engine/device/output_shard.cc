#include "engine/device/output_shard.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/vector_ops.h"

namespace hearth {

absl::StatusOr<std::unique_ptr<OutputShard>> OutputShard::Load(const ModelSpec& model,
                                                               absl::Span<const IndexRange> runs,
                                                               std::vector<uint32_t> held,
                                                               absl::Span<const UnitWeights> weights,
                                                               Arithmetic arithmetic, ThreadPool& pool) {
  HEARTH_CHECK(!held.empty() && held.size() == weights.size());
  std::unique_ptr<OutputShard> shard(new OutputShard());
  shard->segments_ = SegmentsOf(runs, held);
  const size_t rows = shard->segments_.back().first_row + shard->segments_.back().count;
  TensorSet tensors = JoinUnits(weights);
  WeightLoader loader(tensors, arithmetic, &pool);
  shard->rows_ = LoadOutputRows(model, rows, loader);
  HEARTH_RETURN_IF_ERROR(loader.Finish());
  if (loader.borrows()) shard->borrowed_ = std::move(tensors);
  shard->held_ = std::move(held);
  shard->weight_bytes_ = loader.bytes();
  return shard;
}

void OutputShard::Run(const float* x, size_t rows, Workspace& work, float* logits, size_t stride) {
  const size_t cols = rows_.weights.cols();
  const size_t held = rows_.weights.rows();
  const bool scattered = segments_.size() > 1;
  if (scattered) scratch_.resize(std::max(scratch_.size(), rows * held));
  const Product product = scattered ? Product{&rows_.weights, scratch_.data(), held}
                                    : Product{&rows_.weights, logits + segments_[0].first_token, stride};
  work.activations.Set(x, rows, cols, cols);
  MatMul(work.pool, work.activations, {&product, 1});
  work.bytes_touched += rows_.weights.bytes();
  for (size_t t = 0; t < rows; ++t) {
    float* values = product.out + t * product.out_stride;
    if (rows_.scale != 1) Scale(rows_.scale, held, values);
    if (!rows_.bias.empty()) Add(rows_.bias.data(), held, values);
    if (!scattered) continue;
    for (const RowSegment& segment : segments_) {
      std::copy_n(values + segment.first_row, segment.count, logits + t * stride + segment.first_token);
    }
  }
}

}  // namespace hearth
