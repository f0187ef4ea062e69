#include "engine/device/weight_source.h"

#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {

FileSource::FileSource(std::shared_ptr<const GgufFile> file, std::shared_ptr<const ModelOutline> outline)
    : file_(std::move(file)), outline_(std::move(outline)) {}

absl::StatusOr<GroupWeights> FileSource::Neurons(uint32_t layer, uint32_t group) {
  HEARTH_CHECK(layer < outline_->neuron_groups.size() && group < outline_->neuron_groups[layer].size());
  return GroupWeights::FromFile(outline_->ffn_specs[layer], outline_->ffn_sources[layer],
                                outline_->neuron_groups[layer][group]);
}

absl::StatusOr<UnitWeights> FileSource::Heads(uint32_t layer, uint32_t group) {
  HEARTH_CHECK(layer < outline_->head_groups.size() && group < outline_->head_groups[layer].size());
  HEARTH_ASSIGN_OR_RETURN(UnitParts parts, outline_->HeadParts(layer, group));
  return UnitFromFile(std::move(parts));
}

absl::StatusOr<UnitWeights> FileSource::Output(uint32_t run) {
  HEARTH_CHECK(run < outline_->output_runs.size());
  return UnitFromFile(outline_->OutputParts(run));
}

void FileSource::ReleaseLayer(uint32_t layer) {
  for (const FfnBlockSource& block : outline_->ffn_sources[layer].blocks) {
    for (const WeightSlice* slice : {&block.gate, &block.up, &block.down, &block.predictor}) {
      if (slice->tensor != nullptr) file_->Release(slice->tensor->data);
    }
  }
  const absl::StatusOr<UnitParts> heads = outline_->HeadParts(layer, 0);
  if (!heads.ok()) return;
  for (const TensorPart& part : *heads) file_->Release(part.tensor.data);
}

}  // namespace hearth
