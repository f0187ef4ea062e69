#include "engine/weights/weight_loader.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/absl_view.h"
#include "engine/base/printable.h"
#include "engine/quant/types.h"

namespace hearth {
namespace {

bool HasShape(const GgufTensor& tensor, WeightLoader::Shape shape) {
  size_t i = 0;
  for (uint64_t size : shape) {
    if (tensor.ne[i++] != size) return false;
  }
  return std::all_of(tensor.ne.begin() + i, tensor.ne.end(), [](uint64_t size) { return size == 1; });
}

}  // namespace

WeightLoader::WeightLoader(const TensorSet& tensors, Arithmetic arithmetic, ThreadPool* pool)
    : tensors_(tensors), arithmetic_(arithmetic), pool_(pool) {}

WeightLoader WeightLoader::Borrowing(const TensorSet& tensors, ThreadPool* pool) {
  WeightLoader loader(tensors, Arithmetic::kFloat32, pool);
  loader.packs_ = false;
  return loader;
}

const GgufTensor* WeightLoader::Optional(const std::string& name, Shape shape) {
  const GgufTensor* tensor = tensors_.Find(name);
  if (tensor == nullptr || !status_.ok()) return nullptr;
  used_.insert(tensor);
  if (HasShape(*tensor, shape)) return tensor;
  Fail(absl::InvalidArgumentError(absl::StrCat("tensor ", name, " is {", absl::StrJoin(tensor->ne, ", "),
                                               "}, but the file's metadata make it {",
                                               absl::StrJoin(shape, ", "), "}")));
  return nullptr;
}

const GgufTensor* WeightLoader::Require(const std::string& name, Shape shape) {
  if (!Has(name)) {
    Fail(absl::InvalidArgumentError(
        absl::StrCat("the file has no tensor ", name, ", {", absl::StrJoin(shape, ", "), "}")));
    return nullptr;
  }
  return Optional(name, shape);
}

Matrix WeightLoader::Pack(const GgufTensor& tensor, uint64_t first_row, uint64_t rows) {
  const uint64_t row_bytes = tensor.row_bytes();
  bytes_ += rows * row_bytes;
  if (pool_ == nullptr) return Matrix();
  const absl::Span<const uint8_t> data = tensor.data.subspan(first_row * row_bytes, rows * row_bytes);
  absl::StatusOr<Matrix> matrix =
      packs_ ? Matrix::Pack(tensor.type, rows, tensor.cols(), data, *pool_, arithmetic_)
             : Matrix::Borrow(tensor.type, rows, tensor.cols(), data);
  if (!matrix.ok()) {
    Fail(absl::Status(matrix.status().code(),
                      absl::StrCat("tensor ", tensor.name, ": ", matrix.status().message())));
    return Matrix();
  }
  if (matrix->owns_memory()) {
    tensors_.Release(data);
  } else {
    borrows_ = true;
  }
  return *std::move(matrix);
}

Matrix WeightLoader::LoadMatrix(const std::string& name, uint64_t rows, uint64_t cols) {
  const GgufTensor* weight = Require(absl::StrCat(name, ".weight"), {cols, rows});
  return weight == nullptr ? Matrix() : Pack(*weight, 0, rows);
}

Linear WeightLoader::LoadLinear(const std::string& name, uint64_t rows, uint64_t cols) {
  return LoadLinearPart(name, 0, rows, rows, cols);
}

Linear WeightLoader::LoadLinearPart(const std::string& name, uint64_t first, uint64_t rows, uint64_t total,
                                    uint64_t cols) {
  Linear linear;
  if (const GgufTensor* weight = Require(absl::StrCat(name, ".weight"), {cols, total})) {
    linear.weights = Pack(*weight, first, rows);
  }
  const std::vector<float> bias = LoadOptionalVector(absl::StrCat(name, ".bias"), {total});
  if (!bias.empty()) linear.bias.assign(bias.begin() + first, bias.begin() + first + rows);
  const std::vector<float> scale = LoadOptionalVector(absl::StrCat(name, ".scale"), {1});
  if (!scale.empty()) linear.scale = scale[0];
  return linear;
}

const GgufTensor* WeightLoader::RequireAdapter(const std::string& name, Shape shape) {
  const GgufTensor* tensor = Require(name, shape);
  if (tensor == nullptr || tensor->type == TensorType::kF32) return tensor;
  Fail(absl::InvalidArgumentError(absl::StrCat("tensor ", name,
                                               " of a LoRA adapter is not float32 here; give "
                                               "the adapter as a file of its own, with --lora")));
  return nullptr;
}

Matrix WeightLoader::LoadAdapter(const std::string& name, uint64_t first, uint64_t rows, uint64_t total,
                                 uint64_t cols) {
  const GgufTensor* half = RequireAdapter(name, {cols, total});
  return half == nullptr ? Matrix() : Pack(*half, first, rows);
}

WeightSlice WeightLoader::AdapterSlice(const std::string& name, Shape shape, uint64_t first_row) {
  return {RequireAdapter(name, shape), first_row};
}

Norm WeightLoader::LoadNorm(const std::string& name, Shape shape) {
  Norm norm;
  norm.present = true;
  norm.weight = LoadVector(absl::StrCat(name, ".weight"), shape);
  norm.bias = LoadOptionalVector(absl::StrCat(name, ".bias"), shape);
  return norm;
}

std::vector<float> WeightLoader::ToVector(const GgufTensor& tensor) {
  bytes_ += tensor.bytes();
  if (pool_ == nullptr) return {};
  std::vector<float> values(tensor.values());
  Dequantize(tensor.type, tensor.data, values.size(), values.data());
  return values;
}

std::vector<float> WeightLoader::LoadVector(const std::string& name, Shape shape) {
  const GgufTensor* tensor = Require(name, shape);
  return tensor == nullptr ? std::vector<float>() : ToVector(*tensor);
}

std::vector<float> WeightLoader::LoadOptionalVector(const std::string& name, Shape shape) {
  const GgufTensor* tensor = Optional(name, shape);
  return tensor == nullptr ? std::vector<float>() : ToVector(*tensor);
}

RowTable WeightLoader::BorrowRows(const std::string& name, Shape shape) {
  const RowTable table = BorrowMatrix(name, shape);
  bytes_read_by_row_ += table.rows * table.row_bytes;
  return table;
}

RowTable WeightLoader::BorrowMatrix(const std::string& name, Shape shape) {
  const GgufTensor* tensor = Require(name, shape);
  if (tensor == nullptr) return {};
  bytes_ += tensor->bytes();
  borrows_ = true;
  return {tensor->type, tensor->data.data(), tensor->rows(), tensor->cols(), tensor->row_bytes()};
}

WeightSlice WeightLoader::Slice(const std::string& name, Shape shape, uint64_t first_row) {
  return {Require(name, shape), first_row};
}

WeightSlice WeightLoader::VectorSlice(const std::string& name, Shape shape) {
  if (!Has(name)) Require(name, shape);
  return OptionalVectorSlice(name, shape);
}

WeightSlice WeightLoader::OptionalVectorSlice(const std::string& name, Shape shape, uint64_t first_value) {
  const GgufTensor* tensor = Optional(name, shape);
  if (tensor != nullptr && GetTypeInfo(tensor->type).block_values > 1) {
    Fail(absl::UnimplementedError(
        absl::StrCat("tensor ", name, " is of type ", AbslView(GetTypeInfo(tensor->type).name),
                     ", but vectors have to be F32, F16 or BF16; convert the model again")));
    return {};
  }
  return {tensor, first_value};
}

std::vector<const GgufTensor*> WeightLoader::used() const {
  std::vector<const GgufTensor*> used;
  for (const GgufTensor& tensor : tensors_.tensors()) {
    if (used_.contains(&tensor)) used.push_back(&tensor);
  }
  return used;
}

absl::Status WeightLoader::Finish() const {
  if (!status_.ok()) return status_;
  for (const GgufTensor& tensor : tensors_.tensors()) {
    if (used_.contains(&tensor)) continue;
    const bool ignored = std::any_of(ignored_.begin(), ignored_.end(), [&](const std::string& prefix) {
      return absl::StartsWith(tensor.name, prefix);
    });
    if (!ignored) {
      return absl::UnimplementedError(absl::StrCat("the file has a tensor ", Printable(tensor.name),
                                                   " that its architecture, as this version knows it, does "
                                                   "not use: the result would be wrong without it"));
    }
  }
  return absl::OkStatus();
}

}  // namespace hearth
