#include "engine/outline/default_sparsity.h"

#include <algorithm>
#include <optional>

#include "absl/strings/str_format.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/outline/ffn_layers.h"

namespace hearth {
namespace {

bool AdaptsEveryFfn(const ModelSpec& spec) {
  return std::all_of(spec.layers.begin(), spec.layers.end(),
                     [](const LayerSpec& layer) { return !layer.ffn.present || layer.adapter.of_ffn(); });
}

// Whether weights of a layer's neurons that are silent are not read.
bool SkipsWeights(const FfnLayerSpec& layer) {
  const auto skips = [&](uint32_t block) {
    return (layer.gate.present && !ReadsAllOf(layer, block, BundlePart::kUp, SparsityMode::kExact)) ||
           !ReadsAllOf(layer, block, BundlePart::kDown, SparsityMode::kExact);
  };
  for (uint32_t block = 0; block < layer.block_neurons.size(); ++block) {
    if (skips(block)) return true;
  }
  return false;
}

// The share of neurons that fire for a token, of the layers of which a profile has measured it: of experts it
// says how often they are chosen.
std::optional<double> FiringShare(const ModelOutline& outline) {
  if (outline.profile.tokens == 0) return std::nullopt;
  double sum = 0, neurons = 0;
  for (size_t i = 0; i < outline.ffn_specs.size(); ++i) {
    if (outline.ffn_specs[i].block_neurons.size() != 1) continue;
    for (const float share : outline.profile.frequencies[i]) sum += share;
    neurons += static_cast<double>(outline.profile.frequencies[i].size());
  }
  if (neurons == 0) return std::nullopt;
  return sum / neurons;
}

SparsityChoice DenseOrExact(const ModelOutline& outline) {
  if (std::none_of(outline.ffn_specs.begin(), outline.ffn_specs.end(), SkipsWeights)) {
    return {SparsityMode::kDense, "the types of its matrices let no weights of silent neurons be skipped"};
  }
  const std::optional<double> firing = FiringShare(outline);
  if (!firing) return {SparsityMode::kExact, "ReLU leaves neurons silent; a profile would say how many"};
  const std::string fire =
      absl::StrFormat("its profile says that %.0f %% of the neurons fire", 100 * *firing);
  return {*firing > kMostFiring ? SparsityMode::kDense : SparsityMode::kExact, fire};
}

}  // namespace

absl::StatusOr<SparsityChoice> DefaultSparsity(const GgufFile& file, ModelOptions options) {
  HEARTH_ASSIGN_OR_RETURN(const ModelSpec spec, ReadModelSpec(file, SpecOptionsOf(options)));
  const bool has_neurons = std::any_of(spec.layers.begin(), spec.layers.end(),
                                       [](const LayerSpec& layer) { return layer.ffn.present; });
  if (!has_neurons) return SparsityChoice{SparsityMode::kDense, "it has no neurons"};
  if (CheckSparsity(spec, SparsityMode::kPredicted).ok()) {
    return SparsityChoice{SparsityMode::kPredicted, "it has predictors"};
  }
  if (!CheckSparsity(spec, SparsityMode::kExact).ok()) {
    return SparsityChoice{SparsityMode::kDense, "without ReLU all neurons fire"};
  }
  if (AdaptsEveryFfn(spec)) {
    return SparsityChoice{SparsityMode::kDense, "layers with a LoRA adapter are computed whole"};
  }
  options.sparsity = SparsityMode::kExact;
  HEARTH_ASSIGN_OR_RETURN(const ModelOutline outline, OutlineModel(file, options));
  return DenseOrExact(outline);
}

}  // namespace hearth
