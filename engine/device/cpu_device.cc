#include "engine/device/cpu_device.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/attention/mixer_shard.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/device/output_shard.h"
#include "engine/neuron/neuron_record.h"

namespace hearth {
namespace {

struct FfnPiece : UnitPiece {
  FfnPiece(std::vector<uint32_t> groups, std::unique_ptr<CpuShard> loaded)
      : UnitPiece(std::move(groups)), shard(std::move(loaded)) {}
  uint64_t weight_bytes() const override { return shard->weight_bytes(); }

  const std::unique_ptr<CpuShard> shard;
};

struct MixerPiece : UnitPiece {
  explicit MixerPiece(std::unique_ptr<MixerShard> loaded)
      : UnitPiece(loaded->groups()), shard(std::move(loaded)) {}
  uint64_t weight_bytes() const override { return shard->weight_bytes(); }
  uint64_t kv_bytes() const override { return shard->kv_bytes(); }
  uint64_t cache_id() const override { return shard->cache_id(); }

  const std::unique_ptr<MixerShard> shard;
};

struct OutputPiece : UnitPiece {
  explicit OutputPiece(std::unique_ptr<OutputShard> loaded)
      : UnitPiece(loaded->held()), shard(std::move(loaded)) {}
  uint64_t weight_bytes() const override { return shard->weight_bytes(); }

  const std::unique_ptr<OutputShard> shard;
};

}  // namespace

std::shared_ptr<UnitPiece> MakeFfnPiece(std::vector<uint32_t> groups, std::unique_ptr<CpuShard> shard) {
  return std::make_shared<FfnPiece>(std::move(groups), std::move(shard));
}

CpuDevice::CpuDevice(std::string name, const ModelSpec& model, uint32_t max_rows, ThreadPool& pool, Pace pace)
    : LocalDevice(model.n_layers),
      name_(std::move(name)),
      pool_(pool),
      pace_(pace),
      step_(model, max_rows, pool) {
  counters_.neurons_computed.resize(model.n_layers);
  counters_.neurons_held.resize(model.n_layers);
}

absl::Status CpuDevice::LeaveNeuronsOnDisk(const GgufFile& file, const ModelOutline& outline,
                                           uint64_t budget_bytes) {
  uint64_t largest_record = 0;
  for (const FfnLayerSpec& spec : outline.ffn_specs) {
    for (uint32_t b = 0; HasRecords(spec) && b < spec.block_neurons.size(); ++b) {
      largest_record = std::max(largest_record, NeuronRecord::Of(spec, b).bytes);
    }
  }
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<DiskReader> reader,
                          DiskReader::Open(file, DiskReaderOptions::For(largest_record, budget_bytes)));
  disk_ = std::make_shared<DiskNeurons>();
  disk_->cache = std::make_unique<RecordCache>(std::move(reader));
  disk_->mapping = file.bytes().data();
  budget_bytes_ = budget_bytes;
  return absl::OkStatus();
}

void CpuDevice::ShareDisk(const CpuDevice& other) {
  disk_ = other.disk_;
  const DiskCounters disk = other.counters().disk;
  MutexLock lock(&mutex_);
  counters_.disk = disk;
}

absl::Status CpuDevice::Prepare() {
  if (disk_ == nullptr || disk_->cache->records() == 0 || disk_->cache->is_open()) return absl::OkStatus();
  RecordCache& cache = *disk_->cache;
  const uint64_t fixed = weight_bytes() + kv_bytes();
  if (fixed > budget_bytes_ || budget_bytes_ - fixed < cache.least_bytes()) {
    return absl::ResourceExhaustedError(
        absl::StrCat("device ", name_, " has a budget of ", budget_bytes_, " bytes, but needs ", fixed,
                     " for what cannot stay on the disk and ", cache.least_bytes(),
                     " to read neurons; give it more memory"));
  }
  HEARTH_RETURN_IF_ERROR(cache.Open(budget_bytes_ - fixed));
  HEARTH_RETURN_IF_ERROR(cache.KeepWhatFits());
  HEARTH_RETURN_IF_ERROR(cache.ReadMostFrequent());
  MutexLock lock(&mutex_);
  counters_.disk = cache.counters();
  return absl::OkStatus();
}

absl::Status CpuDevice::CanHold(const ModelOutline&, const UnitId&) const { return absl::OkStatus(); }

absl::StatusOr<std::shared_ptr<UnitPiece>> CpuDevice::LoadNeurons(const LoadContext& context, uint32_t layer,
                                                                  std::vector<uint32_t> groups,
                                                                  std::vector<GroupWeights> weights) {
  const ModelOutline& outline = context.outline;
  if (disk_ != nullptr && HasRecords(outline.ffn_specs[layer])) {
    HEARTH_ASSIGN_OR_RETURN(
        std::unique_ptr<CpuShard> shard,
        MakeDiskShard(outline.ffn_specs[layer], std::move(weights), outline.options.sparsity, context.pool,
                      outline.options.arithmetic, disk_));
    return MakeFfnPiece(std::move(groups), std::move(shard));
  }
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<CpuShard> shard,
                          MakeCpuShard(outline.ffn_specs[layer], std::move(weights), outline.options.sparsity,
                                       context.pool, outline.options.arithmetic));
  return MakeFfnPiece(std::move(groups), std::move(shard));
}

absl::StatusOr<std::shared_ptr<UnitPiece>> CpuDevice::LoadHeads(const LoadContext& context, uint32_t layer,
                                                                std::vector<uint32_t> groups,
                                                                absl::Span<const UnitWeights> weights) {
  const ModelOutline& outline = context.outline;
  HEARTH_ASSIGN_OR_RETURN(
      std::unique_ptr<MixerShard> shard,
      MixerShard::Load(outline.spec, layer, outline.head_groups[layer], std::move(groups), weights,
                       context.options, outline.options.arithmetic, context.pool));
  return std::make_shared<MixerPiece>(std::move(shard));
}

