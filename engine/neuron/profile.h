#ifndef HEARTH_ENGINE_NEURON_PROFILE_H_
#define HEARTH_ENGINE_NEURON_PROFILE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/file/gguf.h"

namespace hearth {

// How often each neuron of a model fires, measured on text.
struct Profile {
  uint64_t tokens = 0;                          // tokens it was measured on
  std::vector<std::vector<float>> frequencies;  // per layer: per neuron, block after block; empty: unknown
};

// The profile that a model file carries (hearth.profile.N, hearth.profile.tokens); an empty one where it has
// none. INVALID_ARGUMENT when lengths do not fit `neurons` (per layer) or a value is outside [0, 1].
absl::StatusOr<Profile> ReadProfile(const GgufMetadata& metadata, absl::Span<const uint64_t> neurons);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_PROFILE_H_
