#include "engine/device/weight_source.h"

#include <utility>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {

FileSource::FileSource(std::shared_ptr<const GgufFile> file, std::shared_ptr<const ModelOutline> outline)
    : file_(std::move(file)), outline_(std::move(outline)) {}

absl::StatusOr<GroupWeights> FileSource::NeuronsInPlace(uint32_t layer, uint32_t group) {
  HEARTH_CHECK(layer < outline_->neuron_groups.size() && group < outline_->neuron_groups[layer].size());
  return GroupWeights::FromFile(outline_->ffn_specs[layer], outline_->ffn_sources[layer],
                                outline_->neuron_groups[layer][group]);
}

absl::StatusOr<GroupWeights> FileSource::Neurons(uint32_t layer, uint32_t group) {
  HEARTH_ASSIGN_OR_RETURN(GroupWeights weights, NeuronsInPlace(layer, group));
  HEARTH_RETURN_IF_ERROR(weights.CheckRecords());
  return weights;
}

absl::StatusOr<UnitWeights> FileSource::Unit(const UnitId& unit) {
  HEARTH_ASSIGN_OR_RETURN(UnitParts parts, outline_->Parts(unit));
  return UnitFromFile(std::move(parts));
}

void FileSource::ReleaseLayer(uint32_t layer) {
  for (const FfnBlockSource& block : outline_->ffn_sources[layer].blocks) {
    for (const WeightSlice* slice : {&block.gate, &block.up, &block.down, &block.predictor}) {
      if (slice->tensor != nullptr) file_->Release(slice->tensor->data);
    }
    if (block.packed != nullptr) file_->Release(block.packed->records);
  }
  const absl::StatusOr<UnitParts> heads = outline_->Parts({UnitKind::kHeads, layer, 0});
  if (!heads.ok()) return;
  for (const TensorPart& part : *heads) file_->Release(part.tensor.data);
}

absl::StatusOr<std::vector<uint8_t>> FileSource::Bundle(const UnitId& unit) {
  HEARTH_CHECK(outline_->Has(unit));
  std::vector<uint8_t> bundle;
  if (unit.kind == UnitKind::kNeurons) {
    HEARTH_ASSIGN_OR_RETURN(GroupWeights weights, Neurons(unit.layer, unit.number));
    bundle = std::move(weights).Load().bytes;
  } else {
    HEARTH_ASSIGN_OR_RETURN(const UnitWeights weights, Unit(unit));
    bundle = ExtractBundle(weights.parts, weights.layout);
  }
  HEARTH_RETURN_IF_ERROR(CheckUnchanged());
  return bundle;
}

BundleWeights::BundleWeights(std::shared_ptr<const ModelOutline> outline, Reader read)
    : outline_(std::move(outline)), read_(std::move(read)) {}

absl::StatusOr<GroupWeights> BundleWeights::Neurons(uint32_t layer, uint32_t group) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<uint8_t> bundle, read_({UnitKind::kNeurons, layer, group}));
  return GroupWeights::FromBundle(outline_->ffn_specs[layer], outline_->neuron_groups[layer][group],
                                  std::move(bundle));
}

absl::StatusOr<UnitWeights> BundleWeights::Unit(const UnitId& unit) {
  HEARTH_ASSIGN_OR_RETURN(std::vector<uint8_t> bundle, read_(unit));
  HEARTH_ASSIGN_OR_RETURN(UnitParts parts, outline_->Parts(unit));
  return UnitFromBundle(std::move(parts), std::move(bundle));
}

}  // namespace hearth
