#ifndef HEARTH_ENGINE_DEVICE_CPU_DEVICE_H_
#define HEARTH_ENGINE_DEVICE_CPU_DEVICE_H_

#include <array>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/attention/mix_step.h"
#include "engine/attention/mixer_shard.h"
#include "engine/base/mutex.h"
#include "engine/base/thread_pool.h"
#include "engine/device/device.h"
#include "engine/device/output_shard.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/spec/spec.h"

namespace hearth {

// Neuron groups of one layer in the memory of one device.
struct FfnPiece {
  std::vector<uint32_t> groups;  // their numbers in the layer, rising
  std::unique_ptr<CpuShard> shard;
};

// A CPU, or a part of one, as a device: computes in Collect, on the caller's thread and the pool's.
//
// What it holds is a list of pieces for each kind of work and layer. Plans share pieces: because sums are
// exact (engine/kernel/fixed_point.h) it does not matter how units are cut into pieces, so a new plan keeps
// what is there already, caches included, and loads only the rest.
class CpuDevice : public Device {
 public:
  // `model` and `pool` outlive this; the pool is used by one device at a time.
  CpuDevice(std::string name, const ModelSpec& model, uint32_t max_rows, ThreadPool& pool);

  // Before the first request.
  void AddFfn(uint32_t layer, std::shared_ptr<FfnPiece> piece);
  void AddMixer(uint32_t layer, std::shared_ptr<MixerShard> piece);
  void AddOutput(std::shared_ptr<OutputShard> piece);

  // The pieces that it holds.
  const std::vector<std::shared_ptr<FfnPiece>>& ffn(uint32_t layer) const { return layers_[layer].ffn; }
  const std::vector<std::shared_ptr<MixerShard>>& mixers(uint32_t layer) const {
    return layers_[layer].mixers;
  }
  const std::vector<std::shared_ptr<OutputShard>>& outputs() const { return outputs_; }
  // Of the model; whether it holds nothing.
  uint32_t layers() const { return static_cast<uint32_t>(layers_.size()); }
  bool empty() const;
  // Bytes of memory that the loaded weights, and the caches beside them, take.
  uint64_t weight_bytes() const;
  uint64_t kv_bytes() const;
  // Adds the bytes of weights and cache of each piece, which devices may share, under its address.
  void AddPieces(std::map<const void*, uint64_t>& pieces) const;

  const std::string& name() const override { return name_; }
  bool Holds(Work work, uint32_t layer) const override;
  Ticket Submit(const Request& request) override;
  absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) override;
  bool computes_in_collect() const override { return true; }
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) override;
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) override;
  DeviceCounters counters() const override;

 private:
  struct LayerPieces {
    std::vector<std::shared_ptr<FfnPiece>> ffn;
    std::vector<std::shared_ptr<MixerShard>> mixers;
  };

  absl::Status Compute(const MixRequest& request, absl::Span<int64_t> sums);
  absl::Status Compute(const FfnRequest& request, absl::Span<int64_t> sums);
  absl::Status Compute(const OutputRequest& request, absl::Span<int64_t> sums);
  absl::StatusOr<MixerShard*> FindMixer(const KvRange& range) const;

  const std::string name_;
  ThreadPool& pool_;
  std::vector<LayerPieces> layers_;
  std::vector<std::shared_ptr<OutputShard>> outputs_;
  MixStep step_;
  Ticket submitted_ = 0;
  std::array<Request, kMaxInFlight> requests_;  // by ticket

  mutable Mutex mutex_;
  DeviceCounters counters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_CPU_DEVICE_H_
