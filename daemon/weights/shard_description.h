#ifndef HEARTH_DAEMON_WEIGHTS_SHARD_DESCRIPTION_H_
#define HEARTH_DAEMON_WEIGHTS_SHARD_DESCRIPTION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "daemon/weights/sha256.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/neuron_group.h"

namespace hearth {

// A neuron group and which device of a host holds it.
struct PlacedGroup {
  std::string device;
  NeuronGroup group;
  Sha256Digest sha256{};  // of its bundle; zeros on the coordinator's own host, which needs none
  uint64_t bytes = 0;     // of its bundle
};

struct ShardLayer {
  uint32_t layer = 0;
  FfnLayerSpec spec;
  std::vector<PlacedGroup> groups;  // not empty
};

// Which neurons of a model one host holds under one plan: hearth.v1.Shard as a struct.
struct ShardDescription {
  uint64_t epoch = 0;
  std::string model;         // name
  std::string model_digest;  // "sha256:..."
  SparsityMode sparsity = SparsityMode::kDense;
  uint32_t layers = 0;  // of the model
  uint32_t max_rows = 0;
  std::vector<ShardLayer> shares;  // rising layers

  uint64_t bytes() const;
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SHARD_DESCRIPTION_H_
