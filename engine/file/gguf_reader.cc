#include "engine/file/gguf_reader.h"

#include <algorithm>
#include <bit>
#include <numeric>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/absl_view.h"
#include "engine/base/status_macros.h"
#include "engine/file/gguf_kind.h"

namespace hearth {
namespace {

constexpr uint64_t kDefaultAlignment = 32;
constexpr uint64_t kMinStringBytes = 8;                       // an empty one: its length
constexpr uint64_t kMinEntryBytes = kMinStringBytes + 4 + 1;  // key, kind, one byte
constexpr uint64_t kMinTensorBytes = kMinStringBytes + 4 + 8 + 4 + 8;
// Elements of all arrays together. The largest vocabularies need less than a tenth of it; small elements grow
// in memory, so the size of the file alone would not bound what a hostile file can make us take.
constexpr uint64_t kMaxArrayElements = uint64_t{1} << 26;
// 32-bit integers have moved among the types' numbers: the older one is that of a quantised type today.
constexpr uint32_t kInt32Type = 26, kInt32TypeOf2023 = 18;
constexpr std::string_view kFetchAgain = "; download or copy the file again";

// Names come from the file: shown without line breaks and control characters, and not at any length.
std::string Shown(std::string_view name) {
  constexpr size_t kMaxShown = 100;
  std::string shown = absl::CHexEscape(AbslView(name.substr(0, kMaxShown)));
  if (name.size() > kMaxShown) shown += "...";
  return shown;
}

std::optional<uint64_t> AlignUp(uint64_t value, uint64_t alignment) {
  const std::optional<uint64_t> raised = CheckedAdd(value, alignment - 1);
  return raised ? std::optional(*raised & ~(alignment - 1)) : std::nullopt;
}

}  // namespace

absl::Status GgufReader::Read() {
  HEARTH_RETURN_IF_ERROR(ReadHeader());
  HEARTH_RETURN_IF_ERROR(ReadMetadata(metadata_count_));
  return ReadTensors(tensor_count_);
}

absl::Status GgufReader::ReadHeader() {
  const absl::Span<const uint8_t> magic = file_.bytes_.subspan(0, 4);
  const std::string_view letters(reinterpret_cast<const char*>(magic.data()), magic.size());
  if (letters != "GGUF" && letters != "PWRI") {
    return Invalid(
        "is not a GGUF or PowerInfer model file (it starts with neither GGUF nor PWRI); convert the model to "
        "GGUF");
  }
  file_.is_powerinfer_ = letters == "PWRI";
  position_ = 4;
  HEARTH_ASSIGN_OR_RETURN(file_.version_, ReadScalar<uint32_t>("version"));
  if (file_.version_ != 2 && file_.version_ != 3) {
    const bool swapped = (file_.version_ & 0xffff) == 0 && file_.version_ != 0;
    return absl::UnimplementedError(absl::StrCat(
        file_.name_, ": ", swapped ? "a big-endian file" : absl::StrCat("GGUF version ", file_.version_),
        " is not supported; convert the model to little-endian GGUF version 3 (version 2 works too)"));
  }
  HEARTH_ASSIGN_OR_RETURN(tensor_count_, ReadScalar<uint64_t>("tensor count"));
  HEARTH_ASSIGN_OR_RETURN(metadata_count_, ReadScalar<uint64_t>("metadata count"));
  return absl::OkStatus();
}

absl::Status GgufReader::ReadMetadata(uint64_t count) {
  HEARTH_RETURN_IF_ERROR(CheckCount(count, kMinEntryBytes, "metadata entries"));
  for (uint64_t i = 0; i < count; ++i) {
    const uint64_t begin = position_;
    HEARTH_ASSIGN_OR_RETURN(std::string key, ReadString(absl::StrCat("the key of metadata entry ", i)));
    if (file_.metadata_.Has(key)) {
      return Invalid(absl::StrCat("metadata key ", Shown(key), " occurs twice; convert the model again"));
    }
    HEARTH_ASSIGN_OR_RETURN(GgufMetadata::Value value, ReadValue(key));
    file_.metadata_.Set(std::move(key), std::move(value));
    file_.metadata_entries_.push_back(file_.bytes_.subspan(begin, position_ - begin));
  }
  return absl::OkStatus();
}

absl::StatusOr<GgufMetadata::Value> GgufReader::ReadValue(const std::string& key) {
  const std::string what = absl::StrCat("metadata key ", Shown(key));
  // Widens what is stored to what is held.
  const auto widened = [](auto stored, auto held) -> absl::StatusOr<GgufMetadata::Value> {
    if (!stored.ok()) return stored.status();
    return GgufMetadata::Value(static_cast<decltype(held)>(*stored));
  };
  HEARTH_ASSIGN_OR_RETURN(const uint32_t kind, ReadScalar<uint32_t>(what));
  switch (static_cast<GgufKind>(kind)) {
    case GgufKind::kUint8:
      return widened(ReadScalar<uint8_t>(what), uint64_t{});
    case GgufKind::kInt8:
      return widened(ReadScalar<int8_t>(what), int64_t{});
    case GgufKind::kUint16:
      return widened(ReadScalar<uint16_t>(what), uint64_t{});
    case GgufKind::kInt16:
      return widened(ReadScalar<int16_t>(what), int64_t{});
    case GgufKind::kUint32:
      return widened(ReadScalar<uint32_t>(what), uint64_t{});
    case GgufKind::kInt32:
      return widened(ReadScalar<int32_t>(what), int64_t{});
    case GgufKind::kUint64:
      return widened(ReadScalar<uint64_t>(what), uint64_t{});
    case GgufKind::kInt64:
      return widened(ReadScalar<int64_t>(what), int64_t{});
    case GgufKind::kFloat32:
      return widened(ReadScalar<float>(what), double{});
    case GgufKind::kFloat64:
      return widened(ReadScalar<double>(what), double{});
    case GgufKind::kBool:
      return widened(ReadBool(key), bool{});
    case GgufKind::kString:
      return widened(ReadString(what), std::string{});
    case GgufKind::kArray:
      return ReadArray(key);
  }
  return Invalid(absl::StrCat(what, " is of the unknown kind ", kind, AbslView(kFetchAgain)));
}

absl::StatusOr<GgufMetadata::Value> GgufReader::ReadArray(const std::string& key) {
  const std::string what = absl::StrCat("the array of metadata key ", Shown(key));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t kind, ReadScalar<uint32_t>(what));
  HEARTH_ASSIGN_OR_RETURN(const uint64_t count, ReadScalar<uint64_t>(what));
  HEARTH_RETURN_IF_ERROR(CheckCount(count, 1, what));
  array_elements_ += count;  // cannot overflow: count is at most the size of the file
  if (array_elements_ > kMaxArrayElements) {
    return Invalid(absl::StrCat(what, " brings the metadata to more than ", kMaxArrayElements,
                                " array elements; convert the model with a smaller vocabulary"));
  }
  switch (static_cast<GgufKind>(kind)) {
    case GgufKind::kUint8:
      return ReadScalars<uint8_t, uint64_t>(count, key);
    case GgufKind::kInt8:
      return ReadScalars<int8_t, int64_t>(count, key);
    case GgufKind::kUint16:
      return ReadScalars<uint16_t, uint64_t>(count, key);
    case GgufKind::kInt16:
      return ReadScalars<int16_t, int64_t>(count, key);
    case GgufKind::kUint32:
      return ReadScalars<uint32_t, uint64_t>(count, key);
    case GgufKind::kInt32:
      return ReadScalars<int32_t, int64_t>(count, key);
    case GgufKind::kUint64:
      return ReadScalars<uint64_t, uint64_t>(count, key);
    case GgufKind::kInt64:
      return ReadScalars<int64_t, int64_t>(count, key);
    case GgufKind::kFloat32:
      return ReadScalars<float, float>(count, key);
    case GgufKind::kFloat64:
      return ReadScalars<double, double>(count, key);
    case GgufKind::kBool: {
      std::vector<bool> array;
      array.reserve(count);
      for (uint64_t i = 0; i < count; ++i) {
        HEARTH_ASSIGN_OR_RETURN(const bool element, ReadBool(key));
        array.push_back(element);
      }
      return array;
    }
    case GgufKind::kString: {
      HEARTH_RETURN_IF_ERROR(CheckCount(count, kMinStringBytes, what));
      std::vector<std::string> array;
      array.reserve(count);
      for (uint64_t i = 0; i < count; ++i) {
        HEARTH_ASSIGN_OR_RETURN(std::string element, ReadString(what));
        array.push_back(std::move(element));
      }
      return array;
    }
    case GgufKind::kArray:
      return Invalid(
          absl::StrCat(what, " holds arrays, which is not supported; convert the model without it"));
  }
  return Invalid(absl::StrCat(what, " is of the unknown kind ", kind, AbslView(kFetchAgain)));
}

