#ifndef HEARTH_ENGINE_SPEC_ROPE_SCALING_H_
#define HEARTH_ENGINE_SPEC_ROPE_SCALING_H_

#include <string_view>

#include "absl/status/status.h"
#include "engine/spec/architecture_metadata.h"
#include "engine/spec/spec.h"

namespace hearth {

// Fills the scaling of a rope from the file's keys or, where `override` is not empty, from it (see
// SpecOptions). INVALID_ARGUMENT, saying what is understood, for an override that is not.
absl::Status ReadRopeScaling(const ArchitectureMetadata& metadata, std::string_view override, RopeSpec& rope);

// The same rope with unscaled frequencies.
void RemoveRopeScaling(RopeSpec& rope);

// DeepSeek: what YaRN multiplies the attention's scale by, 1 without YaRN.
float YarnAttentionFactor(const ArchitectureMetadata& metadata, const RopeSpec& rope);

}  // namespace hearth

#endif  // HEARTH_ENGINE_SPEC_ROPE_SCALING_H_
