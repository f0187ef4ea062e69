#ifndef HEARTH_ENGINE_NEURON_CPU_SHARD_H_
#define HEARTH_ENGINE_NEURON_CPU_SHARD_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/neuron/ffn_request.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/group_weights.h"

namespace hearth {

// What one call of a shard did.
struct ShardWork {
  uint64_t neurons_computed = 0;  // summed over rows
  uint64_t bytes_touched = 0;
};

// What a CPU holds of one layer, in the form its kernels want.
class CpuShard {
 public:
  virtual ~CpuShard() = default;

  // Adds the partial sums of the held groups to sums, (request.rows, spec.output_values()).
  virtual ShardWork Run(const FfnRequest& request, ThreadPool& pool, absl::Span<int64_t> sums) = 0;
  virtual uint64_t weight_bytes() const = 0;
  // Neurons held, over all blocks.
  virtual uint64_t neurons() const = 0;
};

// The shard of whichever kind suits spec and mode. The groups' layouts are those of the same spec (CHECK).
// `pool` is used for loading only. INVALID_ARGUMENT without groups, RESOURCE_EXHAUSTED without memory for
// them.
absl::StatusOr<std::unique_ptr<CpuShard>> MakeCpuShard(const FfnLayerSpec& spec,
                                                       std::vector<GroupWeights> groups, SparsityMode mode,
                                                       ThreadPool& pool, Arithmetic arithmetic);

// A shard for whole matrices: every neuron is computed, groups of a block are joined to one matrix each for
// gate, up and down. For kDense, and for kExact where `down` cannot be read by neuron.
absl::StatusOr<std::unique_ptr<CpuShard>> MakeDenseShard(const FfnLayerSpec& spec,
                                                         std::vector<GroupWeights> groups, ThreadPool& pool,
                                                         Arithmetic arithmetic);

// A shard that works neuron by neuron on the file's rows and skips those that do not fire. `down` must be
// stored by neuron or be one that CanTurnDown (turn_down.h).
std::unique_ptr<CpuShard> MakeSparseShard(const FfnLayerSpec& spec, std::vector<GroupWeights> groups,
                                          SparsityMode mode, ThreadPool& pool);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_CPU_SHARD_H_
