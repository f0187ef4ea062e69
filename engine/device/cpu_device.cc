#include "engine/device/cpu_device.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {

CpuDevice::CpuDevice(std::string name, const ModelSpec& model, uint32_t max_rows, ThreadPool& pool)
    : name_(std::move(name)), pool_(pool), layers_(model.n_layers), step_(model, max_rows, pool) {
  counters_.neurons_computed.resize(model.n_layers);
  counters_.neurons_held.resize(model.n_layers);
}

void CpuDevice::AddFfn(uint32_t layer, std::shared_ptr<FfnPiece> piece) {
  layers_[layer].ffn.push_back(std::move(piece));
}

void CpuDevice::AddMixer(uint32_t layer, std::shared_ptr<MixerShard> piece) {
  step_.Reserve(piece->layer(), piece->rope_factors());
  layers_[layer].mixers.push_back(std::move(piece));
}

void CpuDevice::AddOutput(std::shared_ptr<OutputShard> piece) { outputs_.push_back(std::move(piece)); }

bool CpuDevice::empty() const {
  return outputs_.empty() && std::all_of(layers_.begin(), layers_.end(), [](const LayerPieces& layer) {
           return layer.ffn.empty() && layer.mixers.empty();
         });
}

uint64_t CpuDevice::weight_bytes() const {
  uint64_t bytes = 0;
  for (const LayerPieces& layer : layers_) {
    for (const auto& piece : layer.ffn) bytes += piece->shard->weight_bytes();
    for (const auto& piece : layer.mixers) bytes += piece->weight_bytes();
  }
  for (const auto& piece : outputs_) bytes += piece->weight_bytes();
  return bytes;
}

uint64_t CpuDevice::kv_bytes() const {
  uint64_t bytes = 0;
  for (const LayerPieces& layer : layers_) {
    for (const auto& piece : layer.mixers) bytes += piece->kv_bytes();
  }
  return bytes;
}

void CpuDevice::AddPieces(std::map<const void*, uint64_t>& pieces) const {
  for (const LayerPieces& layer : layers_) {
    for (const auto& piece : layer.ffn) pieces[piece.get()] = piece->shard->weight_bytes();
    for (const auto& piece : layer.mixers) pieces[piece.get()] = piece->weight_bytes() + piece->kv_bytes();
  }
  for (const auto& piece : outputs_) pieces[piece.get()] = piece->weight_bytes();
}

bool CpuDevice::Holds(Work work, uint32_t layer) const {
  if (work == Work::kOutput) return !outputs_.empty();
  if (layer >= layers_.size()) return false;
  return work == Work::kMix ? !layers_[layer].mixers.empty() : !layers_[layer].ffn.empty();
}

Ticket CpuDevice::Submit(const Request& request) {
  HEARTH_CHECK(Holds(WorkOf(request), LayerOf(request)));
  ++submitted_;
  requests_[submitted_ % kMaxInFlight] = request;
  return submitted_;
}

absl::Status CpuDevice::Collect(Ticket ticket, absl::Span<int64_t> sums) {
  HEARTH_CHECK(ticket <= submitted_ && submitted_ - ticket < kMaxInFlight);
  return std::visit([&](const auto& request) { return Compute(request, sums); },
                    requests_[ticket % kMaxInFlight]);
}

absl::Status CpuDevice::Compute(const MixRequest& request, absl::Span<int64_t> sums) {
  step_.Begin(request.step, request.rows);
  const uint64_t before = step_.work.bytes_touched;
  for (const std::shared_ptr<MixerShard>& piece : layers_[request.layer].mixers) {
    HEARTH_RETURN_IF_ERROR(piece->Run(request.x, step_, sums));
  }
  MutexLock lock(&mutex_);
  counters_.bytes_touched += step_.work.bytes_touched - before;
  return absl::OkStatus();
}

absl::Status CpuDevice::Compute(const FfnRequest& request, absl::Span<int64_t> sums) {
  ShardWork work;
  uint64_t neurons = 0;
  for (const std::shared_ptr<FfnPiece>& piece : layers_[request.layer].ffn) {
    const ShardWork done = piece->shard->Run(request, pool_, sums);
    work.neurons_computed += done.neurons_computed;
    work.bytes_touched += done.bytes_touched;
    neurons += piece->shard->neurons();
  }
  MutexLock lock(&mutex_);
  counters_.neurons_computed[request.layer] += work.neurons_computed;
  counters_.neurons_held[request.layer] += neurons * request.rows;
  counters_.bytes_touched += work.bytes_touched;
  return absl::OkStatus();
}

absl::Status CpuDevice::Compute(const OutputRequest& request, absl::Span<int64_t>) {
  const uint64_t before = step_.work.bytes_touched;
  for (const std::shared_ptr<OutputShard>& piece : outputs_) {
    piece->Run(request.x, request.rows, step_.work, request.logits, request.n_vocab);
  }
  MutexLock lock(&mutex_);
  counters_.bytes_touched += step_.work.bytes_touched - before;
  return absl::OkStatus();
}

absl::StatusOr<MixerShard*> CpuDevice::FindMixer(const KvRange& range) const {
  if (range.layer < layers_.size()) {
    for (const std::shared_ptr<MixerShard>& piece : layers_[range.layer].mixers) {
      const std::vector<uint32_t>& groups = piece->groups();
      if (std::find(groups.begin(), groups.end(), range.group) != groups.end()) return piece.get();
    }
  }
  return absl::InvalidArgumentError(
      absl::StrCat("device ", name_, " holds no head group ", range.group, " of layer ", range.layer));
}

absl::StatusOr<std::vector<uint8_t>> CpuDevice::ReadKv(const KvRange& range) {
  HEARTH_ASSIGN_OR_RETURN(MixerShard* const piece, FindMixer(range));
  return piece->ReadKv(range);
}

absl::Status CpuDevice::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(MixerShard* const piece, FindMixer(range));
  return piece->WriteKv(range, bytes);
}

DeviceCounters CpuDevice::counters() const {
  MutexLock lock(&mutex_);
  return counters_;
}

}  // namespace hearth
