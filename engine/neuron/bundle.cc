#include "engine/neuron/bundle.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr uint64_t kPartAlignment = 64;

// Appends a part of rows x cols values to the layout, refusing what does not fit 64 bits.
absl::Status Append(BundleLayout& layout, BundlePart part, TensorType type, uint64_t rows, uint64_t cols) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t row_bytes, RowBytes(type, cols));
  const std::optional<uint64_t> bytes = CheckedMul(rows, row_bytes);
  const std::optional<uint64_t> padded = CheckedAdd(layout.bytes, kPartAlignment - 1);
  if (!bytes || !padded) return absl::InvalidArgumentError("the weights of a neuron group overflow 64 bits");
  const uint64_t offset = *padded / kPartAlignment * kPartAlignment;
  const std::optional<uint64_t> end = CheckedAdd(offset, *bytes);
  if (!end) return absl::InvalidArgumentError("the weights of a neuron group overflow 64 bits");
  layout.entries.push_back({part, type, rows, cols, offset, *bytes});
  layout.bytes = *end;
  return absl::OkStatus();
}

absl::Status CheckCounts(const FfnLayerSpec& spec, uint32_t block, uint32_t neurons) {
  if (spec.n_embd == 0) return absl::InvalidArgumentError("a layer needs n_embd > 0");
  if (block >= spec.block_neurons.size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("block ", block, " of a layer that has ", spec.block_neurons.size(), " blocks"));
  }
  if (neurons == 0 || neurons > spec.block_neurons[block]) {
    return absl::InvalidArgumentError(absl::StrCat("a group of ", neurons, " neurons in a block of ",
                                                   spec.block_neurons[block], " neurons"));
  }
  if (!spec.up.present || !spec.down.present) {
    return absl::InvalidArgumentError("a feed-forward layer needs the matrices up and down");
  }
  return absl::OkStatus();
}

// Copies the rows `neurons` of a matrix whose row r starts at first_row + r.
void CopyRows(const WeightSlice& slice, const std::vector<uint32_t>& neurons, uint64_t row_bytes,
              uint8_t* out) {
  const uint8_t* base = slice.tensor->data.data() + slice.first_row * row_bytes;
  for (uint32_t neuron : neurons) {
    std::memcpy(out, base + neuron * row_bytes, row_bytes);
    out += row_bytes;
  }
}

// Bytes of a row that lie side by side.
struct ByteRun {
  uint64_t offset;
  uint64_t bytes;
};

// Where the columns `neurons` (whole quantised blocks) lie in a row.
std::vector<ByteRun> ColumnRuns(const TypeInfo& info, const std::vector<uint32_t>& neurons) {
  std::vector<ByteRun> runs;
  for (size_t i = 0; i < neurons.size(); i += info.block_values) {
    const uint64_t offset = uint64_t{neurons[i]} / info.block_values * info.block_bytes;
    if (!runs.empty() && runs.back().offset + runs.back().bytes == offset) {
      runs.back().bytes += info.block_bytes;
    } else {
      runs.push_back({offset, info.block_bytes});
    }
  }
  return runs;
}

// Copies the columns `neurons` of every row of a matrix.
void CopyColumns(const WeightSlice& slice, const std::vector<uint32_t>& neurons, uint64_t rows,
                 uint8_t* out) {
  const std::vector<ByteRun> runs = ColumnRuns(GetTypeInfo(slice.tensor->type), neurons);
  const uint64_t row_bytes = slice.tensor->row_bytes();
  const uint8_t* row = slice.tensor->data.data() + slice.first_row * row_bytes;
  for (uint64_t r = 0; r < rows; ++r, row += row_bytes) {
    for (const ByteRun& run : runs) {
      std::memcpy(out, row + run.offset, run.bytes);
      out += run.bytes;
    }
  }
}

// Converts values of a vector (one value per neuron, or the first `count`) to float32.
void CopyVector(const WeightSlice& slice, const std::vector<uint32_t>* neurons, uint64_t count,
                uint8_t* out) {
  const TypeInfo& info = GetTypeInfo(slice.tensor->type);
  HEARTH_CHECK(info.block_values == 1);
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t index = slice.first_row + (neurons ? (*neurons)[i] : i);
    float value;
    Dequantize(slice.tensor->type, slice.tensor->data.subspan(index * info.block_bytes, info.block_bytes), 1,
               &value);
    std::memcpy(out + i * sizeof(float), &value, sizeof(float));
  }
}

}  // namespace

