#ifndef HEARTH_ENGINE_DEVICE_DEVICE_H_
#define HEARTH_ENGINE_DEVICE_DEVICE_H_

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/attention/mixer_shard.h"
#include "engine/attention/row_place.h"
#include "engine/disk/disk_counters.h"
#include "engine/neuron/ffn_request.h"

namespace hearth {

// What devices compute, each for the units that it holds: head groups, neuron groups, output rows.
enum class Work { kMix, kFfn, kOutput };
inline constexpr size_t kWorkKinds = 3;

// One layer's mixer for a batch of rows. Borrowed until its result has been collected, as all requests are.
struct MixRequest {
  uint64_t step = 0;  // the rows are those of the last request of the same step
  uint32_t layer = 0;
  absl::Span<const RowPlace> rows;
  const float* x = nullptr;  // (rows, n_embd): the normed input
  // (rows, AdapterRanks::mixer_inputs()): A x of the layer's LoRA adapter; null without.
  const float* adapted = nullptr;
  uint32_t output_values = 0;  // values per row that come back: n_embd and A x of the output projection
};

// The output head for a batch of rows.
struct OutputRequest {
  uint32_t rows = 0;
  const float* x = nullptr;  // (rows, n_embd): the normed residual stream
  // (rows, n_vocab), row t at logits + t * n_vocab: each device writes the output rows that it holds.
  float* logits = nullptr;
  uint32_t n_vocab = 0;
};

// FfnRequest: see engine/neuron/ffn_request.h.
using Request = std::variant<MixRequest, FfnRequest, OutputRequest>;

// The kind of a request.
Work WorkOf(const Request& request);
// "attention 3", "ffn 3", "output".
std::string WorkText(Work work, uint32_t layer);
// Of no meaning (0) for kOutput.
uint32_t LayerOf(const Request& request);
size_t RowsOf(const Request& request);
// Fixed-point sums that a result has: rows times values, 0 for kOutput.
size_t SumsOf(const Request& request);

// What a device has done since it was made, for status and for the plan's figures.
struct DeviceCounters {
  std::vector<uint64_t> neurons_computed;  // per layer: neurons whose output was computed, summed over rows
  std::vector<uint64_t> neurons_held;      // per layer: neurons of the shard, summed over rows
  uint64_t bytes_touched = 0;              // weight and cache bytes read
  uint64_t round_trips = 0;                // network round trips; 0 for local devices
  uint64_t wait_us = 0;                    // time the leader waited for this device in Collect
  // Of requests of one row alone, which tell how fast it reads while it generates: bytes, and time computed.
  uint64_t single_row_bytes = 0;
  uint64_t single_row_ns = 0;
  DiskCounters disk;  // of neurons that it reads while it computes
};

// What a device has seen of how often neurons fire, of some groups of one layer.
struct LayerFiring {
  uint32_t layer = 0;
  uint64_t rows = 0;             // that were looked at; at least 1
  std::vector<uint32_t> groups;  // their numbers in the outline
  std::vector<float> shares;     // (groups)
};

// Numbers the requests of one device, rising from 1.
using Ticket = uint64_t;

// A device that holds parts of a model: a local CPU, a local GPU or a remote host; whoever leads the model's
// layers does not care.
//
// Every request gets a ticket and every ticket is collected once, in the order of submission. At most
// kMaxInFlight are on their way. A failure is permanent: once a request has failed, so do all later ones,
// with the same UNAVAILABLE. All calls are made by one thread, but counters() by any.
class Device {
 public:
  static constexpr size_t kMaxInFlight = 4;

  virtual ~Device() = default;

  // For people; unique among the devices of a plan.
  virtual const std::string& name() const = 0;
  // Whether the device holds anything that this work needs; if not it is not asked.
  virtual bool Holds(Work work, uint32_t layer) const = 0;
  // Starts the work and returns at once, also when the device is slow or lost; one that computes on the
  // caller's threads waits for Collect.
  virtual Ticket Submit(const Request& request) = 0;
  // Waits for the work. Adds the device's partial sums, in fixed point, to sums, (rows, values); kOutput has
  // none and has written its logits. UNAVAILABLE when the device is lost; the results are undefined then.
  virtual absl::Status Collect(Ticket ticket, absl::Span<int64_t> sums) = 0;
  // True when Collect computes on the caller's thread: such devices are collected first, while others work.
  virtual bool computes_in_collect() const { return false; }

  // Whether it reads neurons from a disk and begins sooner when Expect tells what it may be asked for next.
  // That is a guess, made before the layer's mixer has run; results do not depend on it. At most one request
  // is in flight then, of another kind.
  virtual bool wants_guesses() const { return false; }
  virtual void Expect(const FfnRequest& request) {}

  // Layers from `layer` on that the device computes whole, norms and residuals included, for whoever has x
  // only: up to the layer that this returns; `layer` itself where there are none.
  virtual uint32_t WholeLayersFrom(uint32_t layer) const { return layer; }
  // Runs layers [first, last), of those that it computes whole, on x, (rows, n_embd), which comes out
  // changed. Rows of the same `step` stand at the same places. Not while requests are in flight. UNAVAILABLE
  // when the device is lost.
  virtual absl::Status RunLayers(uint64_t step, absl::Span<const RowPlace> rows, uint32_t first,
                                 uint32_t last, float* x) {
    return absl::UnimplementedError("this device computes no whole layers");
  }

  // The cached positions of a head group that the device holds, as bytes, and the way back: so that a plan
  // that moves the group moves its cache. Not while requests are in flight. INVALID_ARGUMENT for what the
  // device does not hold, UNIMPLEMENTED where a cache cannot be moved (it is then computed again).
  virtual absl::StatusOr<std::vector<uint8_t>> ReadKv(const KvRange& range) = 0;
  virtual absl::Status WriteKv(const KvRange& range, absl::Span<const uint8_t> bytes) = 0;

  // Of any thread.
  virtual DeviceCounters counters() const = 0;
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_DEVICE_H_
