#ifndef HEARTH_ENGINE_ATTENTION_MIXER_SHARD_H_
#define HEARTH_ENGINE_ATTENTION_MIXER_SHARD_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/attention/decoder_options.h"
#include "engine/attention/head_groups.h"
#include "engine/attention/kv_cache.h"
#include "engine/attention/mix_step.h"
#include "engine/attention/mixer_weights.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/spec/spec.h"
#include "engine/weights/unit.h"

namespace hearth {

// Positions [begin, end) of a sequence in the KV cache of one head group.
struct KvRange {
  uint32_t layer = 0;
  uint32_t group = 0;  // number of the head group in its layer
  uint32_t sequence = 0;
  uint32_t begin = 0;
  uint32_t end = 0;
};

// A number that no cache of this process has yet; never 0.
uint64_t NextCacheId();

// What a CPU holds of one layer's mixer: the weights of some head groups and their KV cache. Each group's
// part of the output projection is a float32 sum of its own, and the groups' sums are added in fixed point:
// so the result has the same bits however the groups lie on devices. Used by one thread at a time.
class MixerShard {
 public:
  // `groups` (rising numbers of the layer's `all_groups`) with their weights, one unit each, in this order.
  // `model` outlives the shard; `pool` is for loading. INVALID_ARGUMENT when weights do not fit the model,
  // RESOURCE_EXHAUSTED without memory for weights or cache.
  static absl::StatusOr<std::unique_ptr<MixerShard>> Load(const ModelSpec& model, uint32_t layer,
                                                          absl::Span<const HeadGroup> all_groups,
                                                          std::vector<uint32_t> groups,
                                                          absl::Span<const UnitWeights> weights,
                                                          const DecoderOptions& options,
                                                          Arithmetic arithmetic, ThreadPool& pool);

  // Adds the groups' part of the mixer's result for the rows that `step` has begun, to sums, (rows, n_embd);
  // with an adapter of the output projection (rows, n_embd + rank), A x behind each row. `input`: (rows,
  // n_embd). `step` has reserved layer() (MixStep::Reserve). INVALID_ARGUMENT for places that the cache does
  // not have, or that do not follow the state that it has, and where adapters' values are missing (they may
  // come from a peer).
  absl::Status Run(const float* input, MixStep& step, absl::Span<int64_t> sums);

  // Numbers of the layer's head groups that it holds, rising.
  const std::vector<uint32_t>& groups() const { return groups_; }
  // The layer narrowed to the groups, and the factors of its rope.
  const LayerSpec& layer() const { return layer_; }
  absl::Span<const float> rope_factors() const { return weights_.rope_factors; }
  uint64_t weight_bytes() const { return weight_bytes_; }
  uint64_t kv_bytes() const { return kv_bytes_; }
  // What tells this cache from all others of the process; never 0.
  uint64_t cache_id() const { return cache_id_; }

  // The cached positions of a group as bytes that WriteKv of another shard of the same model, cache type and
  // group takes. INVALID_ARGUMENT for a range or a size that cannot be, UNIMPLEMENTED for recurrent state.
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) const;
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes);

 private:
  MixerShard(const ModelSpec& model, LayerSpec layer, std::vector<uint32_t> groups, MixerWeights weights,
             KvLayer cache);
  absl::Status CheckRows(absl::Span<const RowPlace> rows) const;
  // The KV heads of a range's group within this shard's cache.
  absl::StatusOr<HeadGroup> FindHeads(const KvRange& range) const;

  const ModelSpec& model_;
  const LayerSpec layer_;
  const std::vector<uint32_t> groups_;
  std::vector<HeadGroup> held_;        // where each group's KV heads lie in the cache
  std::vector<uint32_t> group_ends_;   // columns of the output projection
  std::optional<TensorSet> borrowed_;  // what weights_ reads of the tensors' own bytes
  MixerWeights weights_;
  KvLayer cache_;
  const uint64_t cache_id_;
  uint32_t context_length_ = 0;
  uint32_t sequences_ = 0;
  uint64_t weight_bytes_ = 0;
  uint64_t kv_bytes_ = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_ATTENTION_MIXER_SHARD_H_
