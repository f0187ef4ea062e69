#ifndef HEARTH_ENGINE_DEVICE_GPU_DEVICE_H_
#define HEARTH_ENGINE_DEVICE_GPU_DEVICE_H_

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "engine/attention/rope.h"
#include "engine/base/mutex.h"
#include "engine/device/gpu_ffn.h"
#include "engine/device/gpu_memory.h"
#include "engine/device/gpu_mixer.h"
#include "engine/device/gpu_scratch.h"
#include "engine/device/local_device.h"
#include "engine/neuron/row_choices.h"

namespace hearth {

// A GPU as a device: Submit queues a request's kernels and returns, Collect waits for its results. Input and results
// pass through pinned memory, once each way per request. Sums of 32 neurons (columns) are float32, everything above
// is fixed point: what a GPU computes does not depend on the plan, and differs from a CPU's result in the last
// bits of float32 only.
class GpuDevice : public LocalDevice {
 public:
  GpuDevice(std::string name, const ModelOutline& outline, const DecoderOptions& options,
            std::shared_ptr<GpuMemory> memory);
  ~GpuDevice() override;

  absl::Status CanHold(const ModelOutline& outline, const UnitId& unit) const override;
  absl::StatusOr<std::shared_ptr<UnitPiece>> LoadNeurons(const LoadContext& context, uint32_t layer,
                                                         std::vector<uint32_t> groups,
                                                         std::vector<GroupWeights> weights) override;
  absl::StatusOr<std::shared_ptr<UnitPiece>> LoadHeads(const LoadContext& context, uint32_t layer,
                                                       std::vector<uint32_t> groups,
                                                       absl::Span<const UnitWeights> weights) override;
  absl::StatusOr<std::shared_ptr<UnitPiece>> LoadOutput(const LoadContext& context, std::vector<uint32_t> runs,
                                                        absl::Span<const UnitWeights> weights) override;
  absl::Status Prepare() override;

  const std::string& name() const override { return name_; }
  Ticket Submit(const Request& request) override;
  absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) override;
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) override;
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) override;
  DeviceCounters counters() const override;

  // What of a budget is left for weights and caches: the rest is for computing, and for what packing adds to a file's
  // bytes. An estimate; the budget itself is never exceeded.
  static uint64_t WeightBudget(uint64_t budget_bytes, const ModelOutline& outline, const DecoderOptions& options);
  // Whether a GPU can compute a unit under these options; see CanHold.
  static absl::Status Supports(const ModelOutline& outline, const UnitId& unit, KvType kv);

 protected:
  void OnAdd(UnitKind kind, uint32_t layer, UnitPiece& piece) override;

 private:
  // Memory of the host that stays where it is; grows.
  class Pinned {
   public:
    explicit Pinned(gpu::Gpu* stream) : stream_(stream) {}
    ~Pinned();
    Pinned(Pinned&& other) noexcept;
    // Null without memory.
    uint8_t* Reserve(uint64_t bytes);
    uint8_t* data() const { return data_; }

   private:
    gpu::Gpu* stream_;
    uint8_t* data_ = nullptr;
    uint64_t bytes_ = 0;
  };
  // What goes to the GPU and comes back for one request.
  struct Exchange {
    explicit Exchange(gpu::Gpu* stream) : input(stream), results(stream) {}
    Pinned input;
    Pinned results;
    bool busy = false;
  };
  // A request on its way.
  struct Slot {
    explicit Slot(gpu::Gpu* stream) : own(stream) {}
    Exchange own;
    Exchange* exchange = nullptr;  // own, or that of single rows
    Request request;
    absl::Status status;
  };
  // The input of a request: parts one after another, as they are in pinned memory and, after one copy, in the GPU's.
  class Input;
  // A single row of a layer's work, which is the same work for every token, as long as `key` is.
  struct Recorded {
    uint64_t key = 0;
    const void* input = nullptr;
    const void* results = nullptr;
    std::unique_ptr<gpu::Gpu::Recording> recording;
  };

  Slot& SlotOf(Ticket ticket) { return slots_[ticket % kMaxInFlight]; }
  // Writes the request's input and queues its work, or replays it.
  absl::Status Queue(const MixRequest& request, Slot& slot);
  absl::Status Queue(const FfnRequest& request, Slot& slot);
  absl::Status Queue(const OutputRequest& request, Slot& slot);
  absl::StatusOr<Input> MakeInput(uint32_t rows, uint64_t result_bytes, Slot& slot);
  // Queues `work`, or what was recorded of it for a single row of the same key.
  template <class Work>
  void QueueOrReplay(uint32_t rows, size_t place, uint64_t key, const Slot& slot, const Work& work);
  // Cuts rows into batches and tiles for a mixer; tiles are written to `tiles`, (rows). Returns how many.
  static uint32_t CutRows(absl::Span<const RowPlace> rows, const GpuMixer& mixer, gpu::RowTile* tiles,
                          std::vector<GpuMixRows::Batch>& batches);
  absl::Status NoPinnedMemory() const;
  absl::Status StreamError() const;

  const std::string name_;
  const ModelSpec model_;
  const DecoderOptions options_;
  const bool exact_;
  const std::shared_ptr<GpuMemory> memory_;
  std::unique_ptr<gpu::Gpu> stream_;
  absl::Status failure_;  // the first error
  GpuNeeds needs_;
  std::optional<GpuScratch> scratch_;
  std::vector<std::optional<RopeAngles>> ropes_;  // as ModelSpec::ropes; those of mixers that are held
  uint64_t step_ = 0;  // whose angles the ropes have
  bool has_step_ = false;
  RowChoices choices_;
  std::vector<Slot> slots_;
  std::vector<Exchange> single_;    // by kind of work
  std::vector<Recorded> recorded_;  // mix and FFN of each layer in turn, then the output
  Ticket submitted_ = 0;

  mutable Mutex mutex_;
  DeviceCounters counters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_DEVICE_H_
