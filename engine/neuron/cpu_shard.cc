#include "engine/neuron/cpu_shard.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Ids are unique, rising and inside the block; whole quantised blocks where `down` is stored by output row.
absl::Status CheckNeurons(const FfnLayerSpec& spec, const NeuronGroup& group) {
  const uint32_t alignment = spec.neuron_alignment(group.block);
  const std::vector<uint32_t>& neurons = group.neurons;
  for (size_t i = 0; i < neurons.size(); ++i) {
    if (neurons[i] >= spec.block_neurons[group.block] || (i > 0 && neurons[i] <= neurons[i - 1])) {
      return absl::InvalidArgumentError(absl::StrCat("neuron ids of a group must rise and lie below ",
                                                     spec.block_neurons[group.block], ", got ", neurons[i]));
    }
    if (neurons[i] % alignment != i % alignment) {
      return absl::InvalidArgumentError(
          absl::StrCat("neurons must be placed in whole blocks of ", alignment, ", got id ", neurons[i]));
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Span<const uint8_t> LoadedGroup::Part(BundlePart part) const {
  const BundleEntry* entry = layout.Find(part);
  if (entry == nullptr) return {};
  return absl::MakeConstSpan(bytes).subspan(entry->offset, entry->bytes);
}

const float* LoadedGroup::Vector(BundlePart part) const {
  const absl::Span<const uint8_t> values = Part(part);
  return values.empty() ? nullptr : reinterpret_cast<const float*>(values.data());
}

absl::StatusOr<LoadedGroup> MakeLoadedGroup(const FfnLayerSpec& spec, NeuronGroup group,
                                            std::vector<uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(BundleLayout layout,
                          MakeBundleLayout(spec, group.block, static_cast<uint32_t>(group.neurons.size()),
                                           IsFirstOfBlock(group)));
  HEARTH_RETURN_IF_ERROR(CheckNeurons(spec, group));
  if (bytes.size() != layout.bytes) {
    return absl::InvalidArgumentError(absl::StrCat("a group of ", group.neurons.size(), " neurons takes ",
                                                   layout.bytes, " bytes of weights, got ", bytes.size()));
  }
  return LoadedGroup{std::move(group), std::move(layout), std::move(bytes)};
}

}  // namespace hearth
