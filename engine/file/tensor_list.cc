#include "engine/file/tensor_list.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/base/checked.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

constexpr size_t kShapeSizes = 4;

// What a model may have at most: nothing else bounds tensors that are only told of.
constexpr uint64_t kMaxRows = uint64_t{1} << 28;  // of all tensors
constexpr uint64_t kMaxCols = uint64_t{1} << 32;
constexpr uint64_t kMaxBytes = uint64_t{1} << 50;

// Counts what tensors have together.
struct Totals {
  uint64_t rows = 0;
  uint64_t bytes = 0;

  // False when it is too much.
  bool Add(const GgufTensor& tensor, uint64_t row_bytes) {
    std::optional<uint64_t> rows_of = uint64_t{1};
    for (size_t d = 1; d < tensor.ne.size() && rows_of; ++d) rows_of = CheckedMul(*rows_of, tensor.ne[d]);
    if (!rows_of || *rows_of > kMaxRows || tensor.ne[0] > kMaxCols) return false;
    rows += *rows_of;
    const std::optional<uint64_t> of_tensor = CheckedMul(*rows_of, row_bytes);
    const std::optional<uint64_t> sum = of_tensor ? CheckedAdd(bytes, *of_tensor) : std::nullopt;
    bytes = sum.value_or(kMaxBytes + 1);
    return rows <= kMaxRows && bytes <= kMaxBytes;
  }
};

absl::StatusOr<GgufTensor> TensorOf(const std::string& name, uint64_t type, absl::Span<const uint64_t> shape,
                                    Totals& totals) {
  GgufTensor tensor;
  tensor.name = name;
  tensor.type = static_cast<TensorType>(type);
  if (type > UINT32_MAX || FindTypeInfo(tensor.type) == nullptr) {
    return absl::UnimplementedError(
        absl::StrCat("tensor ", Printable(name), " is of type number ", type, ", which is not supported"));
  }
  std::copy(shape.begin(), shape.end(), tensor.ne.begin());
  for (size_t d = 0; d < tensor.ne.size(); ++d) {
    if (tensor.ne[d] > 1) tensor.dimensions = static_cast<int>(d) + 1;
  }
  const absl::StatusOr<uint64_t> row_bytes = RowBytes(tensor.type, tensor.ne[0]);
  const bool empty = std::find(tensor.ne.begin(), tensor.ne.end(), uint64_t{0}) != tensor.ne.end();
  if (empty || !row_bytes.ok() || !totals.Add(tensor, *row_bytes)) {
    return absl::InvalidArgumentError(
        absl::StrCat("tensor ", Printable(name), " has a shape that cannot be"));
  }
  return tensor;
}

}  // namespace

void TensorList::Add(const GgufTensor& tensor) {
  names_.push_back(tensor.name);
  types_.push_back(static_cast<uint64_t>(tensor.type));
  shapes_.insert(shapes_.end(), tensor.ne.begin(), tensor.ne.end());
}

void TensorList::Write(const std::string& prefix, GgufWriter& writer) && {
  writer.Set(prefix + ".names", std::move(names_));
  writer.Set(prefix + ".types", std::move(types_));
  writer.Set(prefix + ".shapes", std::move(shapes_));
}

absl::StatusOr<std::vector<GgufTensor>> TensorList::Read(const GgufMetadata& metadata,
                                                         const std::string& prefix) {
  const std::vector<std::string>* names = metadata.FindStrings(prefix + ".names");
  HEARTH_ASSIGN_OR_RETURN(const auto types, metadata.GetUints(prefix + ".types"));
  HEARTH_ASSIGN_OR_RETURN(const auto shapes, metadata.GetUints(prefix + ".shapes"));
  if (names == nullptr || !types || !shapes) {
    return absl::InvalidArgumentError(absl::StrCat("it has no list of tensors ", prefix));
  }
  if (types->size() != names->size() || shapes->size() != kShapeSizes * names->size()) {
    return absl::InvalidArgumentError("its lists of tensors are of different lengths");
  }
  std::vector<GgufTensor> tensors;
  Totals totals;
  for (size_t i = 0; i < names->size(); ++i) {
    HEARTH_ASSIGN_OR_RETURN(
        GgufTensor tensor,
        TensorOf((*names)[i], (*types)[i], absl::MakeConstSpan(*shapes).subspan(kShapeSizes * i, kShapeSizes),
                 totals));
    tensors.push_back(std::move(tensor));
  }
  return tensors;
}

}  // namespace hearth
