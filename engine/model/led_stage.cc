#include "engine/model/led_stage.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"
#include "engine/weights/unit.h"
#include "engine/weights/weight_loader.h"

namespace hearth {
namespace {

// The led layers of a share.
absl::StatusOr<LayerRange> RangeOf(const HostShare& share) {
  const std::vector<uint32_t>& layers = share.shares().front().led_layers;
  if (layers.empty()) return absl::InvalidArgumentError("a stage without layers");
  for (size_t i = 1; i < layers.size(); ++i) {
    if (layers[i] != layers[i - 1] + 1) {
      return absl::InvalidArgumentError(
          absl::StrCat("a stage with layer ", layers[i], " right after layer ", layers[i - 1]));
    }
  }
  return LayerRange{layers.front(), layers.back() + 1};
}

// Whether the share has all units of the layer.
absl::Status CheckLayer(const HostShare& share, uint32_t layer) {
  std::set<uint32_t> heads, neurons;
  for (const DeviceShare& device : share.shares()) {
    heads.insert(device.head_groups[layer].begin(), device.head_groups[layer].end());
    neurons.insert(device.neuron_groups[layer].begin(), device.neuron_groups[layer].end());
  }
  const ModelOutline& outline = share.outline();
  if (heads.size() == outline.head_groups[layer].size() &&
      neurons.size() == outline.neuron_groups[layer].size()) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("a stage with layer ", layer, ", of which only a part is on this host"));
}

}  // namespace

LedStage::LedStage(HostShare& share, const LayerRange& layers)
    : share_(share),
      layers_(layers),
      devices_(share.devices()),
      stage_(share.outline(), weights_, share.options().max_rows, share.host().pool(0)) {
  weights_.layers.resize(share.outline().spec.n_layers);
}

absl::StatusOr<std::unique_ptr<LedStage>> LedStage::Load(HostShare& share, WeightSource& source,
                                                         ThreadPool& pool) {
  HEARTH_ASSIGN_OR_RETURN(const LayerRange layers, RangeOf(share));
  std::unique_ptr<LedStage> stage(new LedStage(share, layers));
  for (uint32_t layer = layers.first; layer < layers.last; ++layer) {
    HEARTH_RETURN_IF_ERROR(CheckLayer(share, layer));
    HEARTH_RETURN_IF_ERROR(stage->LoadLayer(layer, source, pool));
  }
  return stage;
}

absl::Status LedStage::LoadLayer(uint32_t layer, WeightSource& source, ThreadPool& pool) {
  TensorSet tensors;
  const ModelOutline& outline = share_.outline();
  const UnitId id{UnitKind::kLayer, layer, 0};
  HEARTH_ASSIGN_OR_RETURN(const UnitParts parts, outline.Parts(id));
  if (!parts.empty()) {
    HEARTH_ASSIGN_OR_RETURN(const UnitWeights unit, source.Unit(id));
    tensors = JoinUnits({&unit, 1});
  }
  tensors_.push_back(std::move(tensors));
  WeightLoader loader(tensors_.back(), outline.options.arithmetic, &pool);
  weights_.layers[layer] = LoadLayerWeights(outline.spec, layer, outline.predicted(), loader);
  return loader.Finish();
}

absl::Status LedStage::Run(uint64_t step, absl::Span<const RowPlace> rows, float* x) {
  return stage_.Run(step, rows, layers_, devices_, x);
}

}  // namespace hearth
