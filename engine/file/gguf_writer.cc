#include "engine/file/gguf_writer.h"

#include <algorithm>
#include <bit>
#include <concepts>
#include <limits>
#include <type_traits>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_kind.h"

namespace hearth {
namespace {

constexpr uint32_t kVersion = 3;

template <class T>
void Append(std::string& out, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  out.append(reinterpret_cast<const char*>(&value), sizeof(value));
}

void Append(std::string& out, const std::string& text) {
  Append(out, static_cast<uint64_t>(text.size()));
  out += text;
}

void Append(std::string& out, GgufKind kind) { Append(out, static_cast<uint32_t>(kind)); }

// The kinds a number may be stored as, the smaller first.
template <class T>
struct Kinds;
template <>
struct Kinds<uint64_t> {
  using Small = uint32_t;
  static constexpr GgufKind kSmall = GgufKind::kUint32, kLarge = GgufKind::kUint64;
};
template <>
struct Kinds<int64_t> {
  using Small = int32_t;
  static constexpr GgufKind kSmall = GgufKind::kInt32, kLarge = GgufKind::kInt64;
};
template <>
struct Kinds<double> {
  using Small = float;
  static constexpr GgufKind kSmall = GgufKind::kFloat32, kLarge = GgufKind::kFloat64;
};
template <>
struct Kinds<float> {
  using Small = float;
  static constexpr GgufKind kSmall = GgufKind::kFloat32, kLarge = GgufKind::kFloat32;
};

template <class T>
bool FitsSmall(T value) {
  using Small = typename Kinds<T>::Small;
  if constexpr (std::integral<T>) {
    return std::in_range<Small>(value);
  } else {
    // Also true for NaN and infinity, which a float holds as well.
    return !(value >= -std::numeric_limits<Small>::max() && value <= std::numeric_limits<Small>::max()) ||
           static_cast<T>(static_cast<Small>(value)) == value;
  }
}

template <class T>
void AppendNumber(std::string& out, T value, bool small) {
  if (small) {
    Append(out, static_cast<typename Kinds<T>::Small>(value));
  } else {
    Append(out, value);
  }
}

template <class T>
void AppendValue(std::string& out, const T& value) {
  const bool small = FitsSmall(value);
  Append(out, small ? Kinds<T>::kSmall : Kinds<T>::kLarge);
  AppendNumber(out, value, small);
}

void AppendValue(std::string& out, bool value) {
  Append(out, GgufKind::kBool);
  Append(out, static_cast<uint8_t>(value));
}

void AppendValue(std::string& out, const std::string& value) {
  Append(out, GgufKind::kString);
  Append(out, value);
}

void AppendArrayHead(std::string& out, GgufKind kind, size_t count) {
  Append(out, GgufKind::kArray);
  Append(out, kind);
  Append(out, static_cast<uint64_t>(count));
}

template <class T>
void AppendValue(std::string& out, const std::vector<T>& values) {
  const bool small = std::all_of(values.begin(), values.end(), FitsSmall<T>);
  AppendArrayHead(out, small ? Kinds<T>::kSmall : Kinds<T>::kLarge, values.size());
  for (const T value : values) AppendNumber(out, value, small);
}

void AppendValue(std::string& out, const std::vector<bool>& values) {
  AppendArrayHead(out, GgufKind::kBool, values.size());
  for (const bool value : values) Append(out, static_cast<uint8_t>(value));
}

void AppendValue(std::string& out, const std::vector<std::string>& values) {
  AppendArrayHead(out, GgufKind::kString, values.size());
  for (const std::string& value : values) Append(out, value);
}

absl::Span<const uint8_t> AsBytes(const std::string& text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

uint64_t Padding(uint64_t size, uint64_t alignment) { return (alignment - size % alignment) % alignment; }

absl::StatusOr<uint64_t> TensorBytes(TensorType type, absl::Span<const uint64_t> ne) {
  HEARTH_ASSIGN_OR_RETURN(uint64_t bytes, RowBytes(type, ne[0]));
  for (const uint64_t n : ne.subspan(1)) {
    const auto product = CheckedMul(bytes, n);
    if (!product) return absl::InvalidArgumentError("the sizes of a tensor overflow");
    bytes = *product;
  }
  return bytes;
}

}  // namespace

void GgufWriter::Set(const std::string& key, const GgufMetadata::Value& value) {
  if (key == "general.alignment") {
    const auto* alignment = std::get_if<uint64_t>(&value);
    HEARTH_CHECK(alignment != nullptr && std::has_single_bit(*alignment));
    alignment_ = *alignment;
  }
  std::string bytes;
  Append(bytes, key);
  std::visit([&](const auto& held) { AppendValue(bytes, held); }, value);
  AddEntry(key, std::move(bytes));
}

void GgufWriter::CopyMetadata(const GgufFile& file) {
  for (size_t i = 0; i < file.metadata_entries().size(); ++i) {
    const absl::Span<const uint8_t> entry = file.metadata_entries()[i];
    AddEntry(file.metadata().keys()[i], std::string(entry.begin(), entry.end()));
  }
  const auto alignment = file.metadata().GetUint("general.alignment");
  if (alignment.ok() && alignment->has_value() && std::has_single_bit(**alignment)) alignment_ = **alignment;
}

void GgufWriter::AddEntry(std::string key, std::string bytes) {
  for (Entry& entry : entries_) {
    if (entry.key == key) {
      entry.bytes = std::move(bytes);
      return;
    }
  }
  entries_.push_back({std::move(key), std::move(bytes)});
}

void GgufWriter::AddTensor(std::string name, TensorType type, std::vector<uint64_t> ne, Source source) {
  HEARTH_CHECK(!ne.empty() && ne.size() <= 4);
  tensors_.push_back({std::move(name), type, std::move(ne), std::move(source)});
}

void GgufWriter::AddTensor(std::string name, TensorType type, std::vector<uint64_t> ne,
                           std::vector<uint8_t> data) {
  AddTensor(std::move(name), type, std::move(ne),
            [data = std::move(data)](const Sink& sink) { return sink(data); });
}

void GgufWriter::AddFloats(std::string name, std::vector<uint64_t> ne, absl::Span<const float> values) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(values.data());
  AddTensor(std::move(name), TensorType::kF32, std::move(ne),
            std::vector<uint8_t>(bytes, bytes + values.size() * sizeof(float)));
}

absl::StatusOr<std::string> GgufWriter::Header(absl::Span<const uint64_t> sizes) const {
  std::string header = powerinfer_ ? "PWRI" : "GGUF";
  Append(header, kVersion);
  Append(header, static_cast<uint64_t>(tensors_.size()));
  Append(header, static_cast<uint64_t>(entries_.size()));
  for (const Entry& entry : entries_) header += entry.bytes;
  absl::flat_hash_set<std::string> names;
  uint64_t offset = 0;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const Tensor& tensor = tensors_[i];
    if (!names.insert(tensor.name).second) {
      return absl::InternalError(absl::StrCat("tensor ", tensor.name, " is written twice"));
    }
    Append(header, tensor.name);
    Append(header, static_cast<uint32_t>(tensor.ne.size()));
    for (const uint64_t n : tensor.ne) Append(header, n);
    Append(header, static_cast<uint32_t>(tensor.type));
    Append(header, offset);
    offset += sizes[i] + Padding(sizes[i], alignment_);
  }
  header.append(Padding(header.size(), alignment_), '\0');
  return header;
}