absl::Status GgufReader::ReadTensors(uint64_t count) {
  HEARTH_RETURN_IF_ERROR(CheckCount(count, kMinTensorBytes, "tensors"));
  std::vector<uint64_t> offsets(count);
  file_.tensors_.resize(count);
  for (uint64_t i = 0; i < count; ++i) {
    GgufTensor& tensor = file_.tensors_[i];
    HEARTH_ASSIGN_OR_RETURN(tensor.name, ReadString(absl::StrCat("the name of tensor ", i)));
    if (!file_.tensor_index_.try_emplace(tensor.name, i).second) {
      return Invalid(absl::StrCat("tensor ", Shown(tensor.name), " occurs twice; convert the model again"));
    }
    HEARTH_RETURN_IF_ERROR(ReadTensor(&tensor, &offsets[i]));
  }
  HEARTH_RETURN_IF_ERROR(PlaceTensors(offsets));
  return CheckOverlap();
}

absl::Status GgufReader::ReadTensor(GgufTensor* tensor, uint64_t* offset) {
  const std::string what = absl::StrCat("tensor ", Shown(tensor->name));
  HEARTH_ASSIGN_OR_RETURN(const uint32_t dimensions, ReadScalar<uint32_t>(what));
  if (dimensions < 1 || dimensions > tensor->ne.size()) {
    return Invalid(absl::StrCat(what, " has ", dimensions, " dimensions, not 1 to 4", AbslView(kFetchAgain)));
  }
  tensor->dimensions = static_cast<int>(dimensions);
  for (uint32_t i = 0; i < dimensions; ++i) {
    HEARTH_ASSIGN_OR_RETURN(tensor->ne[i], ReadScalar<uint64_t>(what));
    if (tensor->ne[i] == 0) {
      return Invalid(absl::StrCat("dimension ", i, " of ", what, " is 0", AbslView(kFetchAgain)));
    }
  }
  HEARTH_ASSIGN_OR_RETURN(tensor->type, ReadType(what));
  HEARTH_ASSIGN_OR_RETURN(*offset, ReadScalar<uint64_t>(what));
  return absl::OkStatus();
}

