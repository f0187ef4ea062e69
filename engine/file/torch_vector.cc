#include "engine/file/torch_vector.h"

#include <map>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/printable.h"
#include "engine/base/status_macros.h"
#include "engine/file/little_endian.h"
#include "engine/file/stored_zip.h"
#include "engine/quant/half.h"

namespace hearth {
namespace {

absl::Status BadTensor(const auto&... parts) { return absl::InvalidArgumentError(absl::StrCat(parts...)); }

// What the pickle says of the tensor.
struct Description {
  std::string kind;  // of the storage, such as "FloatStorage"
  std::string key;   // of its numbers
  uint64_t stored = 0, offset = 0, size = 0, stride = 0;
};

// Compares a pickle (protocol 2) with that of a tensor of one dimension. What it holds beside the structure
// (notes for a memory that this pickle never asks) is passed over.
class TensorPickle {
 public:
  explicit TensorPickle(absl::Span<const uint8_t> bytes) : bytes_(bytes) {}

  absl::StatusOr<Description> Read() {
    Description found;
    std::string module, where;
    const bool is_tensor = Take("\x80\x02") && TakeGlobal(module, where) && module == "torch._utils" &&
                           where == "_rebuild_tensor_v2" && Take("((") && TakeText(where) &&
                           where == "storage" && TakeGlobal(module, found.kind) && module == "torch" &&
                           TakeText(found.key) && TakeText(where) && TakeNumber(found.stored) && Take("t") &&
                           Take("Q") && TakeNumber(found.offset) && TakeNumber(found.size) && Take("\x85") &&
                           TakeNumber(found.stride) && Take("\x85") && (Take("\x89") || Take("\x88")) &&
                           TakeGlobal(module, where) && module == "collections" && where == "OrderedDict" &&
                           Take(")R") && Take("t") && Take("R") && Take(".") && bytes_.empty();
    if (!is_tensor) return BadTensor("it holds something else than one tensor of one dimension");
    return found;
  }

 private:
  // Each takes what it is called after off the front, with the note that may follow, where it is there.
  bool Take(std::string_view opcodes) {
    if (!TakeRaw(opcodes)) return false;
    PassNote();
    return true;
  }
  bool TakeGlobal(std::string& module, std::string& name) {
    if (!TakeRaw("c") || !TakeLine(module) || !TakeLine(name)) return false;
    PassNote();
    return true;
  }
  bool TakeText(std::string& text) {
    constexpr size_t kLengthBytes = sizeof(uint32_t);
    if (!TakeRaw("X") || bytes_.size() < kLengthBytes) return false;
    const uint32_t length = LoadLittle<uint32_t>(bytes_, 0);
    if (bytes_.size() - kLengthBytes < length) return false;
    text.assign(reinterpret_cast<const char*>(bytes_.data()) + kLengthBytes, length);
    bytes_.remove_prefix(kLengthBytes + length);
    PassNote();
    return true;
  }
  // Of 1, 2 or 4 bytes.
  bool TakeNumber(uint64_t& number) {
    if (TakeRaw("K")) return TakeBytes<uint8_t>(number);
    if (TakeRaw("M")) return TakeBytes<uint16_t>(number);
    return TakeRaw("J") && TakeBytes<int32_t>(number) && number <= INT32_MAX;
  }

  bool TakeRaw(std::string_view opcodes) {
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    if (!text.starts_with(opcodes)) return false;
    bytes_.remove_prefix(opcodes.size());
    return true;
  }
  bool TakeLine(std::string& line) {
    const std::string_view text(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) return false;
    line = text.substr(0, end);
    bytes_.remove_prefix(end + 1);
    return true;
  }
  template <class T>
  bool TakeBytes(uint64_t& number) {
    if (bytes_.size() < sizeof(T)) return false;
    number = static_cast<uint64_t>(LoadLittle<T>(bytes_, 0));
    bytes_.remove_prefix(sizeof(T));
    return true;
  }
  void PassNote() {
    for (const auto& [opcode, operand] : {std::pair<char, size_t>('q', 1), {'r', 4}}) {
      if (bytes_.size() <= operand || bytes_[0] != opcode) continue;
      bytes_.remove_prefix(1 + operand);
      return;
    }
  }