absl::StatusOr<std::shared_ptr<UnitPiece>> CpuDevice::LoadOutput(const LoadContext& context,
                                                                 std::vector<uint32_t> runs,
                                                                 absl::Span<const UnitWeights> weights) {
  const ModelOutline& outline = context.outline;
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<OutputShard> shard,
                          OutputShard::Load(outline.spec, outline.output_runs, std::move(runs), weights,
                                            outline.options.arithmetic, context.pool));
  return std::make_shared<OutputPiece>(std::move(shard));
}

void CpuDevice::OnAdd(UnitKind kind, uint32_t, UnitPiece& piece) {
  if (kind != UnitKind::kHeads) return;
  const MixerShard& shard = *static_cast<MixerPiece&>(piece).shard;
  step_.Reserve(shard.layer(), shard.rope_factors());
}

Ticket CpuDevice::Submit(const Request& request) {
  HEARTH_CHECK(Holds(WorkOf(request), LayerOf(request)));
  ++submitted_;
  requests_[submitted_ % kMaxInFlight] = request;
  return submitted_;
}

absl::Status CpuDevice::Collect(Ticket ticket, absl::Span<int64_t> sums) {
  HEARTH_CHECK(ticket <= submitted_ && submitted_ - ticket < kMaxInFlight);
  const Request& request = requests_[ticket % kMaxInFlight];
  const auto start = std::chrono::steady_clock::now();
  HEARTH_ASSIGN_OR_RETURN(const uint64_t bytes,
                          std::visit([&](const auto& work) { return Compute(work, sums); }, request));
  pace_.Await(start, bytes);
  const std::chrono::nanoseconds took = std::chrono::steady_clock::now() - start;
  MutexLock lock(&mutex_);
  counters_.bytes_touched += bytes;
  if (RowsOf(request) != 1) return absl::OkStatus();
  counters_.single_row_bytes += bytes;
  counters_.single_row_ns += static_cast<uint64_t>(took.count());
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> CpuDevice::Compute(const MixRequest& request, absl::Span<int64_t> sums) {
  step_.Begin(request.step, request.rows);
  step_.adapted = request.adapted;
  const uint64_t before = step_.work.bytes_touched;
  for (const auto& piece : pieces(UnitKind::kHeads, request.layer)) {
    HEARTH_RETURN_IF_ERROR(static_cast<MixerPiece&>(*piece).shard->Run(request.x, step_, sums));
  }
  return step_.work.bytes_touched - before;
}

absl::StatusOr<uint64_t> CpuDevice::Compute(const FfnRequest& request, absl::Span<int64_t> sums) {
  ShardWork work;
  uint64_t neurons = 0;
  for (const auto& piece : pieces(UnitKind::kNeurons, request.layer)) {
    CpuShard& shard = *static_cast<FfnPiece&>(*piece).shard;
    const absl::StatusOr<ShardWork> ran = shard.Run(request, pool_, sums);
    if (!ran.ok()) {
      return absl::UnavailableError(
          absl::StrCat("device ", name_, ": layer ", request.layer, ": ", ran.status().message()));
    }
    const ShardWork& done = *ran;
    work.neurons_computed += done.neurons_computed;
    work.bytes_touched += done.bytes_touched;
    neurons += shard.neurons();
  }
  MutexLock lock(&mutex_);
  counters_.neurons_computed[request.layer] += work.neurons_computed;
  counters_.neurons_held[request.layer] += neurons * request.rows;
  if (disk_ != nullptr) counters_.disk = disk_->cache->counters();
  return work.bytes_touched;
}

absl::StatusOr<uint64_t> CpuDevice::Compute(const OutputRequest& request, absl::Span<int64_t>) {
  const uint64_t before = step_.work.bytes_touched;
  for (const auto& piece : pieces(UnitKind::kOutput, 0)) {
    static_cast<OutputPiece&>(*piece).shard->Run(request.x, request.rows, step_.work, request.logits,
                                                 request.n_vocab);
  }
  return step_.work.bytes_touched - before;
}

void CpuDevice::Expect(const FfnRequest& request) {
  for (const auto& piece : pieces(UnitKind::kNeurons, request.layer)) {
    static_cast<FfnPiece&>(*piece).shard->Expect(request, pool_);
  }
}

absl::StatusOr<std::vector<uint8_t>> CpuDevice::ReadKv(const KvRange& range) {
  HEARTH_ASSIGN_OR_RETURN(UnitPiece* const piece, FindHeads(range));
  return static_cast<MixerPiece*>(piece)->shard->ReadKv(range);
}

absl::Status CpuDevice::WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(UnitPiece* const piece, FindHeads(range));
  return static_cast<MixerPiece*>(piece)->shard->WriteKv(range, bytes);
}

std::vector<LayerFiring> CpuDevice::firing() const {
  std::vector<LayerFiring> seen;
  for (uint32_t layer = 0; layer < layers(); ++layer) {
    for (const auto& piece : pieces(UnitKind::kNeurons, layer)) {
      FiringShares shares = static_cast<FfnPiece&>(*piece).shard->firing();
      if (shares.rows == 0) continue;
      seen.push_back({layer, shares.rows, piece->units(), std::move(shares.shares)});
    }
  }
  return seen;
}

DeviceCounters CpuDevice::counters() const {
  MutexLock lock(&mutex_);
  return counters_;
}

}  // namespace hearth
