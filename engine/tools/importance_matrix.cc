#include "engine/tools/importance_matrix.h"

#include <cmath>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr std::string_view kSumSuffix = ".in_sum2";
constexpr char kCountSuffix[] = ".counts";

std::vector<float> Floats(const GgufTensor& tensor) {
  std::vector<float> values(tensor.values());
  Dequantize(tensor.type, tensor.data, values.size(), values.data());
  return values;
}

}  // namespace

absl::StatusOr<ImportanceMatrix> ImportanceMatrix::Load(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(path));
  ImportanceMatrix matrix;
  for (const GgufTensor& tensor : file->tensors()) {
    if (!std::string_view(tensor.name).ends_with(kSumSuffix)) continue;
    const std::string name = tensor.name.substr(0, tensor.name.size() - kSumSuffix.size());
    HEARTH_RETURN_IF_ERROR(matrix.Add(*file, tensor, name));
  }
  if (matrix.entries_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ": is no importance matrix (no tensor is named *.in_sum2); give one in GGUF form"));
  }
  return matrix;
}

absl::Status ImportanceMatrix::Add(const GgufFile& file, const GgufTensor& sums, const std::string& name) {
  const auto error = [&](const char* what) {
    return absl::InvalidArgumentError(absl::StrCat(file.name(), ": the importance of ", name, " ", what,
                                                   "; make the importance matrix again"));
  };
  const GgufTensor* counts = file.FindTensor(name + kCountSuffix);
  if (counts == nullptr || counts->values() != sums.rows()) return error("has no count for each matrix");
  if (sums.type != TensorType::kF32 || counts->type != TensorType::kF32) return error("is not in F32");
  const std::vector<float> count = Floats(*counts);
  Entry entry{sums.cols(), Floats(sums)};
  for (size_t i = 0; i < entry.weights.size(); ++i) {
    const float divisor = count[i / entry.cols];
    float& weight = entry.weights[i];
    weight = divisor > 0 ? weight / divisor : 1.0f;
    if (!(weight >= 0) || !std::isfinite(weight))
      return error("holds a number that is negative or not finite");
  }
  entries_.emplace(name, std::move(entry));
  return absl::OkStatus();
}

absl::StatusOr<std::vector<float>> ImportanceMatrix::For(const GgufTensor& tensor) const {
  const auto found = entries_.find(tensor.name);
  if (found == entries_.end()) return std::vector<float>();
  const Entry& entry = found->second;
  if (entry.cols != tensor.cols() || entry.weights.size() != tensor.cols() * tensor.ne[2] * tensor.ne[3]) {
    return absl::InvalidArgumentError(
        absl::StrCat("the importance of ", tensor.name,
                     " has other sizes than the tensor; use the importance matrix of "
                     "this model"));
  }
  return entry.weights;
}

}  // namespace hearth
