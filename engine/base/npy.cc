#include "engine/base/npy.h"

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/base/absl_view.h"
#include "engine/base/check.h"
#include "engine/base/checked.h"
#include "engine/base/mapped_file.h"
#include "engine/base/status_macros.h"

namespace hearth {
namespace {

constexpr std::string_view kMagic("\x93NUMPY\x01\x00", 8);
constexpr size_t kPreambleBytes = 10;  // magic, version, header length (uint16)
constexpr size_t kAlignment = 64;      // of the first value, as numpy writes it

std::string NpyHeader(size_t rows, size_t cols) {
  std::string text =
      absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows, ", ", cols, "), }");
  text.append(kAlignment - 1 - (kPreambleBytes + text.size()) % kAlignment, ' ');
  text += '\n';
  std::string header(kMagic);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

// The text that follows 'key': in the header dictionary.
std::optional<std::string_view> DictionaryValue(std::string_view header, std::string_view key) {
  const size_t at = header.find(absl::StrCat("'", AbslView(key), "':"));
  if (at == std::string_view::npos) return std::nullopt;
  return header.substr(std::min(header.size(), header.find_first_not_of(' ', at + key.size() + 3)));
}

// "(2, 3), ..." -> {2, 3}; nullopt unless it is a tuple of one or two sizes.
std::optional<std::vector<uint64_t>> ParseShape(std::string_view text) {
  const size_t end = text.find(')');
  if (text.empty() || text[0] != '(' || end == std::string_view::npos) return std::nullopt;
  std::vector<uint64_t> shape;
  for (absl::string_view part :
       absl::StrSplit(AbslView(text.substr(1, end - 1)), ',', absl::SkipWhitespace())) {
    if (!absl::SimpleAtoi(part, &shape.emplace_back())) return std::nullopt;
  }
  if (shape.empty() || shape.size() > 2) return std::nullopt;
  return shape;
}

}  // namespace

absl::Status WriteNpy(const std::string& path, size_t rows, size_t cols, absl::Span<const float> values,
                      Replace replace) {
  HEARTH_CHECK(CheckedMul(rows, cols) == values.size());
  HEARTH_ASSIGN_OR_RETURN(OutputFile file, OutputFile::Create(path, replace));
  HEARTH_RETURN_IF_ERROR(file.Write(NpyHeader(rows, cols)));
  HEARTH_RETURN_IF_ERROR(
      file.Write({reinterpret_cast<const uint8_t*>(values.data()), values.size() * sizeof(float)}));
  return file.Commit();
}

absl::StatusOr<NpyArray> ReadNpy(const std::string& path) {
  HEARTH_ASSIGN_OR_RETURN(const MappedFile file, MappedFile::Open(path));
  const auto error = [&](std::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ": ", AbslView(what), "; expected a 1-D or 2-D float32 .npy file"));
  };
  const std::string_view bytes(reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size());
  if (bytes.size() < kPreambleBytes || !bytes.starts_with(kMagic)) return error("no .npy 1.0 header");
  const size_t header_bytes =
      static_cast<uint8_t>(bytes[8]) | static_cast<size_t>(static_cast<uint8_t>(bytes[9])) << 8;
  if (bytes.size() - kPreambleBytes < header_bytes) return error("the header is cut off");
  const std::string_view header = bytes.substr(kPreambleBytes, header_bytes);
  const std::string_view data = bytes.substr(kPreambleBytes + header_bytes);

  const auto descr = DictionaryValue(header, "descr");
  if (!descr || !descr->starts_with("'<f4'")) return error("the values are not little-endian float32");
  const auto order = DictionaryValue(header, "fortran_order");
  if (!order || !order->starts_with("False")) return error("the array is not in C order");
  const auto shape_text = DictionaryValue(header, "shape");
  const auto shape = shape_text ? ParseShape(*shape_text) : std::nullopt;
  if (!shape) return error("the shape is not one or two sizes");

  NpyArray array;
  array.rows = shape->size() == 2 ? shape->front() : 1;
  array.cols = shape->back();
  const auto count = CheckedMul(array.rows, array.cols);
  const auto data_bytes = count ? CheckedMul(*count, sizeof(float)) : std::nullopt;
  if (data_bytes != data.size()) return error("the size of the file does not match its shape");
  array.values.resize(*count);
  if (!data.empty()) std::memcpy(array.values.data(), data.data(), data.size());
  HEARTH_RETURN_IF_ERROR(file.CheckUnchanged());
  return array;
}

}  // namespace hearth
