#ifndef HEARTH_DAEMON_WEIGHTS_SHARD_DEVICE_H_
#define HEARTH_DAEMON_WEIGHTS_SHARD_DEVICE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/base/mutex.h"
#include "engine/base/thread_pool.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/neuron/ffn_device.h"
#include "engine/neuron/neuron_group.h"

namespace hearth {

// Groups of one layer in the memory of one device. Plans share pieces: what a device holds of a layer is a
// list of them, and because sums are exact (engine/kernel/fixed_point.h) it does not matter how the groups
// are cut into pieces. So a new plan keeps what is there already and loads only the rest.
struct ShardPiece {
  std::vector<NeuronGroup> groups;
  std::unique_ptr<CpuShard> shard;
};

// A CPU device under one plan. Computes in Collect, on the caller's thread and the pool's. counters() may be
// called from any thread; it waits for a computation that runs, a layer's at most.
class ShardDevice : public FfnDevice {
 public:
  // `pool` outlives this and is used by one device at a time.
  ShardDevice(std::string name, ThreadPool& pool, uint32_t layers);

  void AddPiece(uint32_t layer, std::shared_ptr<ShardPiece> piece);
  const std::vector<std::shared_ptr<ShardPiece>>& pieces(uint32_t layer) const { return pieces_[layer]; }
  uint32_t layers() const { return static_cast<uint32_t>(pieces_.size()); }
  uint64_t weight_bytes() const;

  const std::string& name() const override { return name_; }
  bool HoldsLayer(uint32_t layer) const override { return layer < pieces_.size() && !pieces_[layer].empty(); }
  absl::Status Submit(const FfnRequest& request) override;
  absl::Status Collect(absl::Span<int64_t> sums) override;
  bool computes_in_collect() const override { return true; }
  FfnCounters counters() const override;

 private:
  const std::string name_;
  ThreadPool& pool_;
  std::vector<std::vector<std::shared_ptr<ShardPiece>>> pieces_;  // by layer
  FfnRequest request_;

  mutable Mutex mutex_;
  FfnCounters counters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_DAEMON_WEIGHTS_SHARD_DEVICE_H_