absl::StatusOr<TensorType> GgufReader::ReadType(const std::string& what) {
  HEARTH_ASSIGN_OR_RETURN(const uint32_t type, ReadScalar<uint32_t>(what));
  if (integers_) {
    if (type == kInt32Type || type == kInt32TypeOf2023) return TensorType::kF32;
    return Invalid(absl::StrCat(what, " is of type number ", type, ", not of 32-bit integers"));
  }
  if (FindTypeInfo(static_cast<TensorType>(type)) == nullptr) {
    return absl::UnimplementedError(absl::StrCat(file_.name_, ": ", what, " is of type number ", type,
                                                 ", which is not supported; quantise the model to one of ",
                                                 SupportedTypeNames()));
  }
  return static_cast<TensorType>(type);
}

absl::StatusOr<uint64_t> GgufReader::ReadAlignment() const {
  const auto alignment = file_.metadata_.GetUint("general.alignment");
  if (!alignment.ok()) return Invalid(std::string(alignment.status().message()));
  const uint64_t value = alignment->value_or(kDefaultAlignment);
  // The format wants multiples of 8, and blocks are read as they lie; copies of the file are padded as it is.
  if (!std::has_single_bit(value) || value < 8 || value > 1 << 20) {
    return Invalid(absl::StrCat("general.alignment is ", value, ", not a power of two from 8 to 2^20",
                                AbslView(kFetchAgain)));
  }
  return value;
}

