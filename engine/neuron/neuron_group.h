#ifndef HEARTH_ENGINE_NEURON_NEURON_GROUP_H_
#define HEARTH_ENGINE_NEURON_NEURON_GROUP_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "engine/neuron/ffn_spec.h"

namespace hearth {

// Neurons of one block of one layer that are placed together: the unit of placement, of transfer and of
// summation.
struct NeuronGroup {
  uint32_t block = 0;
  std::vector<uint32_t> neurons;  // ids within the block, in the order of computation
  float frequency = 1;            // mean share of tokens for which a neuron of the group fires
};

// Cuts a layer into groups. The result depends on the model and its profile alone, never on devices, so that
// sums over groups are the same for every plan. Dense blocks give at most `max_groups` groups per block
// (wider where the type's alignment wants it, or whole strips of the kernels for large layers); where neurons
// can be placed freely (neuron_alignment() == 1) and a profile is given they are sorted by falling frequency
// first, so that a group is hot or cold as a whole. An expert of a MoE layer is one group. `frequencies`:
// empty, or one value per neuron of all blocks, block after block.
std::vector<NeuronGroup> MakeNeuronGroups(const FfnLayerSpec& spec, absl::Span<const float> frequencies,
                                          uint32_t max_groups = 32);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_NEURON_GROUP_H_
