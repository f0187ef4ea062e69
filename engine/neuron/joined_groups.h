#ifndef HEARTH_ENGINE_NEURON_JOINED_GROUPS_H_
#define HEARTH_ENGINE_NEURON_JOINED_GROUPS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "engine/base/thread_pool.h"
#include "engine/kernel/down_rows.h"
#include "engine/kernel/matrix.h"
#include "engine/kernel/row_matrix.h"
#include "engine/neuron/group_weights.h"

namespace hearth {

// The groups of one block as whole matrices: the neurons of one after those of another. Borrows the groups.
class JoinedGroups {
 public:
  // Groups of one block, at least one.
  explicit JoinedGroups(absl::Span<const GroupWeights> groups);

  // Of all groups.
  uint32_t block() const { return groups_[0].group().block; }
  // The ids of the neurons within the block.
  std::vector<uint32_t> ids() const;
  // Where each group ends among the block's neurons.
  const std::vector<uint32_t>& ends() const { return ends_; }
  uint32_t neurons() const { return ends_.back(); }
  bool Has(BundlePart part) const { return groups_[0].layout().Find(part) != nullptr; }

  // A part with a row of `cols` values per neuron.
  absl::StatusOr<Matrix> PackNeurons(BundlePart part, TensorType type, size_t cols, ThreadPool& pool,
                                     Arithmetic arithmetic) const;
  absl::StatusOr<RowMatrix> PackNeuronRows(BundlePart part, TensorType type, size_t cols, ThreadPool& pool,
                                           Arithmetic arithmetic) const;
  // `down` stored by output, (n_embd, neurons).
  absl::StatusOr<Matrix> PackDown(TensorType type, size_t n_embd, ThreadPool& pool,
                                  Arithmetic arithmetic) const {
    return PackOutputs(BundlePart::kDown, type, n_embd, pool, arithmetic);
  }
  // A part with a column per neuron, of so many rows.
  absl::StatusOr<Matrix> PackOutputs(BundlePart part, TensorType type, size_t rows, ThreadPool& pool,
                                     Arithmetic arithmetic) const;
  // `down` by neuron, turned where it is not stored so.
  absl::StatusOr<DownRows> PackDownRows(TensorType type, size_t n_embd, bool neuron_major, ThreadPool& pool,
                                        Arithmetic arithmetic) const;
  // The values of a float32 part, of all groups that have it.
  std::vector<float> Vector(BundlePart part) const;

 private:
  // Rows [first, first + count) of a part with a row per neuron, each of row_bytes.
  void CopyNeurons(BundlePart part, size_t first, size_t count, size_t row_bytes, uint8_t* out) const;
  // Rows of a part with a column per neuron: the groups' columns side by side.
  void CopyOutputs(BundlePart part, size_t first, size_t count, size_t row_bytes, uint8_t* out) const;

  const absl::Span<const GroupWeights> groups_;
  std::vector<uint32_t> ends_;
};

// Calls fn with the groups of each block in turn; they are gone when the next block is at hand. The first
// error ends it.
absl::Status ForEachBlock(std::vector<GroupWeights> groups,
                          absl::FunctionRef<absl::Status(absl::Span<const GroupWeights>)> fn);

}  // namespace hearth

#endif  // HEARTH_ENGINE_NEURON_JOINED_GROUPS_H_
