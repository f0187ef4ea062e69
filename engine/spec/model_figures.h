#ifndef HEARTH_ENGINE_SPEC_MODEL_FIGURES_H_
#define HEARTH_ENGINE_SPEC_MODEL_FIGURES_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "engine/file/gguf.h"

namespace hearth {

// A model that is not here, in the figures of its architecture, as its publisher's config.json has them.
struct ModelFigures {
  std::string architecture;  // as its file would say: "llama"
  // The types of its matrices: one for all ("Q8_0", "F16"), or a mixture of llama.cpp's: "Q4_K_M", "MXFP4"
  // (experts; the rest Q8_0).
  std::string weights;
  uint32_t layers = 0;
  uint32_t embedding = 0;     // values of a token's state
  uint32_t feed_forward = 0;  // neurons of a layer; of one expert where there are experts
  uint32_t heads = 0;
  uint32_t kv_heads = 0;
  uint32_t head_size = 0;  // 0: embedding / heads
  uint32_t vocabulary = 0;
  uint32_t context = 0;       // positions that it was made for
  uint32_t window = 0;        // of its layers with a window; 0: as the architecture has it
  uint32_t experts = 0;       // of each layer; 0: none
  uint32_t experts_used = 0;  // for a token
  bool own_output = false;    // the output head is not the embedding's matrix
  bool attention_bias = false;
  bool relu = false;  // its gates are ReLU, whatever the architecture's are
};

// The file that such a model would be, as a skeleton tells it (gguf_skeleton.h): no tensor has data. Left out
// is what hardly weighs, such as factors of rotations. UNIMPLEMENTED for an architecture or types of weights
// that are not known here (lists those that are), INVALID_ARGUMENT for figures of which no model can be. An
// architecture of which they do not tell enough has its outline refused (engine/outline).
absl::StatusOr<std::unique_ptr<GgufFile>> FileOfFigures(const ModelFigures& figures);

// Bytes of all tensors of a file.
uint64_t TensorBytes(const GgufFile& file);

}  // namespace hearth

#endif  // HEARTH_ENGINE_SPEC_MODEL_FIGURES_H_
