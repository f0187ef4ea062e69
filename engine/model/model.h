#ifndef HEARTH_ENGINE_MODEL_MODEL_H_
#define HEARTH_ENGINE_MODEL_MODEL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/file/gguf.h"
#include "engine/kernel/matrix.h"
#include "engine/model/spec.h"
#include "engine/model/weights.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/neuron_group.h"
#include "engine/neuron/profile.h"

namespace hearth {

struct ModelOptions {
  SparsityMode sparsity = SparsityMode::kDense;
  Arithmetic arithmetic = Arithmetic::kFast;
  // The context length decoders will use: some rope scalings (LongRoPE) depend on it.
  uint32_t context_length = 512;
  std::string rope_scaling = {};  // override, e.g. "rerope:window=256"; empty: as the file says
};

// A model as its leader holds it: the spec, every weight but those of the FFN blocks (embedding, attention,
// norms, routers, predictors' fc1, output), and for each layer the FFN's spec, its place in the file and its
// neuron groups. Immutable after Load, thread-safe.
class Model {
 public:
  // Loads the leader's weights. Errors name what is missing, unknown (listing what is supported) or of wrong
  // shape.
  static absl::StatusOr<std::shared_ptr<const Model>> Load(std::shared_ptr<const GgufFile> file,
                                                           ModelOptions options, ThreadPool& pool);
  virtual ~Model() = default;

  virtual const ModelSpec& spec() const = 0;
  virtual const ModelOptions& options() const = 0;
  virtual const GgufFile& file() const = 0;
  virtual const Profile& profile() const = 0;
  // The leader's own weights, and their bytes in memory.
  virtual const ModelWeights& weights() const = 0;
  virtual uint64_t weight_bytes() const = 0;

  // One entry per layer.
  virtual const std::vector<FfnLayerSpec>& ffn_specs() const = 0;
  virtual const std::vector<FfnLayerSource>& ffn_sources() const = 0;
  virtual const std::vector<std::vector<NeuronGroup>>& neuron_groups() const = 0;

  // The best mode the file allows when none is asked for: predicted with predictors, else dense.
  virtual SparsityMode default_sparsity() const = 0;
};

// The best mode that a model allows; see Model::default_sparsity.
SparsityMode DefaultSparsity(const ModelSpec& spec);

// What planning needs to know about a file, without loading weights: the spec and the FFN layers.
struct ModelOutline {
  ModelSpec spec;
  Profile profile;
  std::vector<FfnLayerSpec> ffn_specs;
  std::vector<FfnLayerSource> ffn_sources;
  std::vector<std::vector<NeuronGroup>> neuron_groups;
  uint64_t leader_weight_bytes = 0;
  // Of those, bytes read for each token (embedding rows excluded).
  uint64_t leader_bytes_per_token = 0;
};
absl::StatusOr<ModelOutline> OutlineModel(const GgufFile& file, const ModelOptions& options);

}  // namespace hearth

#endif  // HEARTH_ENGINE_MODEL_MODEL_H_
