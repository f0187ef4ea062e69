#include "engine/neuron/profile.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

uint64_t NeuronsOf(const FfnLayerSpec& layer) {
  uint64_t neurons = 0;
  for (const uint32_t block : layer.block_neurons) neurons += block;
  return neurons;
}

absl::Status CheckShares(const std::string& key, const std::vector<float>& values) {
  for (const float value : values) {
    if (value >= 0 && value <= 1) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(key, " holds ", value, ", which is no share between 0 and 1; profile the model again"));
  }
  return absl::OkStatus();
}

// A share per block becomes that of each of its neurons.
std::vector<float> PerNeuron(const FfnLayerSpec& layer, const std::vector<float>& shares) {
  std::vector<float> values;
  for (size_t block = 0; block < shares.size(); ++block) {
    values.insert(values.end(), layer.block_neurons[block], shares[block]);
  }
  return values;
}

}  // namespace

absl::StatusOr<Profile> ReadProfile(const GgufMetadata& metadata, absl::Span<const FfnLayerSpec> layers) {
  Profile profile;
  profile.frequencies.resize(layers.size());
  HEARTH_ASSIGN_OR_RETURN(const std::optional<uint64_t> tokens, metadata.GetUint("hearth.profile.tokens"));
  profile.tokens = tokens.value_or(0);
  for (size_t i = 0; i < layers.size(); ++i) {
    const std::string key = absl::StrCat("hearth.profile.", i);
    HEARTH_ASSIGN_OR_RETURN(std::optional<std::vector<float>> values, metadata.GetFloats(key));
    if (!values) continue;
    HEARTH_RETURN_IF_ERROR(CheckShares(key, *values));
    const size_t blocks = layers[i].block_neurons.size();
    if (values->size() == NeuronsOf(layers[i])) {
      profile.frequencies[i] = *std::move(values);
    } else if (blocks > 1 && values->size() == blocks) {
      profile.frequencies[i] = PerNeuron(layers[i], *values);
    } else {
      return absl::InvalidArgumentError(absl::StrCat(key, " has ", values->size(),
                                                     " frequencies, but the layer has ", NeuronsOf(layers[i]),
                                                     " neurons; profile the model again"));
    }
  }
  return profile;
}

}  // namespace hearth
