#include "daemon/planning/model_description.h"

#include <algorithm>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/device/gpu_device.h"
#include "engine/neuron/bundle.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/neuron/neuron_record.h"
#include "engine/outline/rounded_input.h"

namespace hearth {
namespace {

// On the wire (tensor channel): inputs rounded to 8 bits where devices round them (wire_input.h), else
// float32; a block's number and weight; fixed-point sums, which nearly always take 32 bits.
uint64_t InputBytes(const ModelOutline& outline, UnitKind kind, uint32_t layer) {
  return InputRowBytes(outline.spec.n_embd, RoundedInputBlock(outline, kind, layer));
}
constexpr uint64_t kChoiceBytes = 2 * sizeof(float);
constexpr uint64_t kSumBytes = sizeof(int32_t);
// Matrices other than neurons' are taken as 8-bit ones: one multiplication and one addition per byte.
constexpr double kOperationsPerByte = 2;
// Of a sequence while it is generated: what attention is expected to read of the cache.
constexpr double kUsualPositions = 512;

// How often the block of a group is used: 1 but for experts.
double BlockFrequency(const FfnSpec& ffn, bool has_profile, const NeuronGroup& group) {
  if (!ffn.router || group.block >= ffn.router->experts) return 1;
  if (has_profile) return group.frequency;
  return static_cast<double>(ffn.router->chosen) / static_cast<double>(ffn.router->experts);
}

// What stays in memory of a group whose neurons are read from a packed file.
uint64_t ResidentBytes(const FfnLayerSpec& spec, const ModelOptions& options, const NeuronGroup& group,
                       uint64_t bytes) {
  const uint64_t on_disk =
      group.neurons.size() * BytesOnDisk(spec, group.block, options.sparsity, options.arithmetic);
  return bytes - std::min(bytes, on_disk);
}

// Whether neurons of the layer lie in a packed file, one by one.
bool LiesInRecords(const FfnLayerSource& source, const FfnLayerSpec& spec) {
  return HasRecords(spec) && !source.blocks.empty() && source.blocks[0].packed != nullptr;
}

absl::StatusOr<placement::Group> DescribeNeurons(const FfnSpec& ffn, const FfnLayerSpec& spec,
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

absl::StatusOr<placement::Section> DescribeFfn(const ModelOutline& outline, uint32_t layer) {
  const FfnLayerSpec& spec = outline.ffn_specs[layer];
  const FfnSpec& ffn = outline.spec.layers[layer].ffn;
  const std::vector<std::vector<float>>& frequencies = outline.profile.frequencies;
  const bool has_profile = layer < frequencies.size() && !frequencies[layer].empty();
  const SparsityMode sparsity = LayerSparsity(spec, outline.options.sparsity);
  const uint64_t choices = ffn.router ? ffn.router->chosen + (ffn.shared_neurons > 0 ? 1 : 0) : 0;
  const bool sends_hidden = sparsity == SparsityMode::kPredicted || spec.has_adapter();
  const uint64_t hidden = sends_hidden ? spec.hidden_values() : 0;
  placement::Section section{.groups = {}, .name = {placement::GroupKind::kNeurons, layer}};
  section.sent_bytes =
      InputBytes(outline, UnitKind::kNeurons, layer) + hidden * sizeof(float) + choices * kChoiceBytes;
  section.returned_bytes = spec.output_values() * kSumBytes;
  section.cpu_only = !GpuFfn::CanHold(spec).ok();
  section.on_disk = LiesInRecords(outline.ffn_sources[layer], spec);
  for (const NeuronGroup& group : outline.neuron_groups[layer]) {
    HEARTH_ASSIGN_OR_RETURN(placement::Group description,
                            DescribeNeurons(ffn, spec, sparsity, has_profile, group));
    if (section.on_disk)
      description.resident_bytes = ResidentBytes(spec, outline.options, group, description.memory_bytes());
    section.groups.push_back(description);
  }
  return section;
}

// A group that every token reads.
absl::StatusOr<placement::Group> DescribeUnit(const ModelOutline& outline, const DecoderOptions& options,
                                              const UnitId& unit) {
  placement::Group group{.operations_per_byte = kOperationsPerByte};
  HEARTH_ASSIGN_OR_RETURN(group.always_bytes, outline.BundleBytes(unit));
  HEARTH_ASSIGN_OR_RETURN(group.cache_bytes, outline.CacheBytes(unit, options));
  const double positions = static_cast<double>(options.sequences) * options.context_length;
  group.cache_read_bytes = static_cast<double>(group.cache_bytes) *
                           std::min(kUsualPositions, options.context_length / 2.0) / positions;
  return group;
}

absl::StatusOr<placement::Section> DescribeMixer(const ModelOutline& outline, const DecoderOptions& options,
                                                 uint32_t layer) {
  placement::Section section{.groups = {}, .name = {placement::GroupKind::kHeads, layer}};
  const AdapterRanks& adapter = outline.spec.layers[layer].adapter;
  section.sent_bytes = InputBytes(outline, UnitKind::kHeads, layer) + adapter.mixer_inputs() * sizeof(float);
  section.returned_bytes = (outline.spec.n_embd + adapter.output) * kSumBytes;
  section.cpu_only = !GpuDevice::Supports(outline, {UnitKind::kHeads, layer, 0}, options.kv_type).ok();
  for (uint32_t g = 0; g < outline.head_groups[layer].size(); ++g) {
    HEARTH_ASSIGN_OR_RETURN(placement::Group group,
                            DescribeUnit(outline, options, {UnitKind::kHeads, layer, g}));
    section.groups.push_back(group);
  }
  return section;
}

absl::StatusOr<placement::Section> DescribeOutput(const ModelOutline& outline,
                                                  const DecoderOptions& options) {
  placement::Section section{.groups = {}, .name = {placement::GroupKind::kOutput, 0}};
  section.sent_bytes = InputBytes(outline, UnitKind::kOutput, 0);
  for (uint32_t run = 0; run < outline.output_runs.size(); ++run) {
    HEARTH_ASSIGN_OR_RETURN(placement::Group group,
                            DescribeUnit(outline, options, {UnitKind::kOutput, 0, run}));
    group.returned_bytes = outline.output_runs[run].size() * sizeof(float);
    section.groups.push_back(group);
  }
  return section;
}

}  // namespace

UnitId UnitOf(const placement::SectionName& section, uint32_t group) {
  switch (section.kind) {
    case placement::GroupKind::kHeads:
      return {UnitKind::kHeads, section.layer, group};
    case placement::GroupKind::kNeurons:
      return {UnitKind::kNeurons, section.layer, group};
    case placement::GroupKind::kOutput:
      break;
  }
  return {UnitKind::kOutput, 0, group};
}

absl::StatusOr<placement::Model> DescribeModel(const ModelOutline& outline, const DecoderOptions& options) {
  placement::Model model;
  model.leader_memory_bytes = outline.leader_weight_bytes;
  model.leader_bytes_per_token = outline.leader_bytes_per_token;
  model.leader_operations_per_token = kOperationsPerByte * static_cast<double>(model.leader_bytes_per_token);
  for (uint32_t layer = 0; layer < outline.spec.n_layers; ++layer) {
    HEARTH_ASSIGN_OR_RETURN(placement::Section mixer, DescribeMixer(outline, options, layer));
    HEARTH_ASSIGN_OR_RETURN(placement::Section ffn, DescribeFfn(outline, layer));
    model.sections.push_back(std::move(mixer));
    model.sections.push_back(std::move(ffn));
  }
  HEARTH_ASSIGN_OR_RETURN(placement::Section output, DescribeOutput(outline, options));
  model.sections.push_back(std::move(output));
  return model;
}

}  // namespace hearth
