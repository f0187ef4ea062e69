#include "engine/neuron/cpu_shard.h"

#include <utility>

#include "absl/status/status.h"
#include "engine/neuron/turn_down.h"

namespace hearth {
namespace {

// Which kind of shard gives this mode's result: rows where some neurons are skipped or stored one by one.
bool WantsSparseShard(const FfnLayerSpec& spec, SparsityMode mode) {
  if (spec.neuron_major) return true;
  if (spec.normalize_hidden) return false;  // needs all of h
  if (!CanTurnDown(spec)) return false;
  return mode == SparsityMode::kPredicted ? spec.predictor_rank > 0
                                          : mode == SparsityMode::kExact && spec.is_relu_family();
}

}  // namespace

absl::StatusOr<std::unique_ptr<CpuShard>> MakeCpuShard(const FfnLayerSpec& spec,
                                                       std::vector<GroupWeights> groups, SparsityMode mode,
                                                       ThreadPool& pool, Arithmetic arithmetic) {
  if (groups.empty()) return absl::InvalidArgumentError("a shard of a layer needs at least one neuron group");
  if (WantsSparseShard(spec, mode)) return MakeSparseShard(spec, std::move(groups), mode, pool);
  return MakeDenseShard(spec, std::move(groups), pool, arithmetic);
}

}  // namespace hearth
