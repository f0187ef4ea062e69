#ifndef HEARTH_ENGINE_TOOLS_POWERINFER_PROFILE_H_
#define HEARTH_ENGINE_TOOLS_POWERINFER_PROFILE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {

// What PowerInfer's files say of a model's neurons, as a profile (engine/neuron/profile.h).
struct PowerInferProfile {
  uint64_t tokens = 0;                     // 0: of no measured text
  std::vector<std::vector<float>> shares;  // per layer: per neuron
};

// Where a file tells hot neurons from cold ones and no more, what is assumed of how often they fire.
inline constexpr float kHotShare = 0.5f, kColdShare = 0.05f;

// Reads the files at `path`. A folder: activation_0.pt, activation_1.pt, ... (torch_vector.h), for how many
// tokens each neuron of a layer fired, of `tokens`; 0: as many as the neuron that fired most. Values of at
// most 1 are shares already. A file: NAME.generated.gpuidx, a GGUF file with blk.N.gpu_idx, 1 for each neuron
// of layer N that PowerInfer puts on a graphics card, 0 for the others, and maybe blk.N.gpu_bucket, the
// numbers of the former: they become hot and cold ones. `layers`: what the model computes. INVALID_ARGUMENT
// for files of another form or another model, for layers of experts, and for values that are no counts; what
// ReadInputFile says. One line, with the file's name.
absl::StatusOr<PowerInferProfile> ReadPowerInferProfile(const std::string& path,
                                                        absl::Span<const FfnLayerSpec> layers,
                                                        uint64_t tokens);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_POWERINFER_PROFILE_H_
