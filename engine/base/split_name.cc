#include "engine/base/split_name.h"

#include <cstring>
#include <filesystem>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"

namespace hearth {
namespace {

constexpr size_t kDigits = 5;  // of a part's number in names

// Reads "-NNNNN" from the end of `text` and takes it off.
std::optional<uint32_t> TakeNumber(std::string_view& text) {
  if (text.size() < kDigits + 1 || text[text.size() - kDigits - 1] != '-') return std::nullopt;
  uint32_t number = 0;
  for (const char c : text.substr(text.size() - kDigits)) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return std::nullopt;
    number = 10 * number + static_cast<uint32_t>(c - '0');
  }
  text.remove_suffix(kDigits + 1);
  return number;
}

}  // namespace

std::string SplitName::Of(uint32_t other) const {
  return absl::StrFormat("%s-%05u-of-%05u%s", stem, other, parts, ending);
}

std::optional<SplitName> ParseSplitName(std::string_view path) {
  const size_t dot = path.rfind('.');
  if (dot == std::string_view::npos) return std::nullopt;
  std::string_view text = path.substr(0, dot);
  const std::optional<uint32_t> parts = TakeNumber(text);
  if (!parts || !text.ends_with("-of")) return std::nullopt;
  text.remove_suffix(std::strlen("-of"));
  const std::optional<uint32_t> part = TakeNumber(text);
  if (!part || *part == 0 || *part > *parts) return std::nullopt;
  return SplitName{std::string(text), *part, *parts, std::string(path.substr(dot))};
}

std::string NameOfModelFile(const std::string& path) {
  const std::optional<SplitName> split = ParseSplitName(path);
  return split ? std::filesystem::path(split->stem).filename().string()
               : std::filesystem::path(path).stem().string();
}

}  // namespace hearth