absl::Status GgufReader::PlaceTensors(absl::Span<const uint64_t> offsets) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t alignment, ReadAlignment());
  const std::optional<uint64_t> data_start = AlignUp(position_, alignment);
  for (size_t i = 0; i < offsets.size(); ++i) {
    GgufTensor& tensor = file_.tensors_[i];
    const std::string what = absl::StrCat("tensor ", Shown(tensor.name));
    if (offsets[i] % alignment != 0) {
      return Invalid(absl::StrCat("the data of ", what, " begins at ", offsets[i],
                                  ", which is not aligned to ", alignment, AbslView(kFetchAgain)));
    }
    auto bytes = RowBytes(tensor.type, tensor.ne[0]);
    if (!bytes.ok())
      return Invalid(absl::StrCat(what, ": ", bytes.status().message(), AbslView(kFetchAgain)));
    std::optional<uint64_t> size = *bytes;
    for (size_t d = 1; d < tensor.ne.size() && size; ++d) size = CheckedMul(*size, tensor.ne[d]);
    const std::optional<uint64_t> start = data_start ? CheckedAdd(*data_start, offsets[i]) : std::nullopt;
    const std::optional<uint64_t> end = start && size ? CheckedAdd(*start, *size) : std::nullopt;
    if (!end || *end > file_.bytes_.size()) {
      return Invalid(absl::StrCat("the data of ", what, " reaches past the end of the file (",
                                  file_.bytes_.size(), " bytes)", AbslView(kFetchAgain)));
    }
    tensor.data = file_.bytes_.subspan(*start, *size);
  }
  return absl::OkStatus();
}

absl::Status GgufReader::CheckOverlap() const {
  std::vector<const GgufTensor*> order;
  order.reserve(file_.tensors_.size());
  for (const GgufTensor& tensor : file_.tensors_) order.push_back(&tensor);
  std::sort(order.begin(), order.end(),
            [](const GgufTensor* a, const GgufTensor* b) { return a->data.data() < b->data.data(); });
  for (size_t i = 1; i < order.size(); ++i) {
    if (order[i - 1]->data.end() > order[i]->data.begin()) {
      return Invalid(absl::StrCat("the data of tensors ", Shown(order[i - 1]->name), " and ",
                                  Shown(order[i]->name), " overlap", AbslView(kFetchAgain)));
    }
  }
  return absl::OkStatus();
}

template <class T>
absl::StatusOr<T> GgufReader::ReadScalar(std::string_view what) {
  if (remaining() < sizeof(T)) return CutOff(what);
  T value;
  std::memcpy(&value, file_.bytes_.data() + position_, sizeof(T));
  position_ += sizeof(T);
  return value;
}

template <class Stored, class Held>
absl::StatusOr<GgufMetadata::Value> GgufReader::ReadScalars(uint64_t count, const std::string& key) {
  HEARTH_RETURN_IF_ERROR(
      CheckCount(count, sizeof(Stored), absl::StrCat("the array of metadata key ", Shown(key))));
  std::vector<Held> array(count);
  for (Held& element : array) {
    Stored stored;
    std::memcpy(&stored, file_.bytes_.data() + position_, sizeof(Stored));
    position_ += sizeof(Stored);
    element = stored;
  }
  return array;
}

absl::StatusOr<bool> GgufReader::ReadBool(const std::string& key) {
  HEARTH_ASSIGN_OR_RETURN(const uint8_t byte, ReadScalar<uint8_t>(absl::StrCat("metadata key ", Shown(key))));
  if (byte > 1) {
    return Invalid(absl::StrCat("metadata key ", Shown(key), " holds the bool ", byte, ", not 0 or 1",
                                AbslView(kFetchAgain)));
  }
  return byte == 1;
}

absl::StatusOr<std::string> GgufReader::ReadString(std::string_view what) {
  HEARTH_ASSIGN_OR_RETURN(const uint64_t length, ReadScalar<uint64_t>(what));
  if (length > remaining()) return CutOff(what);
  std::string text(reinterpret_cast<const char*>(file_.bytes_.data()) + position_, length);
  position_ += length;
  return text;
}

absl::Status GgufReader::CheckCount(uint64_t count, uint64_t item_bytes, std::string_view what) const {
  if (count <= remaining() / item_bytes) return absl::OkStatus();
  return Invalid(absl::StrCat(AbslView(what), ": ", count, " announced at byte ", position_, ", but only ",
                              remaining(), " bytes are left", AbslView(kFetchAgain)));
}

absl::Status GgufReader::Invalid(std::string_view message) const {
  return absl::InvalidArgumentError(absl::StrCat(file_.name_, ": ", AbslView(message)));
}

absl::Status GgufReader::CutOff(std::string_view what) const {
  return Invalid(absl::StrCat("the file ends in ", AbslView(what), " (byte ", position_, " of ",
                              file_.bytes_.size(), ")", AbslView(kFetchAgain)));
}

}  // namespace hearth
