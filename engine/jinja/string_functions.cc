#include "engine/jinja/string_functions.h"

#include <algorithm>
#include <string>
#include <utility>

#include "engine/base/status_macros.h"
#include "engine/token/unicode.h"

namespace hearth::jinja {
namespace {

void AppendLower(char32_t character, std::string* out) {
  if (character == 0x130) {  // the one letter whose full lower case has two characters
    *out += "i\u0307";
  } else {
    AppendUtf8(ToLower(character), out);
  }
}

// Every character through `convert(character, first, out)`; `first`: no cased letter stands before it.
template <typename Convert>
Text Converted(const Text& text, Convert convert) {
  std::string out;
  bool inside_word = false;
  for (size_t at = 0; at < text.bytes.size();) {
    const char32_t character = NextCharacter(text.bytes, &at);
    convert(character, inside_word, &out);
    inside_word = IsUpperCase(character) || IsLowerCase(character);
  }
  // Where no length changes, neither do the places of the marks.
  if (out.size() != text.bytes.size()) return Text(out, text.any_input());
  Text converted = text;
  converted.bytes = std::move(out);
  return converted;
}

bool IsLineEnd(char32_t character) {
  return (character >= 0x0A && character <= 0x0D) || (character >= 0x1C && character <= 0x1E) ||
         character == 0x85 || character == 0x2028 || character == 0x2029;
}

// Where whitespace (or its absence) at `at` ends.
size_t RunEnd(std::string_view text, size_t at, bool space) {
  while (at < text.size()) {
    size_t next = at;
    if (IsSpace(NextCharacter(text, &next)) != space) break;
    at = next;
  }
  return at;
}

std::vector<ByteRange> Words(std::string_view text) {
  std::vector<ByteRange> words;
  for (size_t at = RunEnd(text, 0, true); at < text.size(); at = RunEnd(text, at, true)) {
    const size_t end = RunEnd(text, at, false);
    words.push_back({at, end});
    at = end;
  }
  return words;
}

bool IsAlpha(char32_t c) { return Category(c) == CodePointCategory::kLetter; }
bool IsDigit(char32_t c) { return Category(c) == CodePointCategory::kNumber; }

}  // namespace

Text Upper(const Text& text) {
  return Converted(text, [](char32_t character, bool, std::string* out) { *out += UpperCase(character); });
}

Text Lower(const Text& text) {
  return Converted(text, [](char32_t character, bool, std::string* out) { AppendLower(character, out); });
}

Text Capitalize(const Text& text) {
  bool first = true;
  return Converted(text, [&](char32_t character, bool, std::string* out) {
    std::exchange(first, false) ? out->append(UpperCase(character)) : (AppendLower(character, out), *out);
  });
}

Text SwapCase(const Text& text) {
  return Converted(text, [](char32_t character, bool, std::string* out) {
    IsUpperCase(character) ? AppendLower(character, out) : static_cast<void>(*out += UpperCase(character));
  });
}

Text TitleWords(const Text& text) {
  return Converted(text, [](char32_t character, bool inside_word, std::string* out) {
    inside_word ? AppendLower(character, out) : static_cast<void>(*out += UpperCase(character));
  });
}

Text Strip(const Text& text, const Text* characters, bool left, bool right) {
  const std::string_view bytes = text.bytes;
  const auto strips = [&](std::string_view character) {
    size_t at = 0;
    return characters == nullptr ? IsSpace(NextCharacter(character, &at))
                                 : characters->bytes.find(character) != std::string::npos;
  };
  size_t begin = 0, end = bytes.size();
  while (left && begin < end) {
    size_t next = begin;
    NextCharacter(bytes, &next);
    if (!strips(bytes.substr(begin, next - begin))) break;
    begin = next;
  }
  while (right && end > begin) {
    size_t last = end - 1;
    while (last > begin && (static_cast<uint8_t>(bytes[last]) & 0xC0) == 0x80) --last;
    if (!strips(bytes.substr(last, end - last))) break;
    end = last;
  }
  return Part(text, begin, end);
}

std::vector<Text> Split(const Text& text, std::string_view separator, size_t limit, bool from_right) {
  std::vector<Text> parts;
  size_t begin = 0, end = text.bytes.size();
  if (!from_right) {
    for (; parts.size() < limit;) {
      const size_t found = FindFirst(text.bytes, separator, begin, end);
      if (found == std::string::npos) break;
      parts.push_back(Part(text, begin, found));
      begin = found + separator.size();
    }
    parts.push_back(Part(text, begin, end));
    return parts;
  }
  // The occurrences from the right; std::string::rfind looks from there.
  while (parts.size() < limit && end >= separator.size()) {
    const size_t found = text.bytes.rfind(separator, end - separator.size());
    if (found == std::string::npos) break;
    parts.push_back(Part(text, found + separator.size(), end));
    end = found;
  }
  parts.push_back(Part(text, 0, end));
  std::reverse(parts.begin(), parts.end());
  return parts;
}

std::vector<Text> SplitWords(const Text& text, size_t limit, bool from_right) {
  const std::vector<ByteRange> words = Words(text.bytes);
  const size_t single = std::min(limit, words.size());  // the rest stays in one piece
  const size_t rest = words.size() - single;
  std::vector<Text> parts;
  if (!from_right) {
    for (size_t i = 0; i < single; ++i) parts.push_back(Part(text, words[i].begin, words[i].end));
    if (rest > 0) parts.push_back(Part(text, words[single].begin, text.bytes.size()));
    return parts;
  }
  if (rest > 0) parts.push_back(Part(text, 0, words[rest - 1].end));
  for (size_t i = rest; i < words.size(); ++i) parts.push_back(Part(text, words[i].begin, words[i].end));
  return parts;
}

std::vector<Text> SplitLines(const Text& text, bool keep_ends) {
  std::vector<Text> lines;
  size_t begin = 0;
  for (size_t at = 0; at < text.bytes.size();) {
    const size_t end = at;
    const char32_t character = NextCharacter(text.bytes, &at);
    if (!IsLineEnd(character)) continue;
    if (character == '\r' && at < text.bytes.size() && text.bytes[at] == '\n') ++at;
    lines.push_back(Part(text, begin, keep_ends ? at : end));
    begin = at;
  }
  if (begin < text.bytes.size()) lines.push_back(Part(text, begin, text.bytes.size()));
  return lines;
}

absl::StatusOr<Text> Replace(Run& run, const Text& text, std::string_view old, const Text& replacement,
                             size_t limit) {
  TextBuilder out;
  size_t at = 0;
  const std::string& bytes = text.bytes;
  HEARTH_RETURN_IF_ERROR(run.StepBytes(bytes.size()));
  for (size_t count = 0; count < limit; ++count) {
    const size_t found = FindFirst(bytes, old, at, bytes.size());
    if (found == std::string::npos) break;
    HEARTH_RETURN_IF_ERROR(run.StepBytes(replacement.bytes.size()));
    HEARTH_RETURN_IF_ERROR(run.CheckMemory(out.size()));
    out.Append(text, at, found);
    out.Append(replacement);
    at = found + old.size();
    if (!old.empty()) continue;
    if (at == bytes.size()) return out.Take();
    NextCharacter(bytes, &at);
    out.Append(text, found, at);
  }
  out.Append(text, at, bytes.size());
  return out.Take();
}

absl::StatusOr<Text> Pad(Run& run, const Text& text, int64_t width, const Text& fill, Alignment alignment) {
  const auto length = static_cast<int64_t>(text.characters());
  if (width <= length) return text;
  const auto missing = static_cast<size_t>(width - length);
  HEARTH_RETURN_IF_ERROR(run.CheckMemory(missing));
  HEARTH_RETURN_IF_ERROR(run.Step(missing));
  // Of an odd number of characters Python puts the extra one left where the width is odd as well.
  const size_t left = alignment == Alignment::kLeft ? 0
                      : alignment == Alignment::kRight
                          ? missing
                          : missing / 2 + (missing & static_cast<size_t>(width) & 1);
  TextBuilder out;
  for (size_t i = 0; i < left; ++i) out.Append(fill);
  out.Append(text);
  for (size_t i = left; i < missing; ++i) out.Append(fill);
  return out.Take();
}

bool HasCharacterClass(const Text& text, std::string_view method) {
  if (method == "isascii") return text.ascii();
  if (text.bytes.empty()) return method == "isprintable";
  bool cased = false;
  for (size_t at = 0; at < text.bytes.size();) {
    const char32_t c = NextCharacter(text.bytes, &at);
    cased |= IsUpperCase(c) || IsLowerCase(c);
    const bool fits = method == "isalpha"       ? IsAlpha(c)
                      : method == "isalnum"     ? IsAlpha(c) || IsDigit(c)
                      : method == "isspace"     ? IsSpace(c)
                      : method == "isprintable" ? IsPrintable(c)
                      : method == "isupper"     ? !IsLowerCase(c)
                      : method == "islower"     ? !IsUpperCase(c)
                      : c < 0x80                ? c >= '0' && c <= '9'
                                                : IsDigit(c);
    if (!fits) return false;
  }
  return cased || (method != "isupper" && method != "islower");
}

}  // namespace hearth::jinja
