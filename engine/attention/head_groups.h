#ifndef HEARTH_ENGINE_ATTENTION_HEAD_GROUPS_H_
#define HEARTH_ENGINE_ATTENTION_HEAD_GROUPS_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/spec/spec.h"
#include "engine/weights/tensor_set.h"
#include "engine/weights/unit.h"

namespace hearth {

// KV heads that are placed together, with the query heads that share them, their columns of the output
// projection and their part of the KV cache. What mixes tokens in another way than by heads (latent
// attention, convolutions), or normalises all heads as one vector, is one group of everything.
struct HeadGroup {
  uint32_t first_kv_head = 0;
  uint32_t kv_heads = 0;

  bool operator==(const HeadGroup&) const = default;
};

// Cuts a layer's mixer into groups: as few KV heads each as whole blocks of the output projection allow. The
// result depends on the model alone. `output_type` is that of the projection's weights. Without heads (a
// convolution): one group {0, 1}.
std::vector<HeadGroup> MakeHeadGroups(const LayerSpec& layer, TensorType output_type);

// The tensor that holds the layer's output projection ("blk.3.attn_output.weight").
std::string MixerOutputTensor(const LayerSpec& layer, uint32_t index);

// The weights of one group as slices of the model's tensors. `tensors` are all of the model's; those that a
// file may lack are left out. INVALID_ARGUMENT when one that is needed is missing.
absl::StatusOr<UnitParts> HeadGroupParts(const ModelSpec& model, uint32_t layer, const HeadGroup& group,
                                         const TensorSet& tensors);

// The layer as it is for these groups alone (rising): as many heads as they have.
LayerSpec NarrowToGroups(const LayerSpec& layer, absl::Span<const HeadGroup> groups);

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_HEAD_GROUPS_H_
