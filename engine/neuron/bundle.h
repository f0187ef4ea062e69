#ifndef HEARTH_ENGINE_NEURON_BUNDLE_H_
#define HEARTH_ENGINE_NEURON_BUNDLE_H_

#include <cstdint>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/neuron_group.h"

namespace hearth {

// The weights of one neuron group as one run of bytes: what is sent to a host and kept in its cache. The
// parts follow one another in this order, each row in the file's own format.
enum class BundlePart : uint8_t {
  kGate,         // (neurons, n_embd)
  kUp,           // (neurons, n_embd)
  kDown,         // neuron_major: (neurons, n_embd); else (n_embd, neurons)
  kPredictor,    // fc2: (neurons, rank)
  kGateBias,     // float32 (neurons)
  kUpBias,       // float32 (neurons)
  kNeuronScale,  // float32 (neurons)
  kDownBias,     // float32 (n_embd); only in the first group of a block
  kGateAdapter,  // float32 (neurons, gate_rank)
  kUpAdapter,    // float32 (neurons, up_rank)
  kDownAdapter,  // float32 (down_rank, neurons)
};

struct BundleEntry {
  BundlePart part;
  TensorType type;
  uint64_t rows = 0;
  uint64_t cols = 0;
  uint64_t offset = 0;  // bytes from the start of the bundle, a multiple of 64
  uint64_t bytes = 0;
};

struct BundleLayout {
  std::vector<BundleEntry> entries;
  uint64_t bytes = 0;

  // Null where the bundle has no such part.
  const BundleEntry* Find(BundlePart part) const;
};

// The layout of a group with `neurons` neurons; `spec` has passed CheckFfnSpec. INVALID_ARGUMENT when the
// block or the count cannot be (they may come from a peer): zero, more than the block has, no multiple of the
// alignment.
absl::StatusOr<BundleLayout> MakeBundleLayout(const FfnLayerSpec& spec, uint32_t block, uint32_t neurons,
                                              bool first_of_block);

// Whether `group` is the one that carries its block's down_bias: it holds neuron 0.
bool IsFirstOfBlock(const NeuronGroup& group);

// The layout of `group`. The same errors.
absl::StatusOr<BundleLayout> MakeBundleLayout(const FfnLayerSpec& spec, const NeuronGroup& group);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_BUNDLE_H_
