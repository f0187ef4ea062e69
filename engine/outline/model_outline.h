#ifndef HEARTH_ENGINE_OUTLINE_MODEL_OUTLINE_H_
#define HEARTH_ENGINE_OUTLINE_MODEL_OUTLINE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/attention/decoder_options.h"
#include "engine/attention/head_groups.h"
#include "engine/file/gguf.h"
#include "engine/kernel/matrix.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/neuron_group.h"
#include "engine/neuron/profile.h"
#include "engine/outline/unit_id.h"
#include "engine/spec/spec.h"
#include "engine/weights/tensor_set.h"
#include "engine/weights/unit.h"

namespace hearth {

struct ModelOptions {
  SparsityMode sparsity = SparsityMode::kDense;
  Arithmetic arithmetic = Arithmetic::kFast;
  // The context length decoders will use: some rope scalings (LongRoPE) depend on it.
  uint32_t context_length = 512;
  std::string rope_scaling = {};  // override, e.g. "rerope:window=256"; empty: as the file says
  std::shared_ptr<const GgufFile> profile = {};  // the model's profile file (engine/neuron/profile_file.h)
  std::shared_ptr<const GgufFile> adapter = {};  // LoRA adapters of the model (engine/weights/adapter_file.h)

  bool operator==(const ModelOptions&) const = default;
};

// What of them makes a spec.
SpecOptions SpecOptionsOf(const ModelOptions& options);

// Everything that is known about a model before a weight is read: what it computes, the units in which a plan
// places it, and where each unit's weights are. Follows from the file's header, its profile and the options
// alone. Vectors have one entry per layer.
struct ModelOutline {
  ModelSpec spec;
  ModelOptions options;
  Profile profile;
  std::shared_ptr<const TensorSet> tensors;  // of the file, which outlives this

  std::vector<FfnLayerSpec> ffn_specs;
  std::vector<FfnLayerSource> ffn_sources;
  std::vector<std::vector<NeuronGroup>> neuron_groups;
  std::vector<std::vector<HeadGroup>> head_groups;
  std::vector<IndexRange> output_runs;  // rows of the output head; none of a model that only embeds

  // Bytes of the weights that are no neurons: the leader's own, heads, output rows.
  uint64_t leader_weight_bytes = 0;
  uint64_t mixer_weight_bytes = 0;
  uint64_t output_weight_bytes = 0;
  // Of the leader's own, bytes read for each token (embedding rows excluded).
  uint64_t leader_bytes_per_token = 0;

  // What a unit other than neurons, whose bundle has a form of its own, has of the model's tensors (CHECK).
  // None for a layer whose leader needs no weights. INVALID_ARGUMENT where one that is needed is missing.
  absl::StatusOr<UnitParts> Parts(const UnitId& unit) const;
  bool predicted() const { return options.sparsity == SparsityMode::kPredicted; }

  // Whether there is such a unit. The others need one that there is (CHECK).
  bool Has(const UnitId& unit) const;
  // Bytes of its weights as a bundle. INVALID_ARGUMENT where they cannot be laid out.
  absl::StatusOr<uint64_t> BundleBytes(const UnitId& unit) const;
  // What a head group caches under these options; 0 for other units.
  absl::StatusOr<uint64_t> CacheBytes(const UnitId& unit, const DecoderOptions& options) const;
};

// Errors name what is missing, unknown (listing what is supported) or of wrong shape.
absl::StatusOr<ModelOutline> OutlineModel(const GgufFile& file, const ModelOptions& options);

}  // namespace hearth

#endif  // HEARTH_ENGINE_OUTLINE_MODEL_OUTLINE_H_
