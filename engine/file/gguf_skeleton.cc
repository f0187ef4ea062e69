#include "engine/file/gguf_skeleton.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/checked.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_writer.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

constexpr char kNames[] = "hearth.skeleton.names";
constexpr char kTypes[] = "hearth.skeleton.types";
constexpr char kShapes[] = "hearth.skeleton.shapes";  // ne[0] to ne[3] of each tensor
constexpr size_t kShapeSizes = 4;

// What a model may have at most. A file's size bounds its tensors; a skeleton has none.
constexpr uint64_t kMaxRows = uint64_t{1} << 28;  // of all tensors
constexpr uint64_t kMaxCols = uint64_t{1} << 32;
constexpr uint64_t kMaxBytes = uint64_t{1} << 50;

absl::Status Invalid(const std::string& name, const std::string& problem) {
  return absl::InvalidArgumentError(absl::StrCat(name, ": ", problem, "; load the model again"));
}

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

// Copies the keys that begin with none of `without`.
void CopyMetadata(const GgufFile& file, const std::vector<std::string>& without, GgufWriter& writer) {
  for (const std::string& key : file.metadata().keys()) {
    const auto begins = [&](const std::string& prefix) { return absl::StartsWith(key, prefix); };
    if (std::none_of(without.begin(), without.end(), begins)) writer.Set(key, *file.metadata().Find(key));
  }
}

// What is told of the tensors without data.
struct TensorLists {
  std::vector<std::string> names;
  std::vector<uint64_t> types, shapes;

  void Add(const GgufTensor& tensor, GgufWriter& writer) {
    if (tensor.values() == 1) {
      writer.AddTensor(tensor.name, tensor.type, {1}, {tensor.data.begin(), tensor.data.end()});
      return;
    }
    names.push_back(tensor.name);
    types.push_back(static_cast<uint64_t>(tensor.type));
    shapes.insert(shapes.end(), tensor.ne.begin(), tensor.ne.end());
  }
};

}  // namespace

absl::StatusOr<std::vector<uint8_t>> MakeSkeleton(const GgufFile& file, const GgufFile* profile) {
  GgufWriter writer(file.is_powerinfer());
  CopyMetadata(file,
               profile != nullptr ? std::vector<std::string>{"tokenizer.", "hearth.profile."}
                                  : std::vector<std::string>{"tokenizer."},
               writer);
  if (profile != nullptr) CopyMetadata(*profile, {"general."}, writer);
  TensorLists lists;
  for (const GgufTensor& tensor : file.tensors()) {
    if (profile == nullptr || profile->FindTensor(tensor.name) == nullptr) lists.Add(tensor, writer);
  }
  if (profile != nullptr) {
    for (const GgufTensor& tensor : profile->tensors()) lists.Add(tensor, writer);
  }
  writer.Set(kNames, std::move(lists.names));
  writer.Set(kTypes, std::move(lists.types));
  writer.Set(kShapes, std::move(lists.shapes));
  return writer.Serialize();
}

absl::StatusOr<std::unique_ptr<GgufFile>> ParseSkeleton(std::vector<uint8_t> bytes, std::string name) {
  HEARTH_ASSIGN_OR_RETURN(std::unique_ptr<GgufFile> file, GgufFile::Parse(bytes, std::move(name)));
  file->owned_ = std::move(bytes);  // the same memory
  const std::vector<std::string>* names = file->metadata().FindStrings(kNames);
  HEARTH_ASSIGN_OR_RETURN(const auto types, file->metadata().GetUints(kTypes));
  HEARTH_ASSIGN_OR_RETURN(const auto shapes, file->metadata().GetUints(kShapes));
  if (names == nullptr || !types || !shapes) return Invalid(file->name(), "not the skeleton of a model");
  if (types->size() != names->size() || shapes->size() != kShapeSizes * names->size()) {
    return Invalid(file->name(), "its lists of tensors are of different lengths");
  }
  Totals totals;
  for (size_t i = 0; i < names->size(); ++i) {
    absl::StatusOr<GgufTensor> tensor = TensorOf(
        (*names)[i], (*types)[i], absl::MakeConstSpan(*shapes).subspan(kShapeSizes * i, kShapeSizes), totals);
    if (!tensor.ok())
      return absl::Status(tensor.status().code(),
                          absl::StrCat(file->name(), ": ", tensor.status().message()));
    if (!file->tensor_index_.emplace(tensor->name, file->tensors_.size()).second) {
      return Invalid(file->name(), absl::StrCat("two tensors are called ", Printable(tensor->name)));
    }
    file->tensors_.push_back(*std::move(tensor));
  }
  return file;
}

}  // namespace hearth
