#include "engine/model/model.h"

#include <optional>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/model/ffn_layers.h"
#include "engine/model/weight_loader.h"

namespace hearth {
namespace {

// Everything Load and OutlineModel find out about a file.
struct Parts {
  ModelSpec spec;
  ModelWeights weights;
  FfnLayers ffn;
  Profile profile;
  std::vector<std::vector<NeuronGroup>> groups;
  uint64_t weight_bytes = 0;
  uint64_t bytes_per_token = 0;
};

absl::StatusOr<Profile> ReadLayerProfile(const GgufFile& file, const std::vector<FfnLayerSpec>& specs) {
  std::vector<uint64_t> neurons;
  for (const FfnLayerSpec& spec : specs) {
    uint64_t sum = 0;
    for (uint32_t block : spec.block_neurons) sum += block;
    neurons.push_back(sum);
  }
  return ReadProfile(file.metadata(), neurons);
}

// Without a pool the weights are checked and counted but not loaded.
absl::StatusOr<Parts> ReadParts(const GgufFile& file, const ModelOptions& options, ThreadPool* pool) {
  Parts parts;
  HEARTH_ASSIGN_OR_RETURN(parts.spec, ReadModelSpec(file, {options.context_length, options.rope_scaling}));
  HEARTH_RETURN_IF_ERROR(CheckSparsity(parts.spec, options.sparsity));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<float> threshold,
                          file.metadata().GetFloat("powerinfer.sparse_threshold"));

  WeightLoader loader(file, options.arithmetic, pool);
  // Extra layers that predict further tokens are in some files and take no part.
  HEARTH_ASSIGN_OR_RETURN(const std::optional<uint64_t> blocks,
                          file.metadata().GetUint(parts.spec.architecture + ".block_count"));
  for (uint64_t i = parts.spec.n_layers; i < blocks.value_or(0); ++i) {
    loader.Ignore("blk." + std::to_string(i) + ".");
  }
  parts.ffn = BindFfnLayers(parts.spec, options.sparsity, threshold.value_or(0), loader);
  parts.weights = LoadWeights(parts.spec, options.sparsity == SparsityMode::kPredicted, loader);
  HEARTH_RETURN_IF_ERROR(loader.Finish());
  parts.weight_bytes = loader.bytes();
  parts.bytes_per_token = loader.bytes_per_token();

  HEARTH_ASSIGN_OR_RETURN(parts.profile, ReadLayerProfile(file, parts.ffn.specs));
  for (size_t i = 0; i < parts.ffn.specs.size(); ++i) {
    parts.groups.push_back(MakeNeuronGroups(parts.ffn.specs[i], parts.profile.frequencies[i]));
  }
  return parts;
}

class LoadedModel : public Model {
 public:
  LoadedModel(std::shared_ptr<const GgufFile> file, ModelOptions options, Parts parts)
      : file_(std::move(file)), options_(std::move(options)), parts_(std::move(parts)) {}

  const ModelSpec& spec() const override { return parts_.spec; }
  const ModelOptions& options() const override { return options_; }
  const GgufFile& file() const override { return *file_; }
  const Profile& profile() const override { return parts_.profile; }
  const ModelWeights& weights() const override { return parts_.weights; }
  uint64_t weight_bytes() const override { return parts_.weight_bytes; }
  const std::vector<FfnLayerSpec>& ffn_specs() const override { return parts_.ffn.specs; }
  const std::vector<FfnLayerSource>& ffn_sources() const override { return parts_.ffn.sources; }
  const std::vector<std::vector<NeuronGroup>>& neuron_groups() const override { return parts_.groups; }
  SparsityMode default_sparsity() const override { return DefaultSparsity(parts_.spec); }

 private:
  std::shared_ptr<const GgufFile> file_;
  ModelOptions options_;
  Parts parts_;
};

}  // namespace

SparsityMode DefaultSparsity(const ModelSpec& spec) {
  return CheckSparsity(spec, SparsityMode::kPredicted).ok() ? SparsityMode::kPredicted : SparsityMode::kDense;
}

absl::StatusOr<std::shared_ptr<const Model>> Model::Load(std::shared_ptr<const GgufFile> file,
                                                         ModelOptions options, ThreadPool& pool) {
  HEARTH_ASSIGN_OR_RETURN(Parts parts, ReadParts(*file, options, &pool));
  return std::make_shared<const LoadedModel>(std::move(file), std::move(options), std::move(parts));
}

absl::StatusOr<ModelOutline> OutlineModel(const GgufFile& file, const ModelOptions& options) {
  HEARTH_ASSIGN_OR_RETURN(Parts parts, ReadParts(file, options, nullptr));
  ModelOutline outline;
  outline.spec = std::move(parts.spec);
  outline.profile = std::move(parts.profile);
  outline.ffn_specs = std::move(parts.ffn.specs);
  outline.ffn_sources = std::move(parts.ffn.sources);
  outline.neuron_groups = std::move(parts.groups);
  outline.leader_weight_bytes = parts.weight_bytes;
  outline.leader_bytes_per_token = parts.bytes_per_token;
  return outline;
}

}  // namespace hearth
