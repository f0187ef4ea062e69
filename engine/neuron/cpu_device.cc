#include "engine/neuron/cpu_device.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/cpu_shard.h"
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

absl::StatusOr<std::unique_ptr<CpuShard>> MakeCpuShard(const FfnLayerSpec& spec, std::vector<NeuronGroup> groups,
                                                       std::vector<std::vector<uint8_t>> bundles, SparsityMode mode,
                                                       ThreadPool& pool, Arithmetic arithmetic) {
  if (groups.size() != bundles.size() || groups.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(groups.size(), " neuron groups with ", bundles.size(), " bundles of weights"));
  }
  std::vector<LoadedGroup> loaded;
  loaded.reserve(groups.size());
  for (size_t i = 0; i < groups.size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(LoadedGroup group,
                            MakeLoadedGroup(spec, std::move(groups[i]), std::move(bundles[i])));
    loaded.push_back(std::move(group));
  }
  if (WantsSparseShard(spec, mode)) return MakeSparseShard(spec, std::move(loaded), mode);
  return MakeDenseShard(spec, std::move(loaded), pool, arithmetic);
}

CpuDevice::CpuDevice(std::string name, ThreadPool& pool, uint32_t layers, SparsityMode mode,
                     Arithmetic arithmetic)
    : name_(std::move(name)), pool_(pool), mode_(mode), arithmetic_(arithmetic), shards_(layers) {
  counters_.neurons_computed.resize(layers);
  counters_.neurons_held.resize(layers);
}

CpuDevice::~CpuDevice() = default;

absl::Status CpuDevice::LoadLayer(uint32_t layer, const FfnLayerSpec& spec, std::vector<NeuronGroup> groups,
                                  std::vector<std::vector<uint8_t>> bundles) {
  if (layer >= shards_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer ", layer, " of a model with ", shards_.size(), " layers"));
  }
  HEARTH_ASSIGN_OR_RETURN(
      shards_[layer], MakeCpuShard(spec, std::move(groups), std::move(bundles), mode_, pool_, arithmetic_));
  return absl::OkStatus();
}

void CpuDevice::DropLayer(uint32_t layer) {
  if (layer < shards_.size()) shards_[layer].reset();
}

uint64_t CpuDevice::weight_bytes() const {
  uint64_t bytes = 0;
  for (const auto& shard : shards_) bytes += shard ? shard->weight_bytes() : 0;
  return bytes;
}

bool CpuDevice::HoldsLayer(uint32_t layer) const {
  return layer < shards_.size() && shards_[layer] != nullptr;
}

absl::Status CpuDevice::Submit(const FfnRequest& request) {
  HEARTH_CHECK(HoldsLayer(request.layer));
  request_ = request;
  return absl::OkStatus();
}

absl::Status CpuDevice::Collect(absl::Span<int64_t> sums) {
  CpuShard& shard = *shards_[request_.layer];
  const ShardWork work = shard.Run(request_, pool_, sums);
  counters_.neurons_computed[request_.layer] += work.neurons_computed;
  counters_.neurons_held[request_.layer] += shard.neurons() * request_.rows;
  counters_.bytes_touched += work.bytes_touched;
  return absl::OkStatus();
}

FfnCounters CpuDevice::counters() const { return counters_; }

}  // namespace hearth
