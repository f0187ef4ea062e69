#include "daemon/planning/model_description.h"

#include "engine/base/status_macros.h"
#include "engine/neuron/bundle.h"
#include "engine/neuron/cpu_shard.h"

namespace hearth {
namespace {

// On the wire (tensor channel): float32 inputs, a block's number and weight, fixed-point sums, which nearly always take
// 32 bits.
constexpr uint64_t kInputBytes = sizeof(float);
constexpr uint64_t kChoiceBytes = 2 * sizeof(float);
constexpr uint64_t kSumBytes = sizeof(int32_t);
// The leader's matrices are taken as 8-bit ones: one multiplication and one addition per byte.
constexpr double kLeaderOperationsPerByte = 2;

// How often the block of a group is used: 1 but for experts.
double BlockFrequency(const FfnSpec& ffn, bool has_profile, const NeuronGroup& group) {
  if (!ffn.router || group.block >= ffn.router->experts) return 1;
  if (has_profile) return group.frequency;
  return static_cast<double>(ffn.router->chosen) / static_cast<double>(ffn.router->experts);
}

absl::StatusOr<placement::Group> DescribeGroup(const FfnSpec& ffn, const FfnLayerSpec& spec,
                                               SparsityMode sparsity, bool has_profile,
                                               const NeuronGroup& group) {
  HEARTH_ASSIGN_OR_RETURN(const BundleLayout layout, MakeBundleLayout(spec, group));
  placement::Group description{.neurons = group.neurons.size()};
  double values = 0;
  for (const BundleEntry& entry : layout.entries) {
    const bool always = ReadsAllOf(spec, group.block, entry.part, sparsity);
    (always ? description.always_bytes : description.firing_bytes) += entry.bytes;
    values += static_cast<double>(entry.rows) * static_cast<double>(entry.cols);
  }
  if (layout.bytes > 0) description.operations_per_byte = 2 * values / static_cast<double>(layout.bytes);
  description.frequency = group.frequency;
  if (const double frequency = BlockFrequency(ffn, has_profile, group); frequency < 1) {
    // A block that is not used is not read at all.
    description.firing_bytes += description.always_bytes;
    description.always_bytes = 0;
    description.frequency = frequency;
  } else if (sparsity == SparsityMode::kDense) {
    description.frequency = 1;
  }
  return description;
}

}  // namespace

absl::StatusOr<placement::Model> DescribeModel(const ModelOutline& outline, SparsityMode sparsity,
                                               uint64_t leader_buffer_bytes) {
  placement::Model model;
  // Heads and output rows are with the leader.
  const uint64_t placed_bytes = outline.mixer_weight_bytes + outline.output_weight_bytes;
  model.leader_memory_bytes = outline.leader_weight_bytes + placed_bytes + leader_buffer_bytes;
  model.leader_bytes_per_token = outline.leader_bytes_per_token + placed_bytes;
  model.leader_operations_per_token =
      kLeaderOperationsPerByte * static_cast<double>(model.leader_bytes_per_token);
  for (size_t i = 0; i < outline.ffn_specs.size(); ++i) {
    const FfnLayerSpec& spec = outline.ffn_specs[i];
    const FfnSpec& ffn = outline.spec.layers[i].ffn;
    const bool has_profile =
        i < outline.profile.frequencies.size() && !outline.profile.frequencies[i].empty();
    const SparsityMode layer_sparsity = LayerSparsity(spec, sparsity);
    placement::Layer& layer = model.layers.emplace_back();
    const uint64_t choices = ffn.router ? ffn.router->chosen + (ffn.shared_neurons > 0 ? 1 : 0) : 0;
    const uint64_t hidden = layer_sparsity == SparsityMode::kPredicted ? spec.predictor_rank : 0;
    layer.sent_bytes = (spec.n_embd + hidden) * kInputBytes + choices * kChoiceBytes;
    layer.returned_bytes = spec.output_values() * kSumBytes;
    for (const NeuronGroup& group : outline.neuron_groups[i]) {
      HEARTH_ASSIGN_OR_RETURN(placement::Group description,
                              DescribeGroup(ffn, spec, layer_sparsity, has_profile, group));
      layer.groups.push_back(description);
    }
  }
  return model;
}

}  // namespace hearth
