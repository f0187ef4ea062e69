#ifndef HEARTH_ENGINE_WEIGHTS_ADAPTER_FILE_H_
#define HEARTH_ENGINE_WEIGHTS_ADAPTER_FILE_H_

#include <memory>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/file/gguf.h"

namespace hearth {

// A LoRA adapter changes a model by matrices of low rank: y = W x + scale * alpha / rank * B (A x) for some
// of its W. It is a GGUF file of llama.cpp's form:
//
//   general.type          "adapter"
//   general.architecture  that of the model
//   adapter.type          "lora"
//   adapter.lora.alpha    a number; 0: the factor is `scale` alone
//   W.lora_a {n_in, rank}, W.lora_b {rank, n_out}   for a tensor W {n_in, n_out} of the model
//
// W is a layer's query, key, value or output projection, or gate, up or down of its dense feed-forward
// network.

// Of what OpenAdapters makes: a hash of names and values, so that models with different adapters have
// different skeletons.
inline constexpr char kAdapterDigestKey[] = "hearth.adapter.sha256";

// One that a person asks for.
struct AdapterSource {
  std::string path;
  float scale = 1;

  bool operator==(const AdapterSource&) const = default;
};

// "FILE" or "FILE,scale=S". INVALID_ARGUMENT for anything else.
absl::StatusOr<AdapterSource> ParseAdapterSource(std::string_view text);
// The text that ParseAdapterSource takes.
std::string AdapterText(const AdapterSource& source);

// What the adapters together do to `model`, as one in memory: W.lora_a and W.lora_b in float32, the factors
// in the latter, and the rank of each W the sum of the adapters' own; and its digest. Null without sources.
// INVALID_ARGUMENT for a file that is no adapter of this model: another architecture, tensors that the model
// lacks, shapes that do not fit, halves that are missing, values or factors that are not finite, a packed
// model. UNIMPLEMENTED for tensors that cannot be adapted. What ReadInputFile and GgufFile::Parse say.
absl::StatusOr<std::shared_ptr<const GgufFile>> OpenAdapters(absl::Span<const AdapterSource> sources,
                                                             const GgufFile& model);

}  // namespace hearth

#endif  // HEARTH_ENGINE_WEIGHTS_ADAPTER_FILE_H_
