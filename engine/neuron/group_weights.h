#ifndef HEARTH_ENGINE_NEURON_GROUP_WEIGHTS_H_
#define HEARTH_ENGINE_NEURON_GROUP_WEIGHTS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/neuron/bundle.h"
#include "engine/neuron/ffn_spec.h"
#include "engine/neuron/neuron_group.h"
#include "engine/neuron/neuron_record.h"

namespace hearth {

// A group with its bundle in memory.
struct LoadedGroup {
  NeuronGroup group;
  BundleLayout layout;
  std::vector<uint8_t> bytes;

  // The bytes of a part; empty where the bundle has none.
  absl::Span<const uint8_t> Part(BundlePart part) const;
  // The values of a float32 part; null where the bundle has none.
  const float* Vector(BundlePart part) const;
};

// A group and its weights wherever they are before a device takes them over: a bundle in memory, or the model
// file itself, so that packing reads a mapped file with no copy of gigabytes between. Movable.
class GroupWeights {
 public:
  GroupWeights(GroupWeights&&) = default;
  GroupWeights& operator=(GroupWeights&&) = default;

  // INVALID_ARGUMENT when ids or sizes do not fit the spec (they may come from a peer).
  static absl::StatusOr<GroupWeights> FromBundle(const FfnLayerSpec& spec, NeuronGroup group,
                                                 std::vector<uint8_t> bundle);
  // The tensors that `source` names outlive this. The same errors.
  static absl::StatusOr<GroupWeights> FromFile(const FfnLayerSpec& spec, const FfnLayerSource& source,
                                               NeuronGroup group);

  // Whether the group's records in a packed file are what was written; OK for whatever else it is made of.
  // DATA_LOSS, naming the neuron.
  absl::Status CheckRecords() const;

  // Which neurons, and how their bundle is laid out.
  const NeuronGroup& group() const { return loaded_.group; }
  const BundleLayout& layout() const { return loaded_.layout; }

  // Copies rows [first, first + count) of a part that the layout has, out_stride bytes apart, to `out`.
  // Thread-safe.
  void CopyRows(const BundleEntry& entry, size_t first, size_t count, uint8_t* out, size_t out_stride) const;
  // The records that it is read from; null where it is made of anything else.
  const PackedBlock* packed() const { return source_ ? source_->packed : nullptr; }
  // The group with its bundle in memory, read from the file where it is not there yet.
  LoadedGroup Load() &&;

 private:
  // Bytes of a row that lie side by side.
  struct ByteRun {
    uint64_t offset;
    uint64_t bytes;
  };

  GroupWeights() = default;
  // Where the columns of the group's neurons lie in a row of `down`.
  void FindDownRuns();
  void CopyFromFile(const BundleEntry& entry, size_t first, size_t count, uint8_t* out,
                    size_t out_stride) const;
  // A part of its neurons' records; `down` as outputs [first, first + count).
  void CopyFromRecords(const BundleEntry& entry, size_t first, size_t count, uint8_t* out,
                       size_t out_stride) const;

  LoadedGroup loaded_;                    // bytes are empty for a file
  std::optional<FfnBlockSource> source_;  // of a file
  NeuronRecord record_;                   // of a packed file
  bool neuron_major_ = false;
  std::vector<ByteRun> down_runs_;  // of a file whose `down` is stored by output row
};

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_GROUP_WEIGHTS_H_
