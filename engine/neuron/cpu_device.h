#ifndef HEARTH_ENGINE_NEURON_CPU_DEVICE_H_
#define HEARTH_ENGINE_NEURON_CPU_DEVICE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/matrix.h"
#include "engine/neuron/ffn_device.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/group_weights.h"

namespace hearth {

class CpuShard;

// A CPU (or a part of one) as a device: computes in Collect on the caller's thread and the pool's.
class CpuDevice : public FfnDevice {
 public:
  // `pool` outlives the device and is used by one device at a time.
  CpuDevice(std::string name, ThreadPool& pool, uint32_t layers, SparsityMode mode,
            Arithmetic arithmetic = Arithmetic::kFast);
  ~CpuDevice() override;

  // Takes over the groups of a layer that this device holds, replacing what it held of the layer.
  // INVALID_ARGUMENT without groups or for a layer that the model does not have, RESOURCE_EXHAUSTED without
  // memory.
  absl::Status LoadLayer(uint32_t layer, const FfnLayerSpec& spec, std::vector<GroupWeights> groups);
  void DropLayer(uint32_t layer);
  // Bytes of memory that the loaded weights take.
  uint64_t weight_bytes() const;

  const std::string& name() const override { return name_; }
  bool HoldsLayer(uint32_t layer) const override;
  absl::Status Submit(const FfnRequest& request) override;
  absl::Status Collect(absl::Span<int64_t> sums) override;
  bool computes_in_collect() const override { return true; }
  FfnCounters counters() const override;

 private:
  std::string name_;
  ThreadPool& pool_;
  SparsityMode mode_;
  Arithmetic arithmetic_;
  std::vector<std::unique_ptr<CpuShard>> shards_;  // by layer; null: nothing held
  FfnRequest request_;
  FfnCounters counters_;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_CPU_DEVICE_H_
