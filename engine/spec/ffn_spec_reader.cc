#include "engine/spec/ffn_spec_reader.h"

#include <algorithm>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"

namespace hearth {
namespace {

// Files may say that their gate is another one than their architecture's: PowerInfer files always have ReLU.
Activation ReadActivation(const ArchitectureMetadata& metadata, const GgufFile& file, Activation otherwise) {
  const std::string name = metadata.StringOr("hearth.ffn_activation", file.is_powerinfer() ? "relu" : "");
  if (name.empty()) return otherwise;
  if (name == "relu") return Activation::kRelu;
  if (name == "silu") return Activation::kSilu;
  metadata.Fail(absl::UnimplementedError(
      absl::StrCat("hearth.ffn_activation is \"", Printable(name), "\"; supported: relu, silu")));
  return otherwise;
}

bool IsMoe(const ArchitectureMetadata& metadata, const Architecture& architecture, uint32_t layer) {
  if (metadata.SizeOr("expert_count", 0) == 0) return false;
  const uint32_t step = std::max(1u, metadata.SizeOr("interleave_moe_layer_step", 1));
  const bool dense =
      !architecture.experts_everywhere && layer < metadata.SizeOr("leading_dense_block_count", 0);
  return !dense && (layer + 1) % step == 0;
}

Gating ReadGating(const ArchitectureMetadata& metadata, Gating otherwise) {
  switch (metadata.SizeOr("expert_gating_func", 0)) {
    case 0:
      return otherwise;
    case 1:
      return Gating::kSoftmax;
    case 2:
      return Gating::kSigmoid;
    case 3:
      return Gating::kSoftmaxOfChosen;
    default:
      metadata.Fail(absl::UnimplementedError(
          "expert_gating_func is unknown; supported: 1 (softmax), 2 (sigmoid), 3 (softmax of the chosen)"));
      return otherwise;
  }
}

RouterSpec ReadRouter(const ArchitectureMetadata& metadata, const Architecture& architecture) {
  RouterSpec router;
  router.experts = metadata.Size("expert_count");
  router.chosen = metadata.Size("expert_used_count");
  router.gating = ReadGating(metadata, architecture.gating);
  router.normalize = metadata.BoolOr("expert_weights_norm", architecture.normalize_expert_weights);
  router.scale = metadata.FloatOr("expert_weights_scale", 1);
  if (router.scale == 0) router.scale = 1;
  router.groups = std::max(1u, metadata.SizeOr("expert_group_count", 1));
  router.groups_used = std::max(1u, metadata.SizeOr("expert_group_used_count", 1));
  router.input = architecture.router_input;
  router.weight_on_input = architecture.weight_on_input;
  if (router.chosen > router.experts || router.experts % router.groups != 0 ||
      router.groups_used > router.groups ||
      router.chosen > router.experts / router.groups * router.groups_used) {
    metadata.Fail(absl::InvalidArgumentError(
        absl::StrCat("cannot choose ", router.chosen, " of ", router.experts, " experts from ",
                     router.groups_used, " of ", router.groups, " groups")));
  }
  return router;
}

// Neurons of the expert that every token uses.
uint32_t SharedWidth(const ArchitectureMetadata& metadata, const Architecture& architecture,
                     uint32_t expert_width) {
  const uint32_t width = metadata.SizeOr("expert_shared_feed_forward_length", 0);
  if (width > 0) return width;
  const uint64_t count = metadata.SizeOr("expert_shared_count", architecture.shared_expert ? 1 : 0);
  if (count * expert_width <= INT32_MAX) return static_cast<uint32_t>(count * expert_width);
  metadata.Fail(absl::InvalidArgumentError("expert_shared_count is more than any model has"));
  return 0;
}

void ReadExperts(const ArchitectureMetadata& metadata, const Architecture& architecture, uint32_t width,
                 FfnSpec& ffn) {
  ffn.router = ReadRouter(metadata, architecture);
  const uint32_t expert_width = metadata.SizeOr("expert_feed_forward_length", 0);
  ffn.neurons = expert_width > 0 && !architecture.experts_of_full_width ? expert_width : width;
  ffn.shared_neurons = SharedWidth(metadata, architecture, ffn.neurons);
  ffn.shared_gate = architecture.shared_gate && ffn.shared_neurons > 0;
  if (ffn.neurons == 0) {
    metadata.Fail(
        absl::InvalidArgumentError("the file gives no width of its experts (expert_feed_forward_length)"));
  }
}

// The profile's predictor before the file's own. Linear ones read what the network itself reads.
void ReadPredictor(const ArchitectureMetadata& metadata, const GgufFile& file, const GgufFile* profile,
                   uint32_t layer, FfnSpec& ffn) {
  const std::string name = absl::StrCat("blk.", layer, ".fc1.weight");
  const bool of_profile = profile != nullptr && profile->FindTensor(name) != nullptr;
  const GgufFile& source = of_profile ? *profile : file;
  const GgufTensor* fc1 = source.FindTensor(name);
  if (fc1 == nullptr) return;
  ffn.predictor_rank = static_cast<uint32_t>(std::min<uint64_t>(fc1->ne[1], UINT32_MAX));
  const std::string key = absl::StrCat("hearth.predictor.", layer);
  const absl::StatusOr<std::optional<std::string>> kind = source.metadata().GetString(key);
  if (kind.ok() && !*kind) return;
  if (!kind.ok() || **kind != "linear") {
    return metadata.Fail(absl::UnimplementedError(
        absl::StrCat(key, " is of no kind that is known (linear); make the predictors again")));
  }
  ffn.predictor_linear = true;
  ffn.predictor_input = FfnSideInput::kNormed;
}

}  // namespace

FfnSpec ReadFfnSpec(const ArchitectureMetadata& metadata, const GgufFile& file, const GgufFile* profile,
                    const Architecture& architecture, uint32_t layer, uint32_t width) {
  FfnSpec ffn;
  ffn.activation = ReadActivation(metadata, file, architecture.activation);
  ffn.gated = architecture.gated;
  ffn.relu_up = architecture.relu_up;
  ffn.hidden_norm = architecture.hidden_norm;
  ffn.predictor_input = architecture.predictor_input;
  if (IsMoe(metadata, architecture, layer)) {
    ReadExperts(metadata, architecture, width, ffn);
    return ffn;
  }
  ffn.neurons = width;
  ffn.present = width > 0;
  ReadPredictor(metadata, file, profile, layer, ffn);
  return ffn;
}

}  // namespace hearth
