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
#include "engine/device/gpu_exchange.h"
#include "engine/device/gpu_ffn.h"
#include "engine/device/gpu_memory.h"
#include "engine/device/gpu_mixer.h"
#include "engine/device/gpu_scratch.h"
#include "engine/device/local_device.h"
#include "engine/neuron/row_choices.h"

namespace hearth {

// A GPU as a device: Submit queues a request's kernels and returns, Collect waits for its results. Input and
// results pass through pinned memory, once each way per request. Sums of 32 neurons (columns) are float32,
// everything above is fixed point: what a GPU computes does not depend on the plan, and differs from a CPU's
// result in the last bits of float32 only.
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
  absl::StatusOr<std::shared_ptr<UnitPiece>> LoadOutput(const LoadContext& context,
                                                        std::vector<uint32_t> runs,
                                                        absl::Span<const UnitWeights> weights) override;
  bool CanLead(const ModelOutline& outline, uint32_t layer) const override;
  absl::Status LoadLayer(const LoadContext& context, uint32_t layer, const UnitWeights& weights) override;
  absl::Status Prepare() override;
  absl::Status failure() const override { return failure_; }

  const std::string& name() const override { return name_; }
  Ticket Submit(const Request& request) override;
  absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) override;
  uint32_t WholeLayersFrom(uint32_t layer) const override;
  absl::Status RunLayers(uint64_t step, absl::Span<const RowPlace> rows, uint32_t first, uint32_t last,
                         float* x) override;
  absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) override;
  absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) override;
  DeviceCounters counters() const override;

  // What of a budget is left for weights and caches: the rest is for computing, and for what packing adds to
  // a file's bytes. An estimate; the budget itself is never exceeded.
  static uint64_t WeightBudget(uint64_t budget_bytes, const ModelOutline& outline,
                               const DecoderOptions& options);
  // Whether a GPU can compute a unit under these options; see CanHold.
  static absl::Status Supports(const ModelOutline& outline, const UnitId& unit, KvType kv);

 protected:
  void OnAdd(UnitKind kind, uint32_t layer, UnitPiece& piece) override;

 private:
  // A request on its way.
  struct Slot {
    explicit Slot(gpu::Gpu* stream) : own(stream) {}
    GpuExchange own;
    GpuExchange* exchange = nullptr;  // own, or that of single rows
    Request request;
    absl::Status status;
  };
  // What a layer has that is computed whole, besides its units.
  struct WholeLayer {
    bool loaded = false;
    struct OwnNorm {
      gpu::GpuNorm norm;
      GpuBuffer weight, bias;
    };
    OwnNorm attention, attention_post, ffn, ffn_post;
    GpuBuffer mixer_bias;
    float mixer_scale = 1;
    GpuLinear predictor;
    FfnSideInput predictor_input = FfnSideInput::kResidual;
    bool predictor_linear = false;
  };

  Slot& SlotOf(Ticket ticket) { return slots_[ticket % kMaxInFlight]; }
  // Writes the request's input and queues its work, or replays it.
  absl::Status Queue(const MixRequest& request, Slot& slot);
  absl::Status Queue(const FfnRequest& request, Slot& slot);
  absl::Status Queue(const OutputRequest& request, Slot& slot);
  absl::StatusOr<GpuInput> MakeInput(uint32_t rows, uint64_t result_bytes, GpuExchange& exchange);
  GpuExchange& ExchangeFor(uint32_t rows, Slot& slot);
  // Queues `work`, or what was recorded of it for a single row of the same key.
  template <class Work>
  void QueueOrReplay(bool records, uint64_t key, const GpuExchange& exchange, RecordedWork& recorded,
                     const Work& work);
  // Where the rows of a step stand, and the angles of their rotations.
  struct Places {
    GpuInput::Part<gpu::GpuPlace> places;
    GpuInput::Part<gpu::RowTile> tiles;
    std::vector<const float*> angles;  // as ropes_; null for those that are not wanted
  };
  Places TakePlaces(uint64_t step, absl::Span<const RowPlace> rows, GpuInput& input);
  GpuMixRows MixRowsOf(absl::Span<const RowPlace> rows, const Places& places, const GpuMixer& mixer) const;
  // Queues one whole layer on scratch_->residual; scratch_->x has its first norm.
  void QueueLayer(uint32_t layer, const Places& places, const GpuMixRows& cut, const GpuFfn::Rows& ffn_rows,
                  bool more);
  void QueuePredictor(const WholeLayer& whole, const GpuFfn::Rows& ffn_rows, GpuActivations& from);
  // Ends the layer's attention, or its FFN, and begins what comes next; `next` null: nothing.
  void QueueResidual(uint32_t layer, bool of_ffn, const gpu::GpuNorm* next, uint32_t rows);
  static const float* AnglesOf(const Places& places, const GpuMixer& mixer);
  // Cuts rows into batches and tiles for a mixer; tiles are written to `tiles`, (rows).
  void CutRows(absl::Span<const RowPlace> rows, const GpuMixer& mixer, gpu::RowTile* tiles,
               GpuMixRows& cut) const;
  // Adds tile number `tile`, rows [first, first + count), to the last batch or to a new one.
  static void AddToBatch(absl::Span<const RowPlace> rows, uint32_t first, uint32_t count, uint32_t batch_rows,
                         uint32_t tile, std::vector<GpuMixRows::Batch>& batches);
  void QueueFfn(uint32_t layer, const GpuFfn::Rows& rows);
  void CountFfn(uint32_t layer, const GpuFfn::Rows& rows);
  // The device is lost: whoever leads makes a plan without it.
  absl::Status NoPinnedMemory();
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
  std::optional<uint64_t> step_;                  // whose angles the ropes have
  RowChoices choices_;
  std::vector<WholeLayer> whole_;        // by layer
  GpuExchange stage_exchange_{nullptr};  // of RunLayers
  std::vector<RecordedWork> recorded_stages_;
  std::vector<Slot> slots_;
  std::vector<GpuExchange> single_;     // by kind of work
  std::vector<RecordedWork> recorded_;  // mix and FFN of each layer in turn, then the output
  Ticket submitted_ = 0;

  mutable Mutex mutex_;
  DeviceCounters counters_ ABSL_GUARDED_BY(mutex_);
};

template <class Work>
void GpuDevice::QueueOrReplay(bool records, uint64_t key, const GpuExchange& exchange, RecordedWork& recorded,
                              const Work& work) {
  if (!records) return work();
  const bool same = recorded.recording != nullptr && recorded.key == key &&
                    recorded.input == exchange.input.data() && recorded.results == exchange.results.data();
  if (!same) {
    stream_->Record();
    work();
    recorded = {key, exchange.input.data(), exchange.results.data(), stream_->EndRecord()};
    if (recorded.recording == nullptr) return;
  }
  stream_->Replay(*recorded.recording);
}

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_GPU_DEVICE_H_
