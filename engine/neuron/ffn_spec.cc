#include "engine/neuron/ffn_spec.h"

#include <algorithm>
#include <cmath>
#include <initializer_list>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

// Far beyond every model; a matrix of these sizes still counts its bytes in 64 bits.
constexpr uint32_t kMaxEmbedding = 1 << 20;
constexpr uint32_t kMaxNeurons = 1 << 28;
constexpr uint32_t kMaxBlocks = 1 << 16;
constexpr uint32_t kMaxPredictorRank = 1 << 16;
constexpr uint32_t kMaxAdapterRank = 1 << 16;

absl::Status Invalid(const auto&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); }
absl::Status Unknown(const char* combination) {
  return absl::UnimplementedError(
      absl::StrCat("a feed-forward layer with ", combination, " is not supported"));
}

absl::Status CheckCount(const char* name, uint64_t value, uint64_t most) {
  if (value >= 1 && value <= most) return absl::OkStatus();
  return Invalid(name, " is ", value, ", not a number from 1 to ", most);
}

// Rows of `values` values of a matrix.
absl::Status CheckRows(const char* name, TensorType type, uint64_t values) {
  if (FindTypeInfo(type) == nullptr) {
    return Invalid(name, " is of the unknown element type ", static_cast<uint32_t>(type));
  }
  const absl::Status status = RowBytes(type, values).status();
  return status.ok() ? status : Invalid(name, ": ", status.message());
}

absl::Status CheckConstant(const char* name, float value) {
  return std::isfinite(value) ? absl::OkStatus() : Invalid(name, " is ", value, ", not a finite number");
}

absl::Status CheckCounts(const FfnLayerSpec& spec) {
  HEARTH_RETURN_IF_ERROR(CheckCount("n_embd", spec.n_embd, kMaxEmbedding));
  HEARTH_RETURN_IF_ERROR(
      CheckCount("block_neurons: the number of blocks", spec.block_neurons.size(), kMaxBlocks));
  for (const uint32_t neurons : spec.block_neurons) {
    HEARTH_RETURN_IF_ERROR(CheckCount("block_neurons: a block's size", neurons, kMaxNeurons));
  }
  if (spec.predictor_rank > kMaxPredictorRank) {
    return Invalid("predictor_rank is ", spec.predictor_rank, ", more than ", kMaxPredictorRank);
  }
  for (const uint32_t rank : {spec.gate_rank, spec.up_rank, spec.down_rank}) {
    if (rank > kMaxAdapterRank) return Invalid("an adapter of rank ", rank, ", more than ", kMaxAdapterRank);
  }
  return absl::OkStatus();
}

absl::Status CheckConstants(const FfnLayerSpec& spec) {
  const ActivationParameters& activation = spec.activation_parameters;
  for (const float value : {activation.alpha, activation.limit, activation.xielu_alpha_p,
                            activation.xielu_alpha_n, activation.xielu_beta, activation.xielu_eps}) {
    HEARTH_RETURN_IF_ERROR(CheckConstant("a constant of the activation", value));
  }
  for (const float value : {spec.gate_scale, spec.up_scale, spec.down_scale}) {
    HEARTH_RETURN_IF_ERROR(CheckConstant("the scale of a matrix", value));
  }
  HEARTH_RETURN_IF_ERROR(CheckConstant("normalize_epsilon", spec.normalize_epsilon));
  if (spec.normalize_epsilon < 0)
    return Invalid("normalize_epsilon is ", spec.normalize_epsilon, ", below 0");
  return CheckConstant("sparse_threshold", spec.sparse_threshold);
}

absl::Status CheckCombinations(const FfnLayerSpec& spec) {
  if (spec.activation < Activation::kSilu || spec.activation > Activation::kSwigluOai) {
    return Invalid("activation: unknown value ", static_cast<int>(spec.activation));
  }
  if (!spec.up.present || !spec.down.present) return Invalid("the matrices up and down are needed");
  if (!spec.gate.present) {
    if (spec.activation == Activation::kSwigluOai) return Unknown("SWIGLU_OAI and no gate");
    if (spec.gate_bias) return Unknown("a bias of the gate and no gate");
    if (spec.relu_up) return Unknown("ReLU on up and no gate");
    if (spec.gate_rank > 0) return Unknown("an adapter of the gate and no gate");
  }
  if (spec.has_adapter()) {
    if (spec.neuron_major) return Unknown("down stored by neuron and a LoRA adapter");
    if (spec.normalize_hidden) return Unknown("a norm of its neurons and a LoRA adapter");
    if (spec.block_neurons.size() > 1) return Unknown("several blocks and a LoRA adapter");
    if (spec.predictor_rank > 0) return Unknown("a predictor and a LoRA adapter");
  }
  if (spec.normalize_hidden && spec.neuron_major)
    return Unknown("down stored by neuron and a norm of its neurons");
  if (spec.normalize_hidden && spec.block_neurons.size() > 1)
    return Unknown("several blocks and a norm of its neurons");
  if (spec.predictor_rank > 0 && spec.block_neurons.size() > 1)
    return Unknown("several blocks and a predictor");
  return absl::OkStatus();
}

// The types of one block, in rows as the file has them.
absl::Status CheckTypes(const FfnLayerSpec& spec, uint32_t block) {
  if (spec.gate.present) HEARTH_RETURN_IF_ERROR(CheckRows("gate", spec.gate_type(block), spec.n_embd));
  HEARTH_RETURN_IF_ERROR(CheckRows("up", spec.up_type(block), spec.n_embd));
  return CheckRows("down", spec.down_type(block),
                   spec.neuron_major ? spec.n_embd : spec.block_neurons[block]);
}

}  // namespace

std::string_view SparsityModeName(SparsityMode mode) {
  switch (mode) {
    case SparsityMode::kDense:
      return "dense";
    case SparsityMode::kExact:
      return "exact";
    case SparsityMode::kPredicted:
      return "predicted";
  }
  return "unknown";
}

absl::Status CheckFfnSpec(const FfnLayerSpec& spec) {
  HEARTH_RETURN_IF_ERROR(CheckCounts(spec));
  HEARTH_RETURN_IF_ERROR(CheckConstants(spec));
  HEARTH_RETURN_IF_ERROR(CheckCombinations(spec));
  for (uint32_t block = 0; block < spec.block_neurons.size(); ++block) {
    HEARTH_RETURN_IF_ERROR(CheckTypes(spec, block));
  }
  if (spec.predictor_rank > 0) return CheckRows("predictor", spec.predictor_type, spec.predictor_rank);
  return absl::OkStatus();
}

}  // namespace hearth
