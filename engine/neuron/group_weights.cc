#include "engine/neuron/group_weights.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/status_macros.h"
#include "engine/kernel/turned_rows.h"

namespace hearth {
namespace {

// Ids are unique, rising and inside the block; whole quantised blocks where `down` is stored by output row.
absl::Status CheckNeurons(const FfnLayerSpec& spec, const NeuronGroup& group) {
  const uint32_t alignment = spec.neuron_alignment(group.block);
  const std::vector<uint32_t>& neurons = group.neurons;
  for (size_t i = 0; i < neurons.size(); ++i) {
    if (neurons[i] >= spec.block_neurons[group.block] || (i > 0 && neurons[i] <= neurons[i - 1])) {
      return absl::InvalidArgumentError(absl::StrCat("neuron ids of a group must rise and lie below ",
                                                     spec.block_neurons[group.block], ", got ", neurons[i]));
    }
    if (neurons[i] % alignment != i % alignment) {
      return absl::InvalidArgumentError(
          absl::StrCat("neurons must be placed in whole blocks of ", alignment, ", got id ", neurons[i]));
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<BundleLayout> CheckedLayout(const FfnLayerSpec& spec, const NeuronGroup& group) {
  HEARTH_ASSIGN_OR_RETURN(BundleLayout layout, MakeBundleLayout(spec, group));
  HEARTH_RETURN_IF_ERROR(CheckNeurons(spec, group));
  return layout;
}

// Copies the rows `ids` of a matrix whose row r starts at first_row + r.
void CopyNeurons(const WeightSlice& slice, absl::Span<const uint32_t> ids, uint64_t row_bytes, uint8_t* out,
                 size_t out_stride) {
  const uint8_t* base = slice.tensor->data.data() + slice.first_row * row_bytes;
  for (uint32_t id : ids) {
    std::memcpy(out, base + id * row_bytes, row_bytes);
    out += out_stride;
  }
}

// Copies the columns `ids` of rows [first, first + count) of a float32 matrix.
void CopyColumns(const GgufTensor& tensor, absl::Span<const uint32_t> ids, size_t first, size_t count,
                 uint8_t* out, size_t out_stride) {
  const uint8_t* row = tensor.data.data() + first * tensor.row_bytes();
  for (size_t r = 0; r < count; ++r, row += tensor.row_bytes(), out += out_stride) {
    for (size_t i = 0; i < ids.size(); ++i) {
      std::memcpy(out + i * sizeof(float), row + ids[i] * sizeof(float), sizeof(float));
    }
  }
}

// Converts a vector's values to float32: those of the neurons `ids`, or the first `count`.
void CopyVector(const WeightSlice& slice, absl::Span<const uint32_t> ids, uint64_t count, uint8_t* out) {
  const TypeInfo& info = GetTypeInfo(slice.tensor->type);
  HEARTH_CHECK(info.block_values == 1);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t index = slice.first_row + (ids.empty() ? i : ids[i]);
    float value;
    Dequantize(slice.tensor->type, slice.tensor->data.subspan(index * info.block_bytes, info.block_bytes), 1,
               &value);
    std::memcpy(out + i * sizeof(float), &value, sizeof(float));
  }
}

}  // namespace

absl::Span<const uint8_t> LoadedGroup::Part(BundlePart part) const {
  const BundleEntry* entry = layout.Find(part);
  if (entry == nullptr) return {};
  return absl::MakeConstSpan(bytes).subspan(entry->offset, entry->bytes);
}

const float* LoadedGroup::Vector(BundlePart part) const {
  const absl::Span<const uint8_t> values = Part(part);
  return values.empty() ? nullptr : reinterpret_cast<const float*>(values.data());
}

absl::StatusOr<GroupWeights> GroupWeights::FromBundle(const FfnLayerSpec& spec, NeuronGroup group,
                                                      std::vector<uint8_t> bundle) {
  GroupWeights weights;
  HEARTH_ASSIGN_OR_RETURN(weights.loaded_.layout, CheckedLayout(spec, group));
  if (bundle.size() != weights.layout().bytes) {
    return absl::InvalidArgumentError(absl::StrCat("a group of ", group.neurons.size(), " neurons takes ",
                                                   weights.layout().bytes, " bytes of weights, got ",
                                                   bundle.size()));
  }
  weights.loaded_.group = std::move(group);
  weights.loaded_.bytes = std::move(bundle);
  return weights;
}

absl::StatusOr<GroupWeights> GroupWeights::FromFile(const FfnLayerSpec& spec, const FfnLayerSource& source,
                                                    NeuronGroup group) {
  GroupWeights weights;
  HEARTH_ASSIGN_OR_RETURN(weights.loaded_.layout, CheckedLayout(spec, group));
  weights.loaded_.group = std::move(group);
  weights.source_ = source.blocks[weights.group().block];
  if (weights.packed() != nullptr) weights.record_ = NeuronRecord::Of(spec, weights.group().block);
  weights.neuron_major_ = spec.neuron_major;
  if (!spec.neuron_major && weights.record_.down_bytes == 0) weights.FindDownRuns();
  return weights;
}

void GroupWeights::FindDownRuns() {
  const TypeInfo& info = GetTypeInfo(source_->down.tensor->type);
  const std::vector<uint32_t>& neurons = group().neurons;
  for (size_t i = 0; i < neurons.size(); i += info.block_values) {
    const uint64_t offset = uint64_t{neurons[i]} / info.block_values * info.block_bytes;
    if (!down_runs_.empty() && down_runs_.back().offset + down_runs_.back().bytes == offset) {
      down_runs_.back().bytes += info.block_bytes;
    } else {
      down_runs_.push_back({offset, info.block_bytes});
    }
  }
}

void GroupWeights::CopyRows(const BundleEntry& entry, size_t first, size_t count, uint8_t* out,
                            size_t out_stride) const {
  HEARTH_CHECK(first <= entry.rows && count <= entry.rows - first);
  if (count == 0) return;
  if (source_) return CopyFromFile(entry, first, count, out, out_stride);
  const uint64_t row_bytes = entry.bytes / entry.rows;
  const uint8_t* row = loaded_.bytes.data() + entry.offset + first * row_bytes;
  for (size_t r = 0; r < count; ++r) std::memcpy(out + r * out_stride, row + r * row_bytes, row_bytes);
}

void GroupWeights::CopyFromFile(const BundleEntry& entry, size_t first, size_t count, uint8_t* out,
                                size_t out_stride) const {
  const absl::Span<const uint32_t> neurons = group().neurons;
  const uint64_t row_bytes = entry.bytes / entry.rows;
  const bool of_record = entry.part == BundlePart::kGate || entry.part == BundlePart::kUp ||
                         (entry.part == BundlePart::kDown && record_.down_bytes > 0);
  if (packed() != nullptr && of_record) return CopyFromRecords(entry, first, count, out, out_stride);
  switch (entry.part) {
    case BundlePart::kGate:
      return CopyNeurons(source_->gate, neurons.subspan(first, count), row_bytes, out, out_stride);
    case BundlePart::kUp:
      return CopyNeurons(source_->up, neurons.subspan(first, count), row_bytes, out, out_stride);
    case BundlePart::kPredictor:
      return CopyNeurons(source_->predictor, neurons.subspan(first, count), row_bytes, out, out_stride);
    case BundlePart::kDown:
      break;
    case BundlePart::kGateBias:
      return CopyVector(source_->gate_bias, neurons, entry.cols, out);
    case BundlePart::kUpBias:
      return CopyVector(source_->up_bias, neurons, entry.cols, out);
    case BundlePart::kNeuronScale:
      return CopyVector(source_->neuron_scale, neurons, entry.cols, out);
    case BundlePart::kDownBias:
      return CopyVector(source_->down_bias, {}, entry.cols, out);
    case BundlePart::kGateAdapter:
      return CopyNeurons(source_->gate_adapter, neurons.subspan(first, count), row_bytes, out, out_stride);
    case BundlePart::kUpAdapter:
      return CopyNeurons(source_->up_adapter, neurons.subspan(first, count), row_bytes, out, out_stride);
    case BundlePart::kDownAdapter:
      return CopyColumns(*source_->down_adapter.tensor, neurons, first, count, out, out_stride);
  }
  if (down_runs_.empty()) {  // stored by neuron
    return CopyNeurons(source_->down, neurons.subspan(first, count), row_bytes, out, out_stride);
  }
  const GgufTensor& down = *source_->down.tensor;
  const uint8_t* row = down.data.data() + (source_->down.first_row + first) * down.row_bytes();
  for (size_t r = 0; r < count; ++r, row += down.row_bytes(), out += out_stride) {
    uint8_t* to = out;
    for (const ByteRun& run : down_runs_) {
      std::memcpy(to, row + run.offset, run.bytes);
      to += run.bytes;
    }
  }
}

void GroupWeights::CopyFromRecords(const BundleEntry& entry, size_t first, size_t count, uint8_t* out,
                                   size_t out_stride) const {
  const absl::Span<const uint32_t> neurons = group().neurons;
  if (entry.part == BundlePart::kDown && !neuron_major_) {
    const auto row = [&](size_t i) { return packed()->record(neurons[i]) + record_.down(); };
    const auto scales = [&](size_t unit) {
      const uint64_t place = packed()->place(neurons[unit * TurnedRows::kUnit]);
      return packed()->scales.data() + place / TurnedRows::kUnit * record_.scale_bytes;
    };
    return TurnedRows(entry.type, entry.rows)
        .TurnBack(row, scales, neurons.size(), first, count, out, out_stride);
  }
  const uint64_t offset = entry.part == BundlePart::kGate ? 0
                          : entry.part == BundlePart::kUp ? record_.up()
                                                          : record_.down();
  for (size_t i = 0; i < count; ++i) {
    std::memcpy(out + i * out_stride, packed()->record(neurons[first + i]) + offset,
                entry.bytes / entry.rows);
  }
}

absl::Status GroupWeights::CheckRecords() const {
  if (packed() == nullptr) return absl::OkStatus();
  for (const uint32_t neuron : group().neurons) {
    if (IsIntact(record_, packed()->record(neuron), /*with_gate=*/true)) continue;
    return absl::DataLossError(absl::StrCat("neuron ", neuron, " of block ", group().block,
                                            " is damaged; copy the file again, or pack the model again"));
  }
  return absl::OkStatus();
}

LoadedGroup GroupWeights::Load() && {
  if (source_) {
    loaded_.bytes.resize(layout().bytes);  // the gaps between parts are zero: they count in the bundle's hash
    for (const BundleEntry& entry : layout().entries) {
      CopyFromFile(entry, 0, entry.rows, loaded_.bytes.data() + entry.offset, entry.bytes / entry.rows);
    }
    source_.reset();
  }
  return std::move(loaded_);
}

}  // namespace hearth
