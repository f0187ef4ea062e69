#ifndef HEARTH_ENGINE_NEURON_CPU_SHARD_H_
#define HEARTH_ENGINE_NEURON_CPU_SHARD_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/neuron/disk_neurons.h"
#include "engine/neuron/ffn_request.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/firing_counter.h"
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

  // Adds the partial sums of the held groups to sums, (request.rows, spec.output_values()). DATA_LOSS when
  // neurons could not be read from the disk where they are.
  virtual absl::StatusOr<ShardWork> Run(const FfnRequest& request, ThreadPool& pool,
                                        absl::Span<int64_t> sums) = 0;
  // Told before Run what it may be asked for, a guess: neurons on the disk begin to be read.
  virtual void Expect(const FfnRequest& request, ThreadPool& pool) {}
  virtual uint64_t weight_bytes() const = 0;
  // Neurons held, over all blocks.
  virtual uint64_t neurons() const = 0;
  // What it has seen of how often they fire, by group in the order in which it was given them; none where it
  // skips nothing and of experts. Of any thread.
  virtual FiringShares firing() const { return {}; }
};

// The mode in which a layer is computed where `mode` is wanted: predicted with a predictor, exact where a
// ReLU tells which neurons fire, else dense; with a LoRA adapter dense, which has the results of exact.
SparsityMode LayerSparsity(const FfnLayerSpec& spec, SparsityMode mode);
// Whether every token reads all rows of a part of a block that it uses, where `mode` is wanted.
bool ReadsAllOf(const FfnLayerSpec& spec, uint32_t block, BundlePart part, SparsityMode mode);

// The shard of whichever kind suits spec and mode. The groups' layouts are those of the same spec (CHECK).
// `pool` is used for loading only. INVALID_ARGUMENT without groups, RESOURCE_EXHAUSTED without memory for
// them.
absl::StatusOr<std::unique_ptr<CpuShard>> MakeCpuShard(const FfnLayerSpec& spec,
                                                       std::vector<GroupWeights> groups, SparsityMode mode,
                                                       ThreadPool& pool, Arithmetic arithmetic);

// A shard for whole matrices: every neuron is computed, groups of a block are joined to one matrix each for
// gate, up and down. Same errors.
absl::StatusOr<std::unique_ptr<CpuShard>> MakeDenseShard(const FfnLayerSpec& spec,
                                                         std::vector<GroupWeights> groups, ThreadPool& pool,
                                                         Arithmetic arithmetic);

// A shard that skips neurons: those that the predictor does not keep are not looked at; of those whose first
// value (the gate's or, without one, up's) a ReLU makes zero neither up nor, where it lies by neuron or can
// be turned (down_rows.h), `down` is read. What is skipped is zero, and every sum is made as the dense shard
// makes it: without a predictor the result has the same bits, but for `down` stored by neuron, which has no
// dense shard. Rows are computed with a prediction or without one as the request says, so that their results
// depend neither on other rows nor on threads. Same errors.
absl::StatusOr<std::unique_ptr<CpuShard>> MakeSparseShard(const FfnLayerSpec& spec,
                                                          std::vector<GroupWeights> groups, SparsityMode mode,
                                                          ThreadPool& pool, Arithmetic arithmetic);

// A sparse shard of neurons that stay on the disk (also in dense mode, where all of them fire): in memory are
// predictors, what every token reads whole, and the records in the cache. It works on some groups at a time,
// while the records of those that follow are read. The bits are those of MakeCpuShard. The groups are of a
// packed file; the cache is opened after the last shard has been made. INVALID_ARGUMENT for other groups, and
// the same errors.
absl::StatusOr<std::unique_ptr<CpuShard>> MakeDiskShard(const FfnLayerSpec& spec,
                                                        std::vector<GroupWeights> groups, SparsityMode mode,
                                                        ThreadPool& pool, Arithmetic arithmetic,
                                                        std::shared_ptr<DiskNeurons> disk);

// Bytes of the matrices of a neuron of that block which MakeDiskShard leaves on the disk.
uint64_t BytesOnDisk(const FfnLayerSpec& spec, uint32_t block, SparsityMode mode, Arithmetic arithmetic);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_CPU_SHARD_H_
