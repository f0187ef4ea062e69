#include "engine/neuron/joined_groups.h"

#include <algorithm>
#include <iterator>

#include "engine/base/check.h"
#include "engine/base/status_macros.h"

namespace hearth {

JoinedGroups::JoinedGroups(absl::Span<const GroupWeights> groups) : groups_(groups) {
  uint32_t neurons = 0;
  for (const GroupWeights& group : groups) {
    neurons += static_cast<uint32_t>(group.group().neurons.size());
    ends_.push_back(neurons);
  }
}

std::vector<uint32_t> JoinedGroups::ids() const {
  std::vector<uint32_t> ids;
  for (const GroupWeights& group : groups_) {
    ids.insert(ids.end(), group.group().neurons.begin(), group.group().neurons.end());
  }
  return ids;
}

void JoinedGroups::CopyNeurons(BundlePart part, size_t first, size_t count, size_t row_bytes,
                               uint8_t* out) const {
  size_t g = std::upper_bound(ends_.begin(), ends_.end(), first) - ends_.begin();
  for (; count > 0; ++g) {
    const size_t begin = g == 0 ? 0 : ends_[g - 1];
    const size_t taken = std::min(count, ends_[g] - first);
    const BundleEntry* entry = groups_[g].layout().Find(part);
    HEARTH_CHECK(entry != nullptr && entry->bytes == entry->rows * row_bytes);
    groups_[g].CopyRows(*entry, first - begin, taken, out, row_bytes);
    first += taken;
    count -= taken;
    out += taken * row_bytes;
  }
}

void JoinedGroups::CopyOutputs(BundlePart part, size_t first, size_t count, size_t row_bytes,
                               uint8_t* out) const {
  size_t offset = 0;
  for (const GroupWeights& group : groups_) {
    const BundleEntry* entry = group.layout().Find(part);
    const size_t part_bytes = entry->bytes / entry->rows;
    HEARTH_CHECK(part_bytes <= row_bytes - offset);
    group.CopyRows(*entry, first, count, out + offset, row_bytes);
    offset += part_bytes;
  }
}

std::vector<float> JoinedGroups::Vector(BundlePart part) const {
  std::vector<float> values;
  for (const GroupWeights& group : groups_) {
    const BundleEntry* entry = group.layout().Find(part);
    if (entry == nullptr) continue;
    values.resize(values.size() + entry->cols);
    group.CopyRows(*entry, 0, 1, reinterpret_cast<uint8_t*>(values.data() + values.size() - entry->cols), 0);
  }
  return values;
}

absl::StatusOr<Matrix> JoinedGroups::PackNeurons(BundlePart part, TensorType type, size_t cols,
                                                 ThreadPool& pool, Arithmetic arithmetic) const {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  const auto read = [&](size_t first, size_t count, uint8_t* out) {
    CopyNeurons(part, first, count, row_bytes, out);
  };
  return Matrix::PackRows(type, neurons(), cols, read, pool, arithmetic);
}

absl::StatusOr<RowMatrix> JoinedGroups::PackNeuronRows(BundlePart part, TensorType type, size_t cols,
                                                       ThreadPool& pool, Arithmetic arithmetic) const {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  const auto read = [&](size_t first, size_t count, uint8_t* out) {
    CopyNeurons(part, first, count, row_bytes, out);
  };
  return RowMatrix::PackRows(type, neurons(), cols, read, pool, arithmetic);
}

absl::StatusOr<Matrix> JoinedGroups::PackOutputs(BundlePart part, TensorType type, size_t rows,
                                                 ThreadPool& pool, Arithmetic arithmetic) const {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, neurons()));
  const auto read = [&](size_t first, size_t count, uint8_t* out) {
    CopyOutputs(part, first, count, row_bytes, out);
  };
  return Matrix::PackRows(type, rows, neurons(), read, pool, arithmetic);
}

absl::StatusOr<DownRows> JoinedGroups::PackDownRows(TensorType type, size_t n_embd, bool neuron_major,
                                                    ThreadPool& pool, Arithmetic arithmetic) const {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, neuron_major ? n_embd : neurons()));
  if (neuron_major) {
    const auto read = [&](size_t first, size_t count, uint8_t* out) {
      CopyNeurons(BundlePart::kDown, first, count, row_bytes, out);
    };
    return DownRows::ByNeuron(type, neurons(), n_embd, read, pool, arithmetic);
  }
  const auto read = [&](size_t first, size_t count, uint8_t* out) {
    CopyOutputs(BundlePart::kDown, first, count, row_bytes, out);
  };
  return DownRows::Turn(type, n_embd, neurons(), read, pool);
}

absl::Status ForEachBlock(std::vector<GroupWeights> groups,
                          absl::FunctionRef<absl::Status(absl::Span<const GroupWeights>)> fn) {
  const auto block_of = [](const GroupWeights& group) { return group.group().block; };
  std::stable_sort(groups.begin(), groups.end(),
                   [&](const GroupWeights& a, const GroupWeights& b) { return block_of(a) < block_of(b); });
  for (size_t begin = 0, end = 0; begin < groups.size(); begin = end) {
    while (end < groups.size() && block_of(groups[end]) == block_of(groups[begin])) ++end;
    // Moved out, so that a block's bundles are gone when the next one is packed.
    const std::vector<GroupWeights> of_block(std::make_move_iterator(groups.begin() + begin),
                                             std::make_move_iterator(groups.begin() + end));
    HEARTH_RETURN_IF_ERROR(fn(of_block));
  }
  return absl::OkStatus();
}

}  // namespace hearth
