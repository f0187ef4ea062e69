#include "engine/base/printable.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace hearth {
namespace {

constexpr char kEllipsis[] = "...";
constexpr size_t kMaxListed = 8;

struct Character {
  size_t bytes = 1;
  char32_t code_point = 0;
  bool valid = false;
};

// The character at the front of `text`, which is not empty: strict UTF-8 without surrogates and overlong
// forms.
Character FirstCharacter(absl::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<uint8_t>(text[i]); };
  const uint8_t lead = byte(0);
  if (lead < 0x80) return {1, lead, true};
  const size_t bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (lead < 0xC2 || lead > 0xF4 || text.size() < bytes) return {};
  char32_t code_point = lead & (0x7F >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return {};
    code_point = code_point << 6 | (byte(i) & 0x3F);
  }
  constexpr char32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = code_point >= 0xD800 && code_point <= 0xDFFF;
  if (code_point < kSmallest[bytes] || code_point > 0x10FFFF || surrogate) return {};
  return {bytes, code_point, true};
}

// Whether a terminal would not simply show it: controls, line and paragraph separators, marks of direction,
// characters without width, noncharacters.
bool Misleads(char32_t c) {
  struct Range {
    char32_t first, last;
  };
  constexpr Range kRanges[] = {{0, 0x1F},        {0x7F, 0x9F},     {0xAD, 0xAD},     {0x61C, 0x61C},
                               {0x200B, 0x200F}, {0x2028, 0x202E}, {0x2060, 0x206F}, {0xFDD0, 0xFDEF},
                               {0xFEFF, 0xFEFF}, {0xFFF9, 0xFFFB}, {0xFFFE, 0xFFFF}, {0xE0000, 0xE007F}};
  return std::any_of(std::begin(kRanges), std::end(kRanges),
                     [c](const Range& range) { return c >= range.first && c <= range.last; });
}

std::string Escaped(const Character& character, char front) {
  if (character.valid && character.code_point == '\n') return "\\n";
  if (character.valid && character.code_point == '\t') return "\\t";
  if (character.valid && character.code_point >= 0x80) {
    return absl::StrFormat("\\u{%x}", static_cast<uint32_t>(character.code_point));
  }
  return absl::StrFormat("\\x%02x", static_cast<uint8_t>(front));
}

absl::Status Refused(absl::string_view what, absl::string_view problem) {
  return absl::InvalidArgumentError(absl::StrCat(what, ": ", problem));
}

absl::Status CheckText(absl::string_view what, absl::string_view text, size_t max_bytes) {
  if (text.empty()) return Refused(what, "is empty");
  if (text.size() > max_bytes) {
    return Refused(what, absl::StrCat("has ", text.size(), " bytes; at most ", max_bytes, " are allowed"));
  }
  for (size_t at = 0; at < text.size();) {
    const Character character = FirstCharacter(text.substr(at));
    if (!character.valid) return Refused(what, absl::StrCat("\"", Printable(text), "\" is not valid UTF-8"));
    if (Misleads(character.code_point)) {
      return Refused(what, absl::StrCat("\"", Printable(text), "\" has a character that cannot be shown (",
                                        Escaped(character, text[at]), "); leave it out"));
    }
    at += character.bytes;
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckName(absl::string_view what, absl::string_view name) {
  if (absl::Status status = CheckText(what, name, kMaxNameBytes); !status.ok()) return status;
  if (name.front() == ' ' || name.back() == ' ') {
    return Refused(what, absl::StrCat("\"", name, "\" begins or ends with a blank; leave it out"));
  }
  return absl::OkStatus();
}

absl::Status CheckPath(absl::string_view what, absl::string_view path) {
  return CheckText(what, path, kMaxPathBytes);
}

bool IsUtf8(absl::string_view text) {
  while (!text.empty()) {
    const Character character = FirstCharacter(text);
    if (!character.valid) return false;
    text.remove_prefix(character.bytes);
  }
  return true;
}

std::string Printable(absl::string_view text, size_t max_bytes) {
  std::string shown;
  size_t cut = 0;  // where the ellipsis still fits
  for (size_t at = 0; at < text.size();) {
    const Character character = FirstCharacter(text.substr(at));
    const bool plain = character.valid && !Misleads(character.code_point);
    const std::string next =
        plain ? std::string(text.substr(at, character.bytes)) : Escaped(character, text[at]);
    if (shown.size() + next.size() > max_bytes) {
      shown.resize(cut);
      return shown.append(kEllipsis);
    }
    shown += next;
    if (shown.size() + sizeof(kEllipsis) - 1 <= max_bytes) cut = shown.size();
    at += character.bytes;
  }
  return shown;
}

std::string NameList(const std::vector<std::string>& names) {
  std::string list;
  for (size_t i = 0; i < std::min(names.size(), kMaxListed); ++i) {
    absl::StrAppend(&list, i == 0 ? "" : ", ", Printable(names[i], kMaxNameBytes));
  }
  if (names.size() > kMaxListed) absl::StrAppend(&list, " and ", names.size() - kMaxListed, " more");
  return list;
}

}  // namespace hearth
