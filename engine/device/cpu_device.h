#ifndef HEARTH_ENGINE_DEVICE_CPU_DEVICE_H_
#define HEARTH_ENGINE_DEVICE_CPU_DEVICE_H_

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/attention/mix_step.h"
#include "engine/base/mutex.h"
#include "engine/base/thread_pool.h"
#include "engine/device/local_device.h"
#include "engine/device/pace.h"
#include "engine/neuron/cpu_shard.h"
#include "engine/spec/spec.h"

namespace hearth {

// Neuron groups of one layer, in the form that a CPU's kernels want.
std::shared_ptr<UnitPiece> MakeFfnPiece(std::vector<uint32_t> groups, std::unique_ptr<CpuShard> shard);

// A CPU, or a part of one, as a device: computes in Collect, on the caller's thread and the pool's.
class CpuDevice : public LocalDevice {
 public:
  // `model` and `pool` outlive this; the pool is used by one device at a time.
  CpuDevice(std::string name, const ModelSpec& model, uint32_t max_rows, ThreadPool& pool,
            Pace pace = Pace());

  // Lets neurons stay in the packed file, as many as `budget_bytes`, which is for everything that the device
  // holds, has no room for. Before anything is loaded. RESOURCE_EXHAUSTED without memory for buffers; the
  // errors of open().
  absl::Status LeaveNeuronsOnDisk(const GgufFile& file, const ModelOutline& outline, uint64_t budget_bytes);
  // Uses another device's cache of neurons on the disk, where it has one, in place of its own: of one that
  // holds the same units, all of which are taken over.
  void ShareDisk(const CpuDevice& other);

  absl::Status CanHold(const ModelOutline& outline, const UnitId& unit) const override;
  absl::StatusOr<std::shared_ptr<UnitPiece>> LoadNeurons(const LoadContext& context, uint32_t layer,
                                                         std::vector<uint32_t> groups,
                                                         std::vector<GroupWeights> weights) override;
  absl::StatusOr<std::shared_ptr<UnitPiece>> LoadHeads(const LoadContext& context, uint32_t layer,
                                                       std::vector<uint32_t> groups,
                                                       absl::Span<const UnitWeights> weights) override;
  absl::StatusOr<std::shared_ptr<UnitPiece>> LoadOutput(const LoadContext& context,
                                                        std::vector<uint32_t> runs,
                                                        absl::Span<const UnitWeights> weights) override;

  bool neurons_stay_on_disk() const override { return disk_ != nullptr; }
  absl::Status Prepare() override;

  const std::string& name() const override { return name_; }
  Ticket Submit(const Request& request) override;
  absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) override;
  bool computes_in_collect() const override { return true; }
  bool wants_guesses() const override { return disk_ != nullptr; }
  void Expect(const FfnRequest& request) override;
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) override;
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) override;
  DeviceCounters counters() const override;
  std::vector<LayerFiring> firing() const override;

 protected:
  void OnAdd(UnitKind kind, uint32_t layer, UnitPiece& piece) override;

 private:
  // What Collect does; the bytes of weights and caches that were read.
  absl::StatusOr<uint64_t> Compute(const MixRequest& request, absl::Span<int64_t> sums);
  absl::StatusOr<uint64_t> Compute(const FfnRequest& request, absl::Span<int64_t> sums);
  absl::StatusOr<uint64_t> Compute(const OutputRequest& request, absl::Span<int64_t> sums);

  const std::string name_;
  ThreadPool& pool_;
  Pace pace_;
  MixStep step_;
  std::shared_ptr<DiskNeurons> disk_;  // null: all in memory
  uint64_t budget_bytes_ = 0;
  Ticket submitted_ = 0;
  std::array<Request, kMaxInFlight> requests_;  // by ticket

  mutable Mutex mutex_;
  DeviceCounters counters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_CPU_DEVICE_H_
