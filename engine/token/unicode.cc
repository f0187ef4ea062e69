#include "engine/token/unicode.h"

#include <algorithm>
#include <vector>

#include "engine/token/unicode_tables.h"

namespace hearth {
namespace {

constexpr char32_t kCodePoints = 0x110000;

// One byte per code point: 1.1 MB that make the look-up of a whole text cheap.
const std::vector<CodePointCategory>& CategoryTable() {
  static const auto* const table = [] {
    auto* filled = new std::vector<CodePointCategory>(kCodePoints);
    for (size_t i = 0; i < unicode_tables::kCategoryCount; ++i) {
      const bool last = i + 1 == unicode_tables::kCategoryCount;
      const char32_t end = last ? kCodePoints : unicode_tables::kCategories[i + 1].first;
      for (char32_t code_point = unicode_tables::kCategories[i].first; code_point < end; ++code_point) {
        (*filled)[code_point] = unicode_tables::kCategories[i].category;
      }
    }
    return filled;
  }();
  return *table;
}

// The run that maps `code_point`; nullptr where there is none.
const unicode_tables::MappedRun* FindRun(const unicode_tables::MappedRun* runs, size_t count,
                                         char32_t code_point) {
  const auto* run = std::upper_bound(
      runs, runs + count, code_point,
      [](char32_t value, const unicode_tables::MappedRun& run) { return value < run.first; });
  if (run == runs) return nullptr;
  --run;
  const bool mapped = code_point <= run->last && (code_point - run->first) % run->step == 0;
  return mapped ? run : nullptr;
}

bool IsContinuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// The smallest and largest second byte that strict UTF-8 allows after `lead`.
struct ByteBounds {
  uint8_t low, high;
};
ByteBounds SecondByteBounds(uint8_t lead) {
  switch (lead) {
    case 0xE0:
      return {0xA0, 0xBF};  // shorter forms exist below
    case 0xED:
      return {0x80, 0x9F};  // surrogates above
    case 0xF0:
      return {0x90, 0xBF};  // shorter forms exist below
    case 0xF4:
      return {0x80, 0x8F};  // beyond U+10FFFF above
    default:
      return {0x80, 0xBF};
  }
}

bool CanStart(uint8_t lead) { return lead < 0x80 || (lead >= 0xC2 && lead <= 0xF4); }

// How many bytes at the front of `text` agree with strict UTF-8, at most one character; 0 for an impossible
// first byte.
size_t AgreeingBytes(std::string_view text) {
  const auto lead = static_cast<uint8_t>(text[0]);
  if (!CanStart(lead)) return 0;
  const size_t length = std::min(Utf8Length(lead), text.size());
  if (length < 2) return 1;
  const ByteBounds second = SecondByteBounds(lead);
  const auto byte = static_cast<uint8_t>(text[1]);
  if (byte < second.low || byte > second.high) return 1;
  size_t agreeing = 2;
  while (agreeing < length && IsContinuation(text[agreeing])) ++agreeing;
  return agreeing;
}

}  // namespace

CodePointCategory Category(char32_t code_point) {
  return code_point < kCodePoints ? CategoryTable()[code_point] : CodePointCategory::kUnassigned;
}

bool IsWhitespace(char32_t code_point) {
  if (code_point < 0x80) return code_point == ' ' || (code_point >= 0x09 && code_point <= 0x0D);
  switch (code_point) {
    case 0x85:
    case 0xA0:
    case 0x1680:
    case 0x2028:
    case 0x2029:
    case 0x202F:
    case 0x205F:
    case 0x3000:
      return true;
    default:
      return code_point >= 0x2000 && code_point <= 0x200A;
  }
}

char32_t ToLower(char32_t code_point) {
  const auto* run = FindRun(unicode_tables::kLowerCase, unicode_tables::kLowerCaseCount, code_point);
  return run == nullptr ? code_point : run->target + (code_point - run->first);
}

char32_t BaseLetter(char32_t code_point) {
  const auto* run = FindRun(unicode_tables::kBaseLetters, unicode_tables::kBaseLetterCount, code_point);
  return run == nullptr ? code_point : run->target;
}

bool IsWordPieceIdeograph(char32_t code_point) {
  return (code_point >= 0x4E00 && code_point <= 0x9FFF) || (code_point >= 0x3400 && code_point <= 0x4DBF) ||
         (code_point >= 0x20000 && code_point <= 0x2A6DF) ||
         (code_point >= 0x2A700 && code_point <= 0x2B81F) ||
         (code_point >= 0x2B920 && code_point <= 0x2CEAF) || (code_point >= 0xF900 && code_point <= 0xFAFF) ||
         (code_point >= 0x2F800 && code_point <= 0x2FA1F);
}

bool IsHan(char32_t code_point) {
  return (code_point >= 0x4E00 && code_point <= 0x9FFF) || (code_point >= 0x3400 && code_point <= 0x4DBF) ||
         (code_point >= 0x20000 && code_point <= 0x2A6DF) ||
         (code_point >= 0x2A700 && code_point <= 0x2EBEF) || (code_point >= 0xF900 && code_point <= 0xFAFF) ||
         (code_point >= 0x2F800 && code_point <= 0x2FA1F);
}

std::u32string DecodeUtf8(std::string_view text) {
  std::u32string code_points;
  code_points.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<uint8_t>(text[at]);
    if (lead < 0x80) {
      code_points.push_back(lead);
      ++at;
      continue;
    }
    const size_t length = Utf8Length(lead);
    bool whole = length > 1 && lead < 0xF8 && at + length <= text.size();
    char32_t code_point = lead & (0x7Fu >> length);
    for (size_t i = 1; whole && i < length; ++i) {
      whole = IsContinuation(text[at + i]);
      code_point = code_point << 6 | (static_cast<uint8_t>(text[at + i]) & 0x3F);
    }
    at += whole ? length : 1;
    code_points.push_back(whole && code_point < kCodePoints ? code_point : kReplacementCharacter);
  }
  return code_points;
}

void AppendUtf8(char32_t code_point, std::string* text) {
  const auto continuation = [&](int shift) {
    text->push_back(static_cast<char>(0x80 | ((code_point >> shift) & 0x3F)));
  };
  if (code_point < 0x80) {
    text->push_back(static_cast<char>(code_point));
  } else if (code_point < 0x800) {
    text->push_back(static_cast<char>(0xC0 | (code_point >> 6)));
    continuation(0);
  } else if (code_point < 0x10000) {
    text->push_back(static_cast<char>(0xE0 | (code_point >> 12)));
    continuation(6);
    continuation(0);
  } else {
    text->push_back(static_cast<char>(0xF0 | (code_point >> 18)));
    continuation(12);
    continuation(6);
    continuation(0);
  }
}

size_t ValidUtf8Length(std::string_view text, bool* truncated) {
  *truncated = false;
  if (text.empty()) return 0;
  const size_t agreeing = AgreeingBytes(text);
  if (agreeing == 0) return 0;
  const size_t length = Utf8Length(static_cast<uint8_t>(text[0]));
  if (agreeing == length) return length;
  *truncated = agreeing == text.size();
  return 0;
}

size_t InvalidUtf8Length(std::string_view text) { return std::max<size_t>(1, AgreeingBytes(text)); }

}  // namespace hearth
