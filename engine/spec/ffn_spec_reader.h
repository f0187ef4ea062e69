#ifndef HEARTH_ENGINE_SPEC_FFN_SPEC_READER_H_
#define HEARTH_ENGINE_SPEC_FFN_SPEC_READER_H_

#include <cstdint>

#include "engine/file/gguf.h"
#include "engine/spec/architecture_metadata.h"
#include "engine/spec/architectures.h"
#include "engine/spec/spec.h"

namespace hearth {

// The feed-forward network of one layer: dense, or a mixture of experts. `width` is the layer's
// feed_forward_length, `profile` the model's profile file or null. Errors stay in `metadata`.
FfnSpec ReadFfnSpec(const ArchitectureMetadata& metadata, const GgufFile& file, const GgufFile* profile,
                    const Architecture& architecture, uint32_t layer, uint32_t width);

}  // namespace hearth

#endif  // HEARTH_ENGINE_SPEC_FFN_SPEC_READER_H_
