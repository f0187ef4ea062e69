#ifndef HEARTH_ENGINE_NEURON_PROFILE_H_
#define HEARTH_ENGINE_NEURON_PROFILE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/file/gguf.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {

// How often each neuron of a model fires, measured on text.
struct Profile {
  uint64_t tokens = 0;  // tokens it was measured on; 0: shares that tell hot neurons from cold ones, no more
  std::vector<std::vector<float>> frequencies;  // per layer: per neuron, block after block; empty: unknown
};

// The profile in a file's metadata, a model's own or that of a profile file (profile_file.h):
// hearth.profile.N, a share per neuron of layer N or, where the layer has several blocks, per block;
// hearth.profile.tokens. An empty one where there is none. `layers`: what the model computes.
// INVALID_ARGUMENT when a length does not fit the layer or a value is outside [0, 1].
absl::StatusOr<Profile> ReadProfile(const GgufMetadata& metadata, absl::Span<const FfnLayerSpec> layers);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_PROFILE_H_
