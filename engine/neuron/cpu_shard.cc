#include "engine/neuron/cpu_shard.h"

#include <utility>

#include "absl/status/status.h"
#include "engine/kernel/turned_rows.h"

namespace hearth {

SparsityMode LayerSparsity(const FfnLayerSpec& spec, SparsityMode mode) {
  if (spec.normalize_hidden) return SparsityMode::kDense;  // needs all of h
  if (spec.has_adapter()) return SparsityMode::kDense;
  if (mode == SparsityMode::kPredicted && spec.predictor_rank > 0) return mode;
  return mode != SparsityMode::kDense && spec.is_relu_family() ? SparsityMode::kExact : SparsityMode::kDense;
}

bool ReadsAllOf(const FfnLayerSpec& spec, uint32_t block, BundlePart part, SparsityMode mode) {
  const SparsityMode layer_mode = LayerSparsity(spec, mode);
  if (layer_mode == SparsityMode::kDense) return true;
  const bool predicted = layer_mode == SparsityMode::kPredicted;
  switch (part) {
    case BundlePart::kGate:
    case BundlePart::kGateBias:
      return !predicted;
    case BundlePart::kUp:
    case BundlePart::kUpBias:
      return !predicted && !spec.gate.present;
    case BundlePart::kDown:
      return !spec.neuron_major && !TurnedRows::Has(spec.down_type(block), spec.n_embd);
    case BundlePart::kPredictor:
    case BundlePart::kDownBias:
    case BundlePart::kNeuronScale:
    case BundlePart::kGateAdapter:
    case BundlePart::kUpAdapter:
    case BundlePart::kDownAdapter:
      return true;
  }
  return true;
}

absl::StatusOr<std::unique_ptr<CpuShard>> MakeCpuShard(const FfnLayerSpec& spec,
                                                       std::vector<GroupWeights> groups, SparsityMode mode,
                                                       ThreadPool& pool, Arithmetic arithmetic) {
  if (groups.empty()) return absl::InvalidArgumentError("a shard of a layer needs at least one neuron group");
  if (spec.neuron_major && spec.normalize_hidden) {
    return absl::InvalidArgumentError("a layer stored by neuron cannot have its hidden values normalised");
  }
  const SparsityMode layer_mode = LayerSparsity(spec, mode);
  if (spec.neuron_major || layer_mode != SparsityMode::kDense) {
    return MakeSparseShard(spec, std::move(groups), layer_mode, pool, arithmetic);
  }
  return MakeDenseShard(spec, std::move(groups), pool, arithmetic);
}

}  // namespace hearth
