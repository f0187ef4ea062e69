#ifndef HEARTH_ENGINE_NEURON_FFN_DEVICE_H_
#define HEARTH_ENGINE_NEURON_FFN_DEVICE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/types/span.h"

namespace hearth {

// A block that applies to a row, and its weight.
struct BlockChoice {
  uint32_t block;
  float weight;
};

// One layer's FFN for a batch of rows. All pointers are borrowed until the matching Collect returns.
struct FfnRequest {
  uint32_t layer = 0;
  uint32_t rows = 0;
  const float* x = nullptr;       // (rows, n_embd): the normed input
  const float* hidden = nullptr;  // (rows, predictor_rank): relu(fc1 p); null unless sparsity is predicted
  // (rows, choices_per_row); weight 0 stands for "none". Empty: block 0 with weight 1 for every row.
  absl::Span<const BlockChoice> choices;
  uint32_t choices_per_row = 0;
  uint32_t output_values = 0;  // values per row that come back: FfnLayerSpec::output_values()
};

// What a device has done since it was made, for status and for the plan's figures.
struct FfnCounters {
  std::vector<uint64_t> neurons_computed;  // per layer: neurons whose output was computed, summed over rows
  std::vector<uint64_t> neurons_held;      // per layer: neurons of the shard, summed over rows
  uint64_t bytes_touched = 0;              // weight bytes read
  uint64_t round_trips = 0;                // network round trips; 0 for local devices
  uint64_t wait_us = 0;                    // time the leader waited for this device in Collect
};

// A device that holds shards of FFN layers: a local CPU, a local GPU or a remote host; the decode loop does
// not care. Submit and Collect alternate and are called by one thread.
class FfnDevice {
 public:
  virtual ~FfnDevice() = default;

  virtual const std::string& name() const = 0;
  // Whether the device holds anything of this layer; if not it is not asked.
  virtual bool HoldsLayer(uint32_t layer) const = 0;
  // Starts the work and returns at once; a device that computes on the caller's threads waits for Collect.
  virtual absl::Status Submit(const FfnRequest& request) = 0;
  // Waits for the submitted work and adds the device's partial sums, in fixed point, to sums, (rows,
  // output_values). UNAVAILABLE when the device is lost; the sums are undefined then. After a Submit that
  // failed it returns that error at once.
  virtual absl::Status Collect(absl::Span<int64_t> sums) = 0;
  // True when Collect computes on the caller's thread: such devices are collected first, while others work.
  virtual bool computes_in_collect() const { return false; }
  virtual FfnCounters counters() const = 0;
};

// Starts one layer on all devices that hold a part of it. Layers whose FFN does not depend on their attention
// submit early, so that other hosts work while the leader attends.
absl::Status SubmitFfn(absl::Span<FfnDevice* const> devices, const FfnRequest& request);
// Collects what SubmitFfn started: the total in sums, (rows, output_values), which is cleared first. The
// first error wins, but every device is collected. Call it also after a failed SubmitFfn, with the same
// request.
absl::Status CollectFfn(absl::Span<FfnDevice* const> devices, const FfnRequest& request,
                        absl::Span<int64_t> sums);
// Both, one after the other.
absl::Status RunFfn(absl::Span<FfnDevice* const> devices, const FfnRequest& request,
                    absl::Span<int64_t> sums);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_FFN_DEVICE_H_
