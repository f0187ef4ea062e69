#include "engine/weights/unit.h"

#include <cstring>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

constexpr uint64_t kAlignment = 64;

// Bytes of `cols` columns, whole blocks, of a row.
uint64_t ColBytes(TensorType type, uint64_t cols) {
  const TypeInfo& info = GetTypeInfo(type);
  return cols / info.block_values * info.block_bytes;
}

uint64_t RowBytesOf(const GgufTensor& tensor) { return ColBytes(tensor.type, tensor.cols()); }

uint64_t RunSum(const TensorPart& part) {
  uint64_t sum = 0;
  for (const IndexRange& run : part.runs) sum += run.size();
  return sum;
}

uint64_t PartRows(const TensorPart& part) {
  return part.axis == Axis::kRows ? RunSum(part) : part.tensor.rows();
}

uint64_t PartRowBytes(const TensorPart& part) {
  return part.axis == Axis::kCols ? ColBytes(part.tensor.type, RunSum(part)) : RowBytesOf(part.tensor);
}

absl::Status CheckPart(const TensorPart& part) {
  const GgufTensor& tensor = part.tensor;
  const uint64_t limit = part.axis == Axis::kRows ? tensor.rows() : tensor.cols();
  const uint64_t block = part.axis == Axis::kCols ? GetTypeInfo(tensor.type).block_values : 1;
  for (const IndexRange& run : part.runs) {
    if (run.begin > run.end || run.end > limit || run.begin % block != 0 || run.end % block != 0) {
      return absl::InvalidArgumentError(absl::StrCat("a unit's share [", run.begin, ", ", run.end,
                                                     ") of tensor ", tensor.name,
                                                     " does not lie in it, or cuts a block"));
    }
  }
  if (tensor.cols() % GetTypeInfo(tensor.type).block_values != 0) {
    return absl::InvalidArgumentError(absl::StrCat("the rows of tensor ", tensor.name, " cut a block"));
  }
  return absl::OkStatus();
}

// One run of a part: `rows` rows of `bytes` bytes, `stride` bytes apart.
struct Piece {
  const uint8_t* data = nullptr;
  uint64_t rows = 0;
  uint64_t bytes = 0;
  uint64_t stride = 0;

  void CopyTo(uint8_t* out, uint64_t out_stride) const {
    if (bytes == stride && bytes == out_stride) {
      if (rows * bytes > 0) std::memcpy(out, data, rows * bytes);
      return;
    }
    for (uint64_t r = 0; r < rows; ++r) std::memcpy(out + r * out_stride, data + r * stride, bytes);
  }
};

// Run `index` of a part, as it lies in the file.
Piece FilePiece(const TensorPart& part, size_t index) {
  const GgufTensor& tensor = part.tensor;
  const uint64_t row_bytes = RowBytesOf(tensor);
  if (part.axis == Axis::kNone) return {tensor.data.data(), tensor.rows(), row_bytes, row_bytes};
  const IndexRange& run = part.runs[index];
  if (part.axis == Axis::kRows) {
    return {tensor.data.data() + run.begin * row_bytes, run.size(), row_bytes, row_bytes};
  }
  return {tensor.data.data() + ColBytes(tensor.type, run.begin), tensor.rows(),
          ColBytes(tensor.type, run.size()), row_bytes};
}

// The same as it lies in a bundle, where the part starts at `data`.
Piece BundlePiece(const TensorPart& part, size_t index, const uint8_t* data) {
  const GgufTensor& tensor = part.tensor;
  const uint64_t row_bytes = PartRowBytes(part);
  if (part.axis == Axis::kNone) return {data, tensor.rows(), row_bytes, row_bytes};
  uint64_t before = 0;
  for (size_t i = 0; i < index; ++i) before += part.runs[i].size();
  const uint64_t size = part.runs[index].size();
  if (part.axis == Axis::kRows) return {data + before * row_bytes, size, row_bytes, row_bytes};
  return {data + ColBytes(tensor.type, before), tensor.rows(), ColBytes(tensor.type, size), row_bytes};
}

size_t RunCount(const TensorPart& part) { return part.axis == Axis::kNone ? 1 : part.runs.size(); }

// The units' runs of one tensor in the order of the joined tensor.
class JoinedTensor {
 public:
  JoinedTensor(absl::Span<const UnitWeights> units, size_t index) : units_(units), index_(index) {
    const TensorPart& first = units[0].parts[index];
    const size_t taken = first.axis == Axis::kNone ? 1 : units.size();
    for (size_t run = 0; run < RunCount(first); ++run) {
      for (size_t u = 0; u < taken; ++u) {
        const TensorPart& part = units[u].parts[index];
        HEARTH_CHECK(part.tensor.name == first.tensor.name && RunCount(part) == RunCount(first));
        Take(units[u], part, run);
      }
    }
  }

