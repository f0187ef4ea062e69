#ifndef HEARTH_ENGINE_DEVICE_LOCAL_DEVICE_H_
#define HEARTH_ENGINE_DEVICE_LOCAL_DEVICE_H_

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/attention/decoder_options.h"
#include "engine/base/thread_pool.h"
#include "engine/device/device.h"
#include "engine/neuron/group_weights.h"
#include "engine/outline/model_outline.h"
#include "engine/outline/unit_id.h"
#include "engine/weights/unit.h"

namespace hearth {

// Some units of one kind and layer that a device has taken over, with their weights and, for heads, their
// cache.
class UnitPiece {
 public:
  explicit UnitPiece(std::vector<uint32_t> units) : units_(std::move(units)) {}
  virtual ~UnitPiece() = default;

  // Their numbers in the outline, rising.
  const std::vector<uint32_t>& units() const { return units_; }
  // Bytes of memory that they take.
  virtual uint64_t weight_bytes() const = 0;
  virtual uint64_t kv_bytes() const { return 0; }
  // What tells a cache from all others of the process; 0 without one.
  virtual uint64_t cache_id() const { return 0; }

 private:
  const std::vector<uint32_t> units_;
};

// What a piece is loaded for. Borrowed.
struct LoadContext {
  const ModelOutline& outline;
  const DecoderOptions& options;
  ThreadPool& pool;  // for loading
};

// A device of this process: it can be given units.
//
// What it holds is a list of pieces for each kind of work and layer. Plans share pieces: because sums are
// exact (engine/kernel/fixed_point.h) it does not matter how units are cut into pieces, so a new plan keeps
// what is there already, caches included, and loads only the rest.
class LocalDevice : public Device {
 public:
  using Pieces = std::vector<std::shared_ptr<UnitPiece>>;

  // The pieces of a kind of unit (not kLayer) in a layer, 0 for output rows. Add comes before the first
  // request.
  const Pieces& pieces(UnitKind kind, uint32_t layer) const { return pieces_.at(Slot(kind, layer)); }
  void Add(UnitKind kind, uint32_t layer, std::shared_ptr<UnitPiece> piece);
  // Of the model.
  uint32_t layers() const { return layers_; }

  // Why it cannot compute a unit, UNIMPLEMENTED; OK where it can.
  virtual absl::Status CanHold(const ModelOutline& outline, const UnitId& unit) const = 0;
  // Loads units, rising numbers with their weights in the same order, as one piece. INVALID_ARGUMENT when
  // weights do not fit the model, RESOURCE_EXHAUSTED without memory for weights or cache.
  virtual absl::StatusOr<std::shared_ptr<UnitPiece>> LoadNeurons(const LoadContext& context, uint32_t layer,
                                                                 std::vector<uint32_t> groups,
                                                                 std::vector<GroupWeights> weights) = 0;
  virtual absl::StatusOr<std::shared_ptr<UnitPiece>> LoadHeads(const LoadContext& context, uint32_t layer,
                                                               std::vector<uint32_t> groups,
                                                               absl::Span<const UnitWeights> weights) = 0;
  virtual absl::StatusOr<std::shared_ptr<UnitPiece>> LoadOutput(const LoadContext& context,
                                                                std::vector<uint32_t> runs,
                                                                absl::Span<const UnitWeights> weights) = 0;
  // Whether it reads neurons of a packed file while it computes: their weights stay where they are.
  virtual bool neurons_stay_on_disk() const { return false; }
  // Whether it could compute a layer whole, were it given the layer's own weights, as LoadLayer does: once
  // all of its other units are here.
  virtual bool CanLead(const ModelOutline& outline, uint32_t layer) const { return false; }
  virtual absl::Status LoadLayer(const LoadContext& context, uint32_t layer, const UnitWeights& weights) {
    return absl::UnimplementedError("this device computes no whole layers");
  }
  // After the last Add: takes what memory computing needs. RESOURCE_EXHAUSTED without.
  virtual absl::Status Prepare() { return absl::OkStatus(); }

  // Why it computes nothing any more; for the thread that uses it.
  virtual absl::Status failure() const { return absl::OkStatus(); }
  // What it has seen of how often its neurons fire; only what it counts. Of any thread once it is loaded.
  virtual std::vector<LayerFiring> firing() const { return {}; }

  // Whether it holds nothing.
  bool empty() const;
  // Bytes of memory that the loaded weights, and the caches beside them, take.
  uint64_t weight_bytes() const;
  uint64_t kv_bytes() const;
  // Adds the bytes of weights and cache of each piece, which devices may share, under its address.
  void AddPieces(std::map<const void*, uint64_t>& pieces) const;

  bool Holds(Work work, uint32_t layer) const override;

 protected:
  explicit LocalDevice(uint32_t layers) : layers_(layers), pieces_(size_t{2} * layers + 1) {}
  // Called by Add.
  virtual void OnAdd(UnitKind kind, uint32_t layer, UnitPiece& piece) {}
  // The piece that has a head group. INVALID_ARGUMENT, with the device's name, when none has.
  absl::StatusOr<UnitPiece*> FindHeads(const KvRange& range) const;

 private:
  size_t Slot(UnitKind kind, uint32_t layer) const {
    if (kind == UnitKind::kOutput) return size_t{2} * layers_;
    return size_t{2} * layer + (kind == UnitKind::kHeads ? 0 : 1);
  }

  const uint32_t layers_;
  std::vector<Pieces> pieces_;  // heads and neurons of each layer in turn, then output rows
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_DEVICE_LOCAL_DEVICE_H_
