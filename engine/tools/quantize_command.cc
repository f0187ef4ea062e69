#include "engine/tools/quantize_command.h"

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/base/thread_pool.h"
#include "engine/file/gguf_writer.h"
#include "engine/tools/importance_matrix.h"

namespace hearth {
namespace {

// Values that are unpacked and packed at a time; bounds the memory of a file of any size.
constexpr uint64_t kChunkValues = uint64_t{1} << 22;

// The number that general.file_type has for a file mostly of this type; nullopt for types that we do not
// make.
std::optional<uint64_t> FileType(TensorType type) {
  switch (type) {
    case TensorType::kF32:
      return 0;
    case TensorType::kF16:
      return 1;
    case TensorType::kQ4_0:
      return 2;
    case TensorType::kQ8_0:
      return 7;
    case TensorType::kQ4_K:
      return 14;
    case TensorType::kQ6_K:
      return 18;
    case TensorType::kBF16:
      return 32;
    default:
      return std::nullopt;
  }
}

bool Contains(std::string_view name, std::string_view part) {
  return name.find(part) != std::string_view::npos;
}

// Small tensors in which an error is felt by everything after them.
bool IsSensitive(std::string_view name) {
  static constexpr std::array<std::string_view, 7> kParts = {
      "_norm",         "ffn_gate_inp",  // routers
      "position_embd", "token_types",   // read, not multiplied
      "rope_freqs",    "rope_factors",  // not weights
      "shortconv.conv"};                // a handful of taps
  return std::any_of(kParts.begin(), kParts.end(),
                     [&](std::string_view part) { return Contains(name, part); });
}

bool IsOutput(const GgufFile& file, std::string_view name) {
  return name == "output.weight" ||
         (name == "token_embd.weight" && file.FindTensor("output.weight") == nullptr);
}

// Packs a tensor row by row, chunk by chunk, on all threads.
class TensorQuantizer {
 public:
  TensorQuantizer(const GgufFile& file, const GgufTensor& tensor, TensorType type,
                  std::vector<float> importance, ThreadPool& pool)
      : file_(file), tensor_(tensor), type_(type), importance_(std::move(importance)), pool_(pool) {}

  absl::Status WriteTo(const GgufWriter::Sink& sink) {
    HEARTH_ASSIGN_OR_RETURN(row_bytes_, RowBytes(type_, tensor_.cols()));
    const uint64_t rows_per_chunk = std::max<uint64_t>(1, kChunkValues / tensor_.cols());
    for (uint64_t row = 0; row < tensor_.rows(); row += rows_per_chunk) {
      const uint64_t rows = std::min(rows_per_chunk, tensor_.rows() - row);
      HEARTH_RETURN_IF_ERROR(PackRows(row, rows));
      HEARTH_RETURN_IF_ERROR(sink(packed_));
    }
    file_.Release(tensor_.data);
    return file_.CheckUnchanged();
  }

 private:
  absl::Status PackRows(uint64_t first, uint64_t rows) {
    packed_.resize(rows * row_bytes_);
    std::vector<absl::Status> statuses(rows);
    pool_.ParallelFor(rows, 1, [&](size_t begin, size_t end, int) {
      std::vector<float> values(tensor_.cols());
      for (size_t i = begin; i < end; ++i) statuses[i] = PackRow(first + i, i, values);
    });
    for (uint64_t i = 0; i < rows; ++i) {
      if (!statuses[i].ok()) {
        return absl::Status(statuses[i].code(), absl::StrCat(file_.name(), ": row ", first + i, " of tensor ",
                                                             tensor_.name, ": ", statuses[i].message()));
      }
    }
    return absl::OkStatus();
  }

  absl::Status PackRow(uint64_t row, uint64_t place, std::vector<float>& values) {
    const uint64_t cols = tensor_.cols();
    Dequantize(tensor_.type, tensor_.data.subspan(row * tensor_.row_bytes(), tensor_.row_bytes()), cols,
               values.data());
    absl::Span<const float> importance(importance_);
    if (!importance.empty()) importance = importance.subspan(row / tensor_.ne[1] * cols, cols);
    return Quantize(type_, values, importance,
                    absl::MakeSpan(packed_).subspan(place * row_bytes_, row_bytes_));
  }

