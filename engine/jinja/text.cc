#include "engine/jinja/text.h"

#include <string.h>

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "engine/token/unicode.h"

namespace hearth::jinja {
namespace {

constexpr char32_t kLastCasedCharacter = 0x1E943;

// Lower case -> upper case, of characters beyond ASCII. Where several have the same lower case the lowest
// counts, the others are compatibility characters.
const absl::flat_hash_map<char32_t, char32_t>& UpperCaseMap() {
  static const auto* const map = [] {
    auto* const made = new absl::flat_hash_map<char32_t, char32_t>();
    for (char32_t c = 0x80; c <= kLastCasedCharacter; ++c) {
      if (const char32_t lower = ToLower(c); lower != c && lower >= 0x80) made->emplace(lower, c);
    }
    // Lower case letters that no letter has as its lower case.
    for (const auto& [lower, upper] : {std::pair<char32_t, char32_t>{0xB5, 0x39C},
                                       {0x17F, 'S'},
                                       {0x131, 'I'},
                                       {0x3C2, 0x3A3},
                                       {0x3D0, 0x392},
                                       {0x3D1, 0x398},
                                       {0x3D5, 0x3A6}}) {
      (*made)[lower] = upper;
    }
    made->erase(0xDF);
    return made;
  }();
  return *map;
}

}  // namespace

Text::Text(std::string_view text, bool input) : bytes(text) {
  if (input && !bytes.empty()) inputs.push_back({0, bytes.size()});
}

size_t Text::characters() const { return CountCharacters(bytes); }

void TextBuilder::Mark(size_t begin, size_t end) {
  if (begin == end) return;
  if (!text_.inputs.empty() && text_.inputs.back().end == begin) {
    text_.inputs.back().end = end;
  } else {
    text_.inputs.push_back({begin, end});
  }
}

void TextBuilder::Append(std::string_view bytes, bool input) {
  const size_t begin = size();
  text_.bytes += bytes;
  if (input) Mark(begin, size());
}

void TextBuilder::Append(const Text& text, size_t begin, size_t end) {
  const size_t shift = size();
  text_.bytes.append(text.bytes, begin, end - begin);
  auto range = std::partition_point(text.inputs.begin(), text.inputs.end(),
                                    [&](const ByteRange& input) { return input.end <= begin; });
  for (; range != text.inputs.end() && range->begin < end; ++range) {
    Mark(std::max(range->begin, begin) - begin + shift, std::min(range->end, end) - begin + shift);
  }
}

Text TextBuilder::Take() { return std::exchange(text_, Text()); }

Text Part(const Text& text, size_t begin, size_t end) {
  TextBuilder builder;
  builder.Append(text, begin, end);
  return builder.Take();
}

size_t FindFirst(std::string_view text, std::string_view needle, size_t begin, size_t end) {
  if (begin > end || needle.size() > end - begin) return std::string_view::npos;
  if (needle.empty()) return begin;
  // std::string::find takes quadratic time at worst.
  const void* const found = memmem(text.data() + begin, end - begin, needle.data(), needle.size());
  return found == nullptr ? std::string_view::npos
                          : static_cast<size_t>(static_cast<const char*>(found) - text.data());
}

size_t FindLast(std::string_view text, std::string_view needle, size_t begin, size_t end) {
  if (begin > end || needle.size() > end - begin) return std::string_view::npos;
  if (needle.empty()) return end;
  const std::string reversed_text(std::make_reverse_iterator(text.begin() + end),
                                  std::make_reverse_iterator(text.begin() + begin));
  const std::string reversed_needle(needle.rbegin(), needle.rend());
  const size_t found = FindFirst(reversed_text, reversed_needle, 0, reversed_text.size());
  return found == std::string_view::npos ? found : end - found - needle.size();
}

size_t CountCharacters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(),
                                           [](char c) { return (static_cast<uint8_t>(c) & 0xC0) != 0x80; }));
}

size_t ByteOfCharacter(std::string_view text, size_t index) {
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) at += Utf8Length(static_cast<uint8_t>(text[at]));
  return std::min(at, text.size());
}

char32_t NextCharacter(std::string_view text, size_t* at) {
  const auto lead = static_cast<uint8_t>(text[*at]);
  const size_t length = std::min(Utf8Length(lead), text.size() - *at);
  char32_t character = length == 1 ? lead : lead & (0x7F >> length);
  for (size_t i = 1; i < length; ++i)
    character = character << 6 | (static_cast<uint8_t>(text[*at + i]) & 0x3F);
  *at += length;
  return character;
}

bool IsSpace(char32_t character) {
  return (character >= 0x1C && character <= 0x1F) || IsWhitespace(character);
}

bool IsPrintable(char32_t character) {
  if (character < 0x7F) return character >= 0x20;
  const CodePointCategory category = Category(character);
  return category != CodePointCategory::kUnassigned && category != CodePointCategory::kControl &&
         category != CodePointCategory::kSeparator;
}

char32_t SimpleUpperCase(char32_t character) {
  if (character < 0x80) return character >= 'a' && character <= 'z' ? character - 0x20 : character;
  const auto found = UpperCaseMap().find(character);
  return found == UpperCaseMap().end() ? character : found->second;
}

std::string UpperCase(char32_t character) {
  if (character == 0xDF) return "SS";
  std::string text;
  AppendUtf8(SimpleUpperCase(character), &text);
  return text;
}

bool IsUpperCase(char32_t character) { return ToLower(character) != character; }

bool IsLowerCase(char32_t character) {
  return !IsUpperCase(character) && (character == 0xDF || SimpleUpperCase(character) != character);
}

}  // namespace hearth::jinja