const BundleEntry* BundleLayout::Find(BundlePart part) const {
  for (const BundleEntry& entry : entries) {
    if (entry.part == part) return &entry;
  }
  return nullptr;
}

bool IsFirstOfBlock(const NeuronGroup& group) {
  return std::find(group.neurons.begin(), group.neurons.end(), 0u) != group.neurons.end();
}

absl::StatusOr<BundleLayout> MakeBundleLayout(const FfnLayerSpec& spec, uint32_t block, uint32_t neurons,
                                              bool first_of_block) {
  HEARTH_RETURN_IF_ERROR(CheckCounts(spec, block, neurons));
  BundleLayout layout;
  const auto append = [&layout](bool present, BundlePart part, TensorType type, uint64_t rows,
                                uint64_t cols) {
    return present ? Append(layout, part, type, rows, cols) : absl::OkStatus();
  };
  HEARTH_RETURN_IF_ERROR(append(spec.gate.present, BundlePart::kGate, spec.gate_type(block), neurons, spec.n_embd));
  HEARTH_RETURN_IF_ERROR(append(true, BundlePart::kUp, spec.up_type(block), neurons, spec.n_embd));
  const uint64_t down_rows = spec.neuron_major ? neurons : spec.n_embd;
  const uint64_t down_cols = spec.neuron_major ? spec.n_embd : neurons;
  HEARTH_RETURN_IF_ERROR(append(true, BundlePart::kDown, spec.down_type(block), down_rows, down_cols));
  HEARTH_RETURN_IF_ERROR(append(spec.predictor_rank > 0, BundlePart::kPredictor, spec.predictor_type, neurons,
                                std::max(1u, spec.predictor_rank)));
  HEARTH_RETURN_IF_ERROR(append(spec.gate_bias, BundlePart::kGateBias, TensorType::kF32, 1, neurons));
  HEARTH_RETURN_IF_ERROR(append(spec.up_bias, BundlePart::kUpBias, TensorType::kF32, 1, neurons));
  HEARTH_RETURN_IF_ERROR(
      append(spec.normalize_hidden, BundlePart::kNeuronScale, TensorType::kF32, 1, neurons));
  HEARTH_RETURN_IF_ERROR(
      append(spec.down_bias && first_of_block, BundlePart::kDownBias, TensorType::kF32, 1, spec.n_embd));
  return layout;
}

void ExtractBundle(const FfnLayerSpec& spec, const FfnLayerSource& source, const NeuronGroup& group,
                   const BundleLayout& layout, absl::Span<uint8_t> out) {
  HEARTH_CHECK(out.size() == layout.bytes);
  std::fill(out.begin(), out.end(), 0);  // the gaps between parts count in the bundle's hash
  const FfnBlockSource& block = source.blocks[group.block];
  for (const BundleEntry& entry : layout.entries) {
    uint8_t* to = out.data() + entry.offset;
    const uint64_t row_bytes = entry.bytes / entry.rows;
    switch (entry.part) {
      case BundlePart::kGate:
        CopyRows(block.gate, group.neurons, row_bytes, to);
        break;
      case BundlePart::kUp:
        CopyRows(block.up, group.neurons, row_bytes, to);
        break;
      case BundlePart::kDown:
        if (spec.neuron_major) {
          CopyRows(block.down, group.neurons, row_bytes, to);
        } else {
          CopyColumns(block.down, group.neurons, spec.n_embd, to);
        }
        break;
      case BundlePart::kPredictor:
        CopyRows(block.predictor, group.neurons, row_bytes, to);
        break;
      case BundlePart::kGateBias:
        CopyVector(block.gate_bias, &group.neurons, entry.cols, to);
        break;
      case BundlePart::kUpBias:
        CopyVector(block.up_bias, &group.neurons, entry.cols, to);
        break;
      case BundlePart::kNeuronScale:
        CopyVector(block.neuron_scale, &group.neurons, entry.cols, to);
        break;
      case BundlePart::kDownBias:
        CopyVector(block.down_bias, nullptr, entry.cols, to);
        break;
    }
  }
}

}  // namespace hearth
