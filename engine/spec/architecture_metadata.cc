#include "engine/spec/architecture_metadata.h"

#include <limits>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"

namespace hearth {

ArchitectureMetadata::ArchitectureMetadata(const GgufMetadata& metadata, std::string architecture)
    : metadata_(metadata), architecture_(std::move(architecture)) {}

std::string ArchitectureMetadata::FullKey(std::string_view key) const {
  std::string full = absl::StrCat(architecture_, ".", AbslView(key));
  if (!metadata_.Has(full) && metadata_.Has(key)) return std::string(key);
  return full;
}

bool ArchitectureMetadata::Has(std::string_view key) const { return metadata_.Has(FullKey(key)); }

void ArchitectureMetadata::Fail(absl::Status status) const { status_.Update(std::move(status)); }

template <class T>
std::optional<T> ArchitectureMetadata::Take(absl::StatusOr<std::optional<T>> value) const {
  if (value.ok()) return *std::move(value);
  Fail(value.status());
  return std::nullopt;
}

uint32_t ArchitectureMetadata::Narrow(std::string_view key, uint64_t value) const {
  // Sizes above this are no models but damaged files; below it sums and products of a few sizes fit 64 bits.
  constexpr uint64_t kLargest = std::numeric_limits<int32_t>::max();
  if (value <= kLargest) return static_cast<uint32_t>(value);
  Fail(absl::InvalidArgumentError(absl::StrCat(FullKey(key), " is ", value, ", more than any model has")));
  return 0;
}

uint32_t ArchitectureMetadata::Size(std::string_view key) const {
  const uint32_t value = SizeOr(key, 0);
  if (value == 0) {
    Fail(absl::InvalidArgumentError(
        absl::StrCat("the file has no ", FullKey(key), " above 0; it is damaged or incomplete")));
  }
  return value;
}

uint32_t ArchitectureMetadata::SizeOr(std::string_view key, uint32_t otherwise) const {
  const std::optional<uint64_t> value = Take(metadata_.GetUint(FullKey(key)));
  return value ? Narrow(key, *value) : otherwise;
}

float ArchitectureMetadata::Float(std::string_view key) const {
  const std::optional<float> value = Take(metadata_.GetFloat(FullKey(key)));
  if (!value) {
    Fail(absl::InvalidArgumentError(
        absl::StrCat("the file has no ", FullKey(key), "; it is damaged or incomplete")));
  }
  return value.value_or(0);
}

float ArchitectureMetadata::FloatOr(std::string_view key, float otherwise) const {
  return Take(metadata_.GetFloat(FullKey(key))).value_or(otherwise);
}

bool ArchitectureMetadata::BoolOr(std::string_view key, bool otherwise) const {
  return Take(metadata_.GetBool(FullKey(key))).value_or(otherwise);
}

std::string ArchitectureMetadata::StringOr(std::string_view key, std::string otherwise) const {
  return Take(metadata_.GetString(FullKey(key))).value_or(std::move(otherwise));
}

std::vector<uint32_t> ArchitectureMetadata::SizePerLayer(std::string_view key, uint32_t layers,
                                                         std::optional<uint32_t> otherwise) const {
  const std::optional<std::vector<uint64_t>> values = Take(metadata_.GetUints(FullKey(key)));
  if (!values) {
    if (!otherwise) {
      Fail(absl::InvalidArgumentError(
          absl::StrCat("the file has no ", FullKey(key), "; it is damaged or incomplete")));
    }
    return std::vector<uint32_t>(layers, otherwise.value_or(0));
  }
  if (values->size() != 1 && values->size() != layers) {
    Fail(absl::InvalidArgumentError(
        absl::StrCat(FullKey(key), " has ", values->size(), " values for ", layers, " layers")));
    return std::vector<uint32_t>(layers, 0);
  }
  std::vector<uint32_t> result;
  result.reserve(layers);
  for (uint32_t i = 0; i < layers; ++i)
    result.push_back(Narrow(key, values->size() == 1 ? (*values)[0] : (*values)[i]));
  return result;
}

std::vector<float> ArchitectureMetadata::FloatPerLayer(std::string_view key, uint32_t layers) const {
  std::vector<float> values = Take(metadata_.GetFloats(FullKey(key))).value_or(std::vector<float>());
  if (values.size() == 1) values.resize(layers, values[0]);
  if (values.size() != layers) {
    Fail(absl::InvalidArgumentError(absl::StrCat(FullKey(key), " needs one value per layer, it has ",
                                                 values.size(), " for ", layers, " layers")));
    values.resize(layers, 0);
  }
  return values;
}

}  // namespace hearth
