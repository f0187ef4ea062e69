#include "engine/neuron/bundle.h"

#include <algorithm>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kPartAlignment = 64;

// Appends a part of rows x cols values to the layout, refusing what does not fit 64 bits.
absl::Status Append(BundleLayout& layout, BundlePart part, TensorType type, uint64_t rows, uint64_t cols) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  const std::optional<uint64_t> bytes = CheckedMul(rows, row_bytes);
  const std::optional<uint64_t> padded = CheckedAdd(layout.bytes, kPartAlignment - 1);
  if (!bytes || !padded) return absl::InvalidArgumentError("the weights of a neuron group overflow 64 bits");
  const uint64_t offset = *padded / kPartAlignment * kPartAlignment;
  const std::optional<uint64_t> end = CheckedAdd(offset, *bytes);
  if (!end) return absl::InvalidArgumentError("the weights of a neuron group overflow 64 bits");
  layout.entries.push_back({part, type, rows, cols, offset, *bytes});
  layout.bytes = *end;
  return absl::OkStatus();
}

absl::Status CheckCounts(const FfnLayerSpec& spec, uint32_t block, uint32_t neurons) {
  if (block >= spec.block_neurons.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " of a layer that has ", spec.block_neurons.size(), " blocks"));
  }
  if (neurons == 0 || neurons > spec.block_neurons[block]) {
    return absl::InvalidArgumentError(absl::StrCat("a group of ", neurons, " neurons in a block of ",
                                                   spec.block_neurons[block], " neurons"));
  }
  return absl::OkStatus();
}

}  // namespace

const BundleEntry* BundleLayout::Find(BundlePart part) const {
  for (const BundleEntry& entry : entries) {
    if (entry.part == part) return &entry;
  }
  return nullptr;
}

bool IsFirstOfBlock(const NeuronGroup& group) {
  return std::find(group.neurons.begin(), group.neurons.end(), 0u) != group.neurons.end();
}

absl::StatusOr<BundleLayout> MakeBundleLayout(const FfnLayerSpec& spec, uint32_t block, uint32_t neurons,
                                              bool first_of_block) {
  HEARTH_RETURN_IF_ERROR(CheckCounts(spec, block, neurons));
  BundleLayout layout;
  const auto append = [&layout](bool present, BundlePart part, TensorType type, uint64_t rows,
                                uint64_t cols) {
    return present ? Append(layout, part, type, rows, cols) : absl::OkStatus();
  };
  HEARTH_RETURN_IF_ERROR(
      append(spec.gate.present, BundlePart::kGate, spec.gate_type(block), neurons, spec.n_embd));
  HEARTH_RETURN_IF_ERROR(append(true, BundlePart::kUp, spec.up_type(block), neurons, spec.n_embd));
  const uint64_t down_rows = spec.neuron_major ? neurons : spec.n_embd;
  const uint64_t down_cols = spec.neuron_major ? spec.n_embd : neurons;
  HEARTH_RETURN_IF_ERROR(append(true, BundlePart::kDown, spec.down_type(block), down_rows, down_cols));
  HEARTH_RETURN_IF_ERROR(append(spec.predictor_rank > 0, BundlePart::kPredictor, spec.predictor_type, neurons,
                                std::max(1u, spec.predictor_rank)));
  HEARTH_RETURN_IF_ERROR(append(spec.gate_bias, BundlePart::kGateBias, TensorType::kF32, 1, neurons));
  HEARTH_RETURN_IF_ERROR(append(spec.up_bias, BundlePart::kUpBias, TensorType::kF32, 1, neurons));
  HEARTH_RETURN_IF_ERROR(
      append(spec.normalize_hidden, BundlePart::kNeuronScale, TensorType::kF32, 1, neurons));
  HEARTH_RETURN_IF_ERROR(
      append(spec.down_bias && first_of_block, BundlePart::kDownBias, TensorType::kF32, 1, spec.n_embd));
  const auto append_adapter = [&](BundlePart part, uint32_t rank, uint64_t rows, uint64_t cols) {
    return append(rank > 0, part, TensorType::kF32, rows, cols);
  };
  HEARTH_RETURN_IF_ERROR(append_adapter(BundlePart::kGateAdapter, spec.gate_rank, neurons, spec.gate_rank));
  HEARTH_RETURN_IF_ERROR(append_adapter(BundlePart::kUpAdapter, spec.up_rank, neurons, spec.up_rank));
  HEARTH_RETURN_IF_ERROR(append_adapter(BundlePart::kDownAdapter, spec.down_rank, spec.down_rank, neurons));
  return layout;
}

absl::StatusOr<BundleLayout> MakeBundleLayout(const FfnLayerSpec& spec, const NeuronGroup& group) {
  return MakeBundleLayout(spec, group.block, static_cast<uint32_t>(group.neurons.size()),
                          IsFirstOfBlock(group));
}

}  // namespace hearth
