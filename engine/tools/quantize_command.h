#ifndef HEARTH_ENGINE_TOOLS_QUANTIZE_COMMAND_H_
#define HEARTH_ENGINE_TOOLS_QUANTIZE_COMMAND_H_

#include <cstdint>
#include <string>

#include "absl/status/statusor.h"
#include "engine/base/output_file.h"
#include "engine/file/gguf.h"
#include "engine/quant/types.h"

namespace hearth {

struct QuantizeOptions {
  TensorType type = TensorType::kQ8_0;  // F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K
  std::string imatrix_path;             // importance matrix in GGUF form; empty: none
  int threads = 0;                      // 0: all cores
  Replace replace = Replace::kIfForced;  // whether a file that is there may be replaced
};

struct QuantizeSummary {
  uint64_t input_bytes = 0;  // of all tensors
  uint64_t output_bytes = 0;
  uint32_t quantised_tensors = 0;  // packed anew
  uint32_t copied_tensors = 0;     // kept as they were
  uint32_t fallback_tensors = 0;   // of the quantised ones: not in the type asked for
};

// The type in which QuantizeFile stores `tensor` of `file` when `wanted` is asked for:
// - its own for what is no large matrix or is very sensitive: vectors, norms, routers, position embeddings;
// - Q6_K for the output matrix (the token embeddings where they serve as such) when a 4-bit type is wanted;
// - Q8_0 where rows do not divide into the 256 values of a K type, F16 where not into 32 either;
// - `wanted` for every other matrix, predictors and transposed matrices of PowerInfer files included.
TensorType TypeForTensor(const GgufFile& file, const GgufTensor& tensor, TensorType wanted);

// Writes `input` (GGUF or PowerInfer, in any types) to `output` with its matrices in options.type and the
// metadata unchanged but for general.file_type and general.quantization_version. `output` appears complete or
// not at all. Errors: what Open, the importance matrix or OutputFile say, the last before any work is done;
// UNIMPLEMENTED for a type that cannot be made; INVALID_ARGUMENT where `output` is one of the files that are
// read, and, naming the tensor, for values that the type cannot hold.
absl::StatusOr<QuantizeSummary> QuantizeFile(const std::string& input, const std::string& output,
                                             const QuantizeOptions& options);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOOLS_QUANTIZE_COMMAND_H_
