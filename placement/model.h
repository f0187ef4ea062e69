#ifndef HEARTH_PLACEMENT_MODEL_H_
#define HEARTH_PLACEMENT_MODEL_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace hearth::placement {

// What a neuron group costs. Its weights are of two sorts: those that every token reads (the gate in exact
// sparsity, the predictor in predicted), and those that are read only for neurons that fire.
struct Group {
  uint64_t neurons = 0;
  uint64_t always_bytes = 0;
  uint64_t firing_bytes = 0;  // if all its neurons fire
  double frequency = 1;  // mean share of tokens for which a neuron of the group fires (an expert is chosen)
  // Operations per byte of weights: 2 per value, so 2 for 8-bit weights and about 4 for 4-bit ones.
  double operations_per_byte = 2;

  uint64_t memory_bytes() const { return always_bytes + firing_bytes; }
  // Bytes that one token is expected to read.
  double expected_bytes() const {
    return static_cast<double>(always_bytes) + frequency * static_cast<double>(firing_bytes);
  }
};

struct Layer {
  std::vector<Group> groups;
  // What travels over a link for one token: the layer's input, and the partial sum that comes back.
  uint64_t sent_bytes = 0;
  uint64_t returned_bytes = 0;
};

// A model as placement sees it.
struct Model {
  std::vector<Layer> layers;
  // What the leader's first device holds besides neuron groups: its weights, KV cache, buffers.
  uint64_t leader_memory_bytes = 0;
  // What the leader reads and computes for each token outside the FFNs.
  uint64_t leader_bytes_per_token = 0;
  double leader_operations_per_token = 0;
};

// Memory of all neuron groups.
uint64_t GroupBytes(const Model& model);

// INVALID_ARGUMENT that names the layer and group whose figures cannot be: no layers, frequencies outside [0,
// 1], figures that are not finite, sizes whose sum overflows.
absl::Status ValidateModel(const Model& model);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_MODEL_H_
