#include "daemon/weights/shard_device.h"

#include <utility>

#include "engine/base/check.h"

namespace hearth {

ShardDevice::ShardDevice(std::string name, ThreadPool& pool, uint32_t layers)
    : name_(std::move(name)), pool_(pool), pieces_(layers) {
  counters_.neurons_computed.resize(layers);
  counters_.neurons_held.resize(layers);
}

void ShardDevice::AddPiece(uint32_t layer, std::shared_ptr<ShardPiece> piece) {
  HEARTH_CHECK(layer < pieces_.size());
  pieces_[layer].push_back(std::move(piece));
}

uint64_t ShardDevice::weight_bytes() const {
  uint64_t bytes = 0;
  for (const auto& layer : pieces_) {
    for (const auto& piece : layer) bytes += piece->shard->weight_bytes();
  }
  return bytes;
}

absl::Status ShardDevice::Submit(const FfnRequest& request) {
  HEARTH_CHECK(HoldsLayer(request.layer));
  request_ = request;
  return absl::OkStatus();
}

absl::Status ShardDevice::Collect(absl::Span<int64_t> sums) {
  MutexLock lock(&mutex_);
  for (const auto& piece : pieces_[request_.layer]) {
    const ShardWork work = piece->shard->Run(request_, pool_, sums);
    counters_.neurons_computed[request_.layer] += work.neurons_computed;
    counters_.neurons_held[request_.layer] += piece->shard->neurons() * request_.rows;
    counters_.bytes_touched += work.bytes_touched;
  }
  return absl::OkStatus();
}

FfnCounters ShardDevice::counters() const {
  MutexLock lock(&mutex_);
  return counters_;
}

}  // namespace hearth
