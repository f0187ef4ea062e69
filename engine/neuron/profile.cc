#include "engine/neuron/profile.h"

#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {

absl::StatusOr<Profile> ReadProfile(const GgufMetadata& metadata, absl::Span<const uint64_t> neurons) {
  Profile profile;
  profile.frequencies.resize(neurons.size());
  HEARTH_ASSIGN_OR_RETURN(const std::optional<uint64_t> tokens, metadata.GetUint("hearth.profile.tokens"));
  profile.tokens = tokens.value_or(0);
  for (size_t layer = 0; layer < neurons.size(); ++layer) {
    const std::string key = absl::StrCat("hearth.profile.", layer);
    HEARTH_ASSIGN_OR_RETURN(std::optional<std::vector<float>> values, metadata.GetFloats(key));
    if (!values) continue;
    if (values->size() != neurons[layer]) {
      return absl::InvalidArgumentError(absl::StrCat(key, " has ", values->size(),
                                                     " frequencies, but the layer has ", neurons[layer],
                                                     " neurons; profile the model again"));
    }
    for (float value : *values) {
      if (!(value >= 0 && value <= 1)) {
        return absl::InvalidArgumentError(absl::StrCat(
            key, " holds ", value, ", which is no share between 0 and 1; profile the model again"));
      }
    }
    profile.frequencies[layer] = *std::move(values);
  }
  return profile;
}

}  // namespace hearth