  void AddTo(TensorSet& set) const {
    const TensorPart& first = units_[0].parts[index_];
    GgufTensor tensor = first.tensor;
    if (first.axis == Axis::kRows) tensor.ne = {tensor.ne[0], size_, 1, 1};
    if (first.axis == Axis::kCols) tensor.ne[0] = size_;
    if (InOnePiece(first)) {
      const uint64_t row_bytes = RowBytesOf(first.tensor);
      if (first.axis == Axis::kRows) tensor.data = tensor.data.subspan(begin_ * row_bytes, size_ * row_bytes);
      return set.Add(std::move(tensor));
    }
    std::vector<uint8_t> bytes(tensor.rows() * RowBytesOf(tensor));
    uint64_t offset = 0;
    for (const Piece& piece : pieces_) {
      piece.CopyTo(bytes.data() + offset, RowBytesOf(tensor));
      offset += first.axis == Axis::kCols ? piece.bytes : piece.rows * piece.bytes;
    }
    set.Add(std::move(tensor), std::move(bytes));
  }

 private:
  void Take(const UnitWeights& unit, const TensorPart& part, size_t run) {
    const bool from_file = unit.bundle.empty();
    pieces_.push_back(from_file ? FilePiece(part, run)
                                : BundlePiece(part, run, unit.bundle.data() + unit.layout.offsets[index_]));
    all_from_file_ &= from_file;
    if (part.axis == Axis::kNone) return;
    if (size_ == 0) begin_ = end_ = part.runs[run].begin;
    adjacent_ &= part.runs[run].begin == end_;
    end_ = part.runs[run].end;
    size_ += part.runs[run].size();
  }

  // Whether the joined tensor is a piece of the file's.
  bool InOnePiece(const TensorPart& part) const {
    if (!all_from_file_) return false;
    if (part.axis == Axis::kCols) return adjacent_ && size_ == part.tensor.cols();
    return adjacent_;
  }

  const absl::Span<const UnitWeights> units_;
  const size_t index_;
  std::vector<Piece> pieces_;
  bool all_from_file_ = true;
  bool adjacent_ = true;  // the runs follow one another in the file
  uint64_t begin_ = 0, end_ = 0;
  uint64_t size_ = 0;  // rows or columns along the axis
};

}  // namespace

absl::StatusOr<UnitLayout> MakeUnitLayout(const UnitParts& parts) {
  UnitLayout layout;
  for (const TensorPart& part : parts) {
    HEARTH_RETURN_IF_ERROR(CheckPart(part));
    const std::optional<uint64_t> bytes = CheckedMul(PartRows(part), PartRowBytes(part));
    const std::optional<uint64_t> end = bytes ? CheckedAdd(layout.bytes, *bytes) : std::nullopt;
    const std::optional<uint64_t> padded = end ? CheckedAdd(*end, kAlignment - 1) : std::nullopt;
    if (!padded) {
      return absl::InvalidArgumentError(
          absl::StrCat("tensor ", part.tensor.name, " is larger than any memory"));
    }
    layout.offsets.push_back(layout.bytes);
    layout.bytes = *padded / kAlignment * kAlignment;
  }
  return layout;
}

std::vector<uint8_t> ExtractBundle(const UnitParts& parts, const UnitLayout& layout) {
  std::vector<uint8_t> bundle(layout.bytes);  // the gaps between parts are zero: they count in the hash
  for (size_t p = 0; p < parts.size(); ++p) {
    for (size_t run = 0; run < RunCount(parts[p]); ++run) {
      const Piece to = BundlePiece(parts[p], run, bundle.data() + layout.offsets[p]);
      FilePiece(parts[p], run).CopyTo(const_cast<uint8_t*>(to.data), to.stride);
    }
  }
  return bundle;
}

absl::StatusOr<UnitWeights> UnitFromBundle(UnitParts parts, std::vector<uint8_t> bundle) {
  UnitWeights unit;
  HEARTH_ASSIGN_OR_RETURN(unit.layout, MakeUnitLayout(parts));
  if (bundle.size() != unit.layout.bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat("a unit takes ", unit.layout.bytes, " bytes of weights, got ", bundle.size()));
  }
  unit.parts = std::move(parts);
  unit.bundle = std::move(bundle);
  return unit;
}

absl::StatusOr<UnitWeights> UnitFromFile(UnitParts parts) {
  UnitWeights unit;
  HEARTH_ASSIGN_OR_RETURN(unit.layout, MakeUnitLayout(parts));
  unit.parts = std::move(parts);
  return unit;
}

TensorSet JoinUnits(absl::Span<const UnitWeights> units) {
  TensorSet set;
  HEARTH_CHECK(!units.empty());
  for (size_t p = 0; p < units[0].parts.size(); ++p) JoinedTensor(units, p).AddTo(set);
  return set;
}

}  // namespace hearth
