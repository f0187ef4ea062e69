#include "engine/outline/model_outline.h"

#include <optional>
#include <string_view>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/attention/kv_cache.h"
#include "engine/attention/mixer_weights.h"
#include "engine/base/absl_view.h"
#include "engine/base/check.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/bundle.h"
#include "engine/neuron/neuron_record.h"
#include "engine/outline/ffn_layers.h"
#include "engine/outline/leader_weights.h"
#include "engine/outline/output_rows.h"
#include "engine/weights/weight_loader.h"

namespace hearth {
namespace {

// The tensors of the model, with those of its side files in place of its own.
TensorSet AllTensors(const GgufFile& file, const ModelOptions& options) {
  TensorSet tensors(file);
  for (const GgufFile* beside : {options.profile.get(), options.adapter.get()}) {
    if (beside == nullptr) continue;
    for (const GgufTensor& tensor : beside->tensors()) tensors.Add(tensor);
  }
  return tensors;
}

// Extra layers that predict further tokens are in some files and take no part; nor do the factors of ropes
// that are not used.
absl::Status IgnoreSpareTensors(const GgufFile& file, const ModelSpec& spec, WeightLoader& loader) {
  HEARTH_ASSIGN_OR_RETURN(const std::optional<uint64_t> blocks,
                          file.metadata().GetUint(spec.architecture + ".block_count"));
  for (uint64_t i = spec.n_layers; i < blocks.value_or(0); ++i) {
    loader.Ignore(absl::StrCat("blk.", i, "."));
  }
  for (const char* unused : {"rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"}) {
    loader.Ignore(unused);
  }
  // Heads of encoders that classify or guess words take no part in embeddings.
  if (!spec.causal) {
    for (const char* unused : {"cls.", "output."}) loader.Ignore(unused);
  }
  return absl::OkStatus();
}

absl::Status BadPack(const GgufFile& file, std::string_view problem) {
  return absl::InvalidArgumentError(
      absl::StrCat(file.name(), ": ", AbslView(problem), "; pack the model again"));
}

// Of a packed file: where the neurons are. Whatever is not in their records has data.
absl::Status BindPackedBlocks(const GgufFile& file, ModelOutline& outline) {
  if (!file.is_packed()) return absl::OkStatus();
  absl::flat_hash_set<const GgufTensor*> in_records;
  for (uint32_t layer = 0; layer < outline.ffn_specs.size(); ++layer) {
    const absl::Span<const PackedBlock> blocks = file.packed_blocks(layer);
    if (blocks.empty()) continue;
    const FfnLayerSpec& spec = outline.ffn_specs[layer];
    const absl::Status status = CheckPackedBlocks(spec, blocks);
    if (!status.ok()) return BadPack(file, absl::StrCat("layer ", layer, ": ", status.message()));
    for (uint32_t b = 0; b < blocks.size(); ++b) {
      FfnBlockSource& source = outline.ffn_sources[layer].blocks[b];
      source.packed = &blocks[b];
      in_records.insert({source.gate.tensor, source.up.tensor});
      if (NeuronRecord::Of(spec, b).down_bytes > 0) in_records.insert(source.down.tensor);
    }
  }
  for (const GgufTensor& tensor : outline.tensors->tensors()) {
    if (tensor.data.empty() && !in_records.contains(&tensor)) {
      return BadPack(file, absl::StrCat("tensor ", Printable(tensor.name), " has no data"));
    }
  }
  return absl::OkStatus();
}

// Checks every tensor of the file, one kind of unit after the other, and counts their bytes.
absl::Status CheckWeights(const GgufFile& file, float sparse_threshold, ModelOutline& outline) {
  const ModelSpec& spec = outline.spec;
  const SparsityMode sparsity = outline.options.sparsity;
  WeightLoader loader(*outline.tensors, outline.options.arithmetic, nullptr);
  HEARTH_RETURN_IF_ERROR(IgnoreSpareTensors(file, spec, loader));
  FfnLayers ffn = BindFfnLayers(spec, sparsity, sparse_threshold, loader);
  LoadLeaderWeights(spec, sparsity == SparsityMode::kPredicted, loader);
  outline.leader_weight_bytes = loader.bytes();
  outline.leader_bytes_per_token = loader.bytes_per_token();
  if (spec.causal) LoadOutputRows(spec, spec.n_vocab, loader);
  outline.output_weight_bytes = loader.bytes() - outline.leader_weight_bytes;
  for (uint32_t i = 0; i < spec.n_layers && loader.ok(); ++i) {
    const GgufTensor* output = outline.tensors->Find(MixerOutputTensor(spec.layers[i], i));
    outline.head_groups.push_back(
        MakeHeadGroups(spec.layers[i], output == nullptr ? TensorType::kF32 : output->type));
    LoadMixer(spec, i, outline.head_groups.back(), loader);
  }
  outline.mixer_weight_bytes = loader.bytes() - outline.leader_weight_bytes - outline.output_weight_bytes;
  HEARTH_RETURN_IF_ERROR(loader.Finish());
  outline.ffn_specs = std::move(ffn.specs);
  outline.ffn_sources = std::move(ffn.sources);
  return BindPackedBlocks(file, outline);
}

// What whoever leads a layer holds of it.
UnitParts LayerParts(const ModelOutline& outline, uint32_t layer) {
  WeightLoader loader(*outline.tensors, outline.options.arithmetic, nullptr);
  LoadLayerWeights(outline.spec, layer, outline.predicted(), loader);
  UnitParts parts;
  for (const GgufTensor* tensor : loader.used()) parts.push_back({*tensor, Axis::kNone, {}});
  return parts;
}

}  // namespace

absl::StatusOr<UnitParts> ModelOutline::Parts(const UnitId& unit) const {
  HEARTH_CHECK(Has(unit) && unit.kind != UnitKind::kNeurons);
  if (unit.kind == UnitKind::kHeads) {
    return HeadGroupParts(spec, unit.layer, head_groups[unit.layer][unit.number], *tensors);
  }
  if (unit.kind == UnitKind::kOutput) return OutputRowParts(output_runs[unit.number], *tensors);
  return LayerParts(*this, unit.layer);
}

bool ModelOutline::Has(const UnitId& unit) const {
  if (unit.kind == UnitKind::kOutput) return unit.layer == 0 && unit.number < output_runs.size();
  if (unit.layer >= spec.n_layers) return false;
  if (unit.kind == UnitKind::kLayer) return unit.number == 0;
  return unit.number <
         (unit.kind == UnitKind::kHeads ? head_groups[unit.layer].size() : neuron_groups[unit.layer].size());
}

absl::StatusOr<uint64_t> ModelOutline::BundleBytes(const UnitId& unit) const {
  HEARTH_CHECK(Has(unit));
  if (unit.kind == UnitKind::kNeurons) {
    HEARTH_ASSIGN_OR_RETURN(const BundleLayout layout,
                            MakeBundleLayout(ffn_specs[unit.layer], neuron_groups[unit.layer][unit.number]));
    return layout.bytes;
  }
  HEARTH_ASSIGN_OR_RETURN(const UnitParts parts, Parts(unit));
  HEARTH_ASSIGN_OR_RETURN(const UnitLayout layout, MakeUnitLayout(parts));
  return layout.bytes;
}

absl::StatusOr<uint64_t> ModelOutline::CacheBytes(const UnitId& unit, const DecoderOptions& options) const {
  HEARTH_CHECK(Has(unit));
  if (unit.kind != UnitKind::kHeads) return 0;
  ModelSpec narrow;
  narrow.n_embd = spec.n_embd;
  narrow.convolution_length = spec.convolution_length;
  narrow.ropes = spec.ropes;
  narrow.layers = {NarrowToGroups(spec.layers[unit.layer], {head_groups[unit.layer][unit.number]})};
  return KvCacheBytes(narrow, options);
}

SpecOptions SpecOptionsOf(const ModelOptions& options) {
  return {options.context_length, options.rope_scaling, options.profile.get(), options.adapter.get()};
}

absl::StatusOr<ModelOutline> OutlineModel(const GgufFile& file, const ModelOptions& options) {
  ModelOutline outline;
  outline.options = options;
  HEARTH_ASSIGN_OR_RETURN(outline.spec, ReadModelSpec(file, SpecOptionsOf(options)));
  HEARTH_RETURN_IF_ERROR(CheckSparsity(outline.spec, options.sparsity));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<float> threshold,
                          file.metadata().GetFloat("powerinfer.sparse_threshold"));
  outline.tensors = std::make_shared<const TensorSet>(AllTensors(file, options));
  HEARTH_RETURN_IF_ERROR(CheckWeights(file, threshold.value_or(0), outline));
  const GgufMetadata& profile = options.profile ? options.profile->metadata() : file.metadata();
  HEARTH_ASSIGN_OR_RETURN(outline.profile, ReadProfile(profile, outline.ffn_specs));
  for (size_t i = 0; i < outline.ffn_specs.size(); ++i) {
    outline.neuron_groups.push_back(MakeNeuronGroups(outline.ffn_specs[i], outline.profile.frequencies[i]));
  }
  if (outline.spec.causal) outline.output_runs = MakeOutputRuns(outline.spec.n_vocab);
  HEARTH_RETURN_IF_ERROR(file.CheckUnchanged());
  return outline;
}

}  // namespace hearth
