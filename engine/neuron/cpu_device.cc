#include "engine/neuron/cpu_device.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/neuron/cpu_shard.h"

namespace hearth {

CpuDevice::CpuDevice(std::string name, ThreadPool& pool, uint32_t layers, SparsityMode mode,
                     Arithmetic arithmetic)
    : name_(std::move(name)), pool_(pool), mode_(mode), arithmetic_(arithmetic), shards_(layers) {
  counters_.neurons_computed.resize(layers);
  counters_.neurons_held.resize(layers);
}

CpuDevice::~CpuDevice() = default;

absl::Status CpuDevice::LoadLayer(uint32_t layer, const FfnLayerSpec& spec,
                                  std::vector<GroupWeights> groups) {
  if (layer >= shards_.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("layer ", layer, " of a model with ", shards_.size(), " layers"));
  }
  HEARTH_ASSIGN_OR_RETURN(shards_[layer], MakeCpuShard(spec, std::move(groups), mode_, pool_, arithmetic_));
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
