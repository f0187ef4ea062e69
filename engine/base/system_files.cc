#include "engine/base/system_files.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <system_error>

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace hearth {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 20;

}  // namespace

std::string SystemFiles::Text(const std::string& path) const {
  std::ifstream file(root_ + path, std::ios::binary);
  std::string text(kMaxFileBytes, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<size_t>(std::max<std::streamsize>(file.gcount(), 0)));
  return text;
}

std::string SystemFiles::Word(const std::string& path) const {
  std::ifstream file(root_ + path);
  std::string word;
  file >> word;
  return word;
}

std::string SystemFiles::Named(const std::string& path, std::string_view name) const {
  const std::string text = Text(path);
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    if (!absl::ConsumePrefix(&line, absl::string_view(name.data(), name.size()))) continue;
    if (line.empty() || !(line.front() == ':' || absl::ascii_isspace(line.front()))) continue;
    return std::string(
        absl::StripAsciiWhitespace(absl::StripPrefix(absl::StripLeadingAsciiWhitespace(line), ":")));
  }
  return "";
}

std::vector<std::string> SystemFiles::Names(const std::string& directory, std::string_view prefix) const {
  std::vector<std::string> names;
  std::error_code error;
  for (std::filesystem::directory_iterator it(root_ + directory, error), end; !error && it != end;
       it.increment(error)) {
    const std::string name = it->path().filename().string();
    if (name.starts_with(prefix)) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool SystemFiles::Exists(const std::string& path) const {
  std::error_code error;
  return std::filesystem::exists(root_ + path, error);
}

std::string SystemFiles::LinkedName(const std::string& path) const {
  std::error_code error;
  return std::filesystem::read_symlink(root_ + path, error).filename().string();
}

}  // namespace hearth