  absl::Span<const uint8_t> bytes_;
};

// A kind of storage: bytes of a number, and how it is read.
struct NumberKind {
  size_t bytes = 0;
  double (*load)(absl::Span<const uint8_t> bytes, size_t at) = nullptr;
};

template <class T>
double LoadNumber(absl::Span<const uint8_t> bytes, size_t at) {
  return static_cast<double>(LoadLittle<T>(bytes, at));
}
double LoadHalf(absl::Span<const uint8_t> bytes, size_t at) {
  return HalfToFloat(LoadLittle<uint16_t>(bytes, at));
}

absl::StatusOr<NumberKind> KindOf(const std::string& storage) {
  static const auto& kinds = *new std::map<std::string, NumberKind>{
      {"FloatStorage", {4, LoadNumber<float>}}, {"DoubleStorage", {8, LoadNumber<double>}},
      {"HalfStorage", {2, LoadHalf}},           {"LongStorage", {8, LoadNumber<int64_t>}},
      {"IntStorage", {4, LoadNumber<int32_t>}}, {"ShortStorage", {2, LoadNumber<int16_t>}},
      {"CharStorage", {1, LoadNumber<int8_t>}}, {"ByteStorage", {1, LoadNumber<uint8_t>}},
  };
  const auto found = kinds.find(storage);
  if (found == kinds.end()) return BadTensor("its tensor is of the unknown kind ", Printable(storage));
  return found->second;
}

using ZipEntries = std::map<std::string, absl::Span<const uint8_t>>;

// The only data.pkl: the name of the archive, with '/', that is in front of all entries' names.
absl::StatusOr<std::string> PrefixOf(const ZipEntries& entries) {
  constexpr std::string_view kPickle = "data.pkl";
  std::string prefix;
  for (const auto& [name, data] : entries) {
    if (!name.ends_with("/data.pkl") || !prefix.empty()) continue;
    prefix = name.substr(0, name.size() - kPickle.size());
  }
  if (prefix.empty()) return BadTensor("it is a zip archive, but none of PyTorch's");
  return prefix;
}

}  // namespace

absl::StatusOr<std::vector<double>> ReadTorchVector(absl::Span<const uint8_t> bytes) {
  HEARTH_ASSIGN_OR_RETURN(const ZipEntries entries, ReadStoredZip(bytes));
  HEARTH_ASSIGN_OR_RETURN(const std::string prefix, PrefixOf(entries));
  const auto order = entries.find(prefix + "byteorder");
  if (order != entries.end() &&
      order->second != absl::MakeConstSpan(reinterpret_cast<const uint8_t*>("little"), 6)) {
    return BadTensor("its numbers are not little-endian");
  }
  HEARTH_ASSIGN_OR_RETURN(const Description tensor, TensorPickle(entries.at(prefix + "data.pkl")).Read());
  HEARTH_ASSIGN_OR_RETURN(const NumberKind kind, KindOf(tensor.kind));
  const auto data = entries.find(absl::StrCat(prefix, "data/", tensor.key));
  if (data == entries.end() || data->second.size() != tensor.stored * kind.bytes) {
    return BadTensor("its tensor's ", tensor.stored, " numbers are not there");
  }
  const bool whole = tensor.offset <= tensor.stored && tensor.size <= tensor.stored - tensor.offset;
  if (!whole || (tensor.stride != 1 && tensor.size > 1))
    return BadTensor("its tensor does not lie in one run");
  std::vector<double> values(tensor.size);
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = kind.load(data->second, (tensor.offset + i) * kind.bytes);
  return values;
}

}  // namespace hearth
