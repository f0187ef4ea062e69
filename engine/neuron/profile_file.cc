#include "engine/neuron/profile_file.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "engine/base/input_file.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_packed.h"

namespace hearth {
namespace {

// Far more than the predictors of any model take.
constexpr uint64_t kMaxProfileBytes = uint64_t{1} << 34;
// Of each end of a tensor that the fingerprint looks at.
constexpr size_t kSampleBytes = 1024;

// FNV-1a of 64 bits: tells files apart, is no protection against forgery.
class Fingerprint {
 public:
  void Add(absl::Span<const uint8_t> bytes) {
    for (const uint8_t byte : bytes) value_ = (value_ ^ byte) * 0x100000001b3;
  }
  void Add(uint64_t number) { Add({reinterpret_cast<const uint8_t*>(&number), sizeof(number)}); }
  void Add(std::string_view text) {
    Add(uint64_t{text.size()});
    Add({reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  std::string Text() const { return absl::StrFormat("%016x", value_); }

 private:
  uint64_t value_ = 0xcbf29ce484222325;
};

// A parsed file together with the bytes that it was parsed from.
struct OwnedFile {
  std::string bytes;
  std::unique_ptr<GgufFile> file;
};

absl::StatusOr<std::shared_ptr<const GgufFile>> ReadFile(const std::string& path) {
  auto owned = std::make_shared<OwnedFile>();
  HEARTH_ASSIGN_OR_RETURN(owned->bytes, ReadInputFile(path, kMaxProfileBytes));
  const auto* data = reinterpret_cast<const uint8_t*>(owned->bytes.data());
  HEARTH_ASSIGN_OR_RETURN(owned->file, GgufFile::Parse({data, owned->bytes.size()}, path));
  return std::shared_ptr<const GgufFile>(owned, owned->file.get());
}

bool IsOfPredictor(std::string_view tensor) {
  return tensor.starts_with("blk.") && (tensor.ends_with(".fc1.weight") || tensor.ends_with(".fc1.bias") ||
                                        tensor.ends_with(".fc2.weight"));
}

absl::Status CheckFinite(const GgufTensor& tensor, const std::string& path) {
  std::vector<float> row(tensor.cols());
  for (uint64_t r = 0; r < tensor.rows(); ++r) {
    Dequantize(tensor.type, tensor.data.subspan(r * tensor.row_bytes(), tensor.row_bytes()), row.size(),
               row.data());
    if (std::all_of(row.begin(), row.end(), [](float value) { return std::isfinite(value); })) continue;
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": row ", r, " of ", tensor.name,
                     " holds a value that is not finite; profile the model again"));
  }
  return absl::OkStatus();
}

}  // namespace

std::string ModelFingerprint(const GgufFile& model) {
  const absl::StatusOr<std::optional<std::string>> packed = model.metadata().GetString(kPackFingerprintKey);
  if (model.is_packed() && packed.ok() && *packed) return **packed;
  Fingerprint fingerprint;
  for (const GgufTensor& tensor : model.tensors()) {
    fingerprint.Add(tensor.name);
    fingerprint.Add(static_cast<uint64_t>(tensor.type));
    for (const uint64_t size : tensor.ne) fingerprint.Add(size);
    const size_t sample = std::min(kSampleBytes, tensor.data.size());
    fingerprint.Add(tensor.data.first(sample));
    fingerprint.Add(tensor.data.last(sample));
  }
  return fingerprint.Text();
}

std::string ProfilePathOf(const std::string& model_path) {
  std::string_view stem = model_path;
  if (stem.ends_with(".gguf")) stem.remove_suffix(std::string_view(".gguf").size());
  return std::string(stem) + ".profile";
}

absl::StatusOr<std::shared_ptr<const GgufFile>> OpenProfile(const std::string& path, const GgufFile& model) {
  HEARTH_ASSIGN_OR_RETURN(std::shared_ptr<const GgufFile> profile, ReadFile(path));
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> type,
                          profile->metadata().GetString("general.type"));
  if (type != kProfileFileType) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": is no profile of a model; make one with hearth-model profile"));
  }
  HEARTH_ASSIGN_OR_RETURN(const std::optional<std::string> fingerprint,
                          profile->metadata().GetString("hearth.profile.model"));
  if (fingerprint != ModelFingerprint(model)) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": belongs to another model than ", model.name(),
                     "; profile this one with hearth-model profile, or take the file away"));
  }
  for (const GgufTensor& tensor : profile->tensors()) {
    if (!IsOfPredictor(tensor.name)) {
      return absl::InvalidArgumentError(absl::StrCat(path, ": holds the tensor ", Printable(tensor.name),
                                                     ", which is no predictor's; profile the model again"));
    }
    HEARTH_RETURN_IF_ERROR(CheckFinite(tensor, path));
  }
  return profile;
}

absl::StatusOr<std::shared_ptr<const GgufFile>> FindProfile(const std::string& path, const GgufFile& model) {
  if (!path.empty()) return OpenProfile(path, model);
  const std::string beside = ProfilePathOf(model.name());
  std::error_code error;
  if (!std::filesystem::exists(beside, error)) return std::shared_ptr<const GgufFile>();
  return OpenProfile(beside, model);
}

void DescribeProfile(const GgufFile& model, uint64_t tokens, const std::vector<std::vector<float>>& shares,
                     GgufWriter& writer) {
  writer.Set("general.type", std::string(kProfileFileType));
  writer.Set("hearth.profile.model", ModelFingerprint(model));
  writer.Set("hearth.profile.tokens", tokens);
  for (size_t i = 0; i < shares.size(); ++i) {
    if (!shares[i].empty()) writer.Set(absl::StrCat("hearth.profile.", i), shares[i]);
  }
}

}  // namespace hearth
