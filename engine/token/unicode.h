#ifndef HEARTH_ENGINE_TOKEN_UNICODE_H_
#define HEARTH_ENGINE_TOKEN_UNICODE_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace hearth {

// What tokenizers need to know of Unicode 15.1. All functions are pure and accept any value.

inline constexpr char32_t kReplacementCharacter = 0xFFFD;

// The first letter of Unicode's general category; private use and surrogates count as control.
enum class CodePointCategory : uint8_t {
  kUnassigned,
  kNumber,
  kLetter,
  kSeparator,
  kMark,
  kPunctuation,
  kSymbol,
  kControl,
};

// Of the Unicode tables.
CodePointCategory Category(char32_t code_point);
// Property White_Space.
bool IsWhitespace(char32_t code_point);
// Simple lower case; the code point itself where there is none.
char32_t ToLower(char32_t code_point);
// The first character of the canonical decomposition: "é" gives "e". (Marks that follow it are dropped.)
char32_t BaseLetter(char32_t code_point);
// Chinese characters, in the ranges that BERT's text splitting lists (its gap before U+2B920 included).
bool IsWordPieceIdeograph(char32_t code_point);
// Chinese characters: the unified and the compatibility blocks, whole.
bool IsHan(char32_t code_point);

// Bytes of a character whose first byte is `lead`, 1-4; 1 for a byte that no character starts with.
constexpr size_t Utf8Length(uint8_t lead) {
  if (lead < 0xC0) return 1;
  if (lead < 0xE0) return 2;
  return lead < 0xF0 ? 3 : 4;
}

// Decodes leniently, as vocabularies were compared: surrogates and overlong forms pass, every other byte that
// is not part of a character (and every code point beyond U+10FFFF) becomes U+FFFD.
std::u32string DecodeUtf8(std::string_view text);
// `code_point` <= 0x10FFFF; surrogates are written in three bytes.
void AppendUtf8(char32_t code_point, std::string* text);

// The length of the strictly valid UTF-8 character at the front of `text`; 0 where there is none.
// `*truncated` tells whether the bytes are the beginning of one that the end of `text` cuts off.
size_t ValidUtf8Length(std::string_view text, bool* truncated);
// How many bytes at the front of an invalid `text` one U+FFFD stands for (Unicode's "maximal subpart"); >= 1.
size_t InvalidUtf8Length(std::string_view text);

}  // namespace hearth

#endif  // HEARTH_ENGINE_TOKEN_UNICODE_H_