  const GgufFile& file_;
  const GgufTensor& tensor_;
  const TensorType type_;
  const std::vector<float> importance_;  // (matrices, cols) or empty
  ThreadPool& pool_;
  uint64_t row_bytes_ = 0;
  std::vector<uint8_t> packed_;
};

uint64_t TotalBytes(const GgufFile& file) {
  uint64_t bytes = 0;
  for (const GgufTensor& tensor : file.tensors()) bytes += tensor.data.size();
  return bytes;
}

}  // namespace

TensorType TypeForTensor(const GgufFile& file, const GgufTensor& tensor, TensorType wanted) {
  const std::string_view name = tensor.name;
  if (tensor.dimensions < 2 || !name.ends_with(".weight") || IsSensitive(name)) return tensor.type;
  TensorType type = wanted;
  if ((wanted == TensorType::kQ4_0 || wanted == TensorType::kQ4_K) && IsOutput(file, name))
    type = TensorType::kQ6_K;
  if (tensor.cols() % GetTypeInfo(type).block_values == 0) return type;
  return tensor.cols() % GetTypeInfo(TensorType::kQ8_0).block_values == 0 ? TensorType::kQ8_0
                                                                          : TensorType::kF16;
}

absl::StatusOr<QuantizeSummary> QuantizeFile(const std::string& input, const std::string& output,
                                             const QuantizeOptions& options) {
  const std::optional<uint64_t> file_type = FileType(options.type);
  if (!file_type) {
    return absl::UnimplementedError(absl::StrCat("cannot quantise to ",
                                                 AbslView(GetTypeInfo(options.type).name),
                                                 "; choose F32, F16, BF16, Q8_0, Q4_0, Q4_K or Q6_K"));
  }
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> file, GgufFile::Open(input));
  if (file->is_packed()) {
    return absl::InvalidArgumentError(
        absl::StrCat(input, " is a packed file; quantise the model that it was made of, then pack that"));
  }
  for (const std::string& read : {input, options.imatrix_path})
    HEARTH_RETURN_IF_ERROR(OutputFile::CheckIsNot(output, read));
  HEARTH_RETURN_IF_ERROR(OutputFile::Check(output, options.replace));
  ImportanceMatrix importance;
  if (!options.imatrix_path.empty()) {
    HEARTH_ASSIGN_OR_RETURN(importance, ImportanceMatrix::Load(options.imatrix_path));
  }
  ThreadPool pool(options.threads);
  GgufWriter writer(file->is_powerinfer());
  writer.CopyMetadata(*file);
  writer.Set("general.file_type", *file_type);
  writer.Set("general.quantization_version", uint64_t{2});

  QuantizeSummary summary;
  summary.input_bytes = TotalBytes(*file);
  for (const GgufTensor& tensor : file->tensors()) {
    const TensorType type = TypeForTensor(*file, tensor, options.type);
    if (type == tensor.type) {
      ++summary.copied_tensors;
      writer.AddTensor(tensor.name, type, tensor.shape(), [&file, &tensor](const GgufWriter::Sink& sink) {
        HEARTH_RETURN_IF_ERROR(sink(tensor.data));
        return file->CheckUnchanged();
      });
      continue;
    }
    ++summary.quantised_tensors;
    if (type != options.type) ++summary.fallback_tensors;
    HEARTH_ASSIGN_OR_RETURN(std::vector<float> weights, importance.For(tensor));
    const auto quantizer = std::make_shared<TensorQuantizer>(*file, tensor, type, std::move(weights), pool);
    writer.AddTensor(tensor.name, type, tensor.shape(),
                     [quantizer](const GgufWriter::Sink& sink) { return quantizer->WriteTo(sink); });
  }
  HEARTH_RETURN_IF_ERROR(writer.Write(output, options.replace));
  HEARTH_ASSIGN_OR_RETURN(const std::unique_ptr<GgufFile> written, GgufFile::Open(output));
  summary.output_bytes = TotalBytes(*written);
  return summary;
}

}  // namespace hearth
