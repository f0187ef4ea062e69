#ifndef HEARTH_PLACEMENT_MODEL_H_
#define HEARTH_PLACEMENT_MODEL_H_

#include <cstdint>
#include <vector>

#include "absl/status/status.h"

namespace hearth::placement {

// What the groups of a section are.
enum class GroupKind { kHeads, kNeurons, kOutput };
inline constexpr size_t kGroupKinds = 3;

// What a group costs: neurons of a layer, heads of a layer with their cache, or rows of the output head. Its
// weights are of two sorts: those that every token reads (for neurons the gate in exact sparsity, the
// predictor in predicted), and those that are read only for neurons that fire.
struct Group {
  uint64_t neurons = 0;  // 0 for other kinds
  uint64_t always_bytes = 0;
  uint64_t firing_bytes = 0;  // if all its neurons fire
  double frequency = 1;  // mean share of tokens for which a neuron of the group fires (an expert is chosen)
  // Operations per byte of weights: 2 per value, so 2 for 8-bit weights and about 4 for 4-bit ones.
  double operations_per_byte = 2;
  uint64_t cache_bytes = 0;     // memory besides the weights
  uint64_t resident_bytes = 0;  // of the weights, that are in memory wherever the rest is
  uint64_t returned_bytes = 0;  // that come back over a link for one token, besides the section's
  double cache_read_bytes = 0;  // of the cache, that a token reads in a context of usual length

  // What holding it takes.
  uint64_t memory_bytes() const { return always_bytes + firing_bytes + cache_bytes; }
  // Bytes that one token is expected to read.
  double expected_bytes() const {
    return static_cast<double>(always_bytes) + frequency * static_cast<double>(firing_bytes) +
           cache_read_bytes;
  }
};

// Which section of a model.
struct SectionName {
  GroupKind kind = GroupKind::kNeurons;
  uint32_t layer = 0;  // of the model; 0 for the output head

  bool operator==(const SectionName&) const = default;
};

// Work that devices do at the same time, each for its groups, until the leader has all results: a layer's
// attention (or whatever mixes its tokens), a layer's FFN, or the output head.
struct Section {
  std::vector<Group> groups;
  // What travels over a link for one token, whatever part of it a host holds: the section's input, and the
  // partial sum that comes back.
  uint64_t sent_bytes = 0;
  uint64_t returned_bytes = 0;
  SectionName name = {};
  bool stays_with_leader = false;  // no other host may take part
  bool cpu_only = false;           // GPUs cannot compute it
  bool on_disk = false;            // disks can hold groups of it
};

// A model as placement sees it.
struct Model {
  std::vector<Section> sections;  // in the order of computation
  // What the leader's first device holds besides groups: its weights and buffers.
  uint64_t leader_memory_bytes = 0;
  // What the leader reads and computes for each token outside the sections.
  uint64_t leader_bytes_per_token = 0;
  double leader_operations_per_token = 0;

  // Layers of the model that sections are of.
  uint32_t layers() const;
};

// Memory of all groups.
uint64_t GroupBytes(const Model& model);

// INVALID_ARGUMENT that names the section and group whose figures cannot be: no sections, frequencies outside
// [0, 1], figures that are not finite, sizes whose sum overflows.
absl::Status ValidateModel(const Model& model);

}  // namespace hearth::placement

#endif  // HEARTH_PLACEMENT_MODEL_H_