absl::Status GgufWriter::WriteTo(const Sink& sink) const {
  std::vector<uint64_t> sizes;
  for (const Tensor& tensor : tensors_) {
    const auto size = TensorBytes(tensor.type, tensor.ne);
    if (!size.ok())
      return absl::InternalError(absl::StrCat("tensor ", tensor.name, ": ", size.status().message()));
    sizes.push_back(*size);
  }
  HEARTH_ASSIGN_OR_RETURN(const std::string header, Header(sizes));
  HEARTH_RETURN_IF_ERROR(sink(AsBytes(header)));
  for (size_t i = 0; i < tensors_.size(); ++i) {
    uint64_t written = 0;
    HEARTH_RETURN_IF_ERROR(tensors_[i].source([&](absl::Span<const uint8_t> bytes) {
      written += bytes.size();
      return sink(bytes);
    }));
    if (written != sizes[i]) {
      return absl::InternalError(
          absl::StrCat("tensor ", tensors_[i].name, " has ", written, " bytes where ", sizes[i], " belong"));
    }
    HEARTH_RETURN_IF_ERROR(sink(AsBytes(std::string(Padding(written, alignment_), '\0'))));
  }
  return absl::OkStatus();
}

absl::Status GgufWriter::Write(const std::string& path, Replace replace) const {
  HEARTH_ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path, replace));
  HEARTH_RETURN_IF_ERROR(WriteTo([&](absl::Span<const uint8_t> bytes) { return file.Write(bytes); }));
  return file.Commit();
}

absl::StatusOr<std::vector<uint8_t>> GgufWriter::Serialize() const {
  std::vector<uint8_t> out;
  HEARTH_RETURN_IF_ERROR(WriteTo([&](absl::Span<const uint8_t> bytes) {
    out.insert(out.end(), bytes.begin(), bytes.end());
    return absl::OkStatus();
  }));
  return out;
}

}  // namespace hearth
