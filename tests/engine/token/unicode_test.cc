#include "engine/token/unicode.h"

#include <string>

#include "gtest/gtest.h"

namespace hearth {
namespace {

using std::string_literals::operator""s;

std::string Encoded(const std::u32string& code_points) {
  std::string text;
  for (char32_t c : code_points) AppendUtf8(c, &text);
  return text;
}

TEST(DecodeUtf8, ReadsCharactersOfEveryLength) { EXPECT_EQ(DecodeUtf8("aé€😀"), U"aé€😀"); }

TEST(DecodeUtf8, ReplacesEachByteOfABrokenCharacter) {
  EXPECT_EQ(DecodeUtf8("\xFF"), U"\uFFFD");
  EXPECT_EQ(DecodeUtf8("a\x80z"), U"a\uFFFDz");
  EXPECT_EQ(DecodeUtf8("\xF0\x9F\x98 end"), U"\uFFFD\uFFFD\uFFFD end");
}

TEST(DecodeUtf8, ReplacesACharacterThatTheEndCutsOff) { EXPECT_EQ(DecodeUtf8("a\xC3"), U"a\uFFFD"); }

TEST(DecodeUtf8, LetsOverlongFormsAndSurrogatesPass) {
  EXPECT_EQ(DecodeUtf8("\xC0\x80"), std::u32string(1, U'\0'));
  EXPECT_EQ(DecodeUtf8("\xED\xA0\x80"), std::u32string(1, 0xD800));
}

TEST(DecodeUtf8, ReplacesWhatLiesBeyondUnicode) { EXPECT_EQ(DecodeUtf8("\xF4\x90\x80\x80"), U"\uFFFD"); }

TEST(AppendUtf8, IsTheInverseOfDecoding) {
  const std::u32string text = U"a\u007F\u0080\u07FF\u0800\uFFFF\U00010000\U0010FFFF";
  EXPECT_EQ(DecodeUtf8(Encoded(text)), text);
}

TEST(ValidUtf8Length, MeasuresWholeCharactersOnly) {
  bool truncated = true;
  EXPECT_EQ(ValidUtf8Length("é!", &truncated), 2u);
  EXPECT_FALSE(truncated);
  EXPECT_EQ(ValidUtf8Length("", &truncated), 0u);
  EXPECT_FALSE(truncated);
}

TEST(ValidUtf8Length, TellsCutOffFromBroken) {
  bool truncated = false;
  EXPECT_EQ(ValidUtf8Length("\xF0\x9F\x98", &truncated), 0u);
  EXPECT_TRUE(truncated);
  EXPECT_EQ(ValidUtf8Length("\xF0\x9Fx", &truncated), 0u);
  EXPECT_FALSE(truncated);
}

TEST(ValidUtf8Length, RefusesOverlongFormsSurrogatesAndWhatLiesBeyondUnicode) {
  bool truncated = true;
  for (const char* bytes : {"\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                            "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\x80"}) {
    EXPECT_EQ(ValidUtf8Length(bytes, &truncated), 0u);
    EXPECT_FALSE(truncated);
  }
}

TEST(InvalidUtf8Length, CoversTheLongestBeginningOfACharacter) {
  EXPECT_EQ(InvalidUtf8Length("\xF0\x9F\x98x"), 3u);
  EXPECT_EQ(InvalidUtf8Length("\xED\xA0\x80"), 1u);
  EXPECT_EQ(InvalidUtf8Length("\xFF\xFF"), 1u);
}

TEST(Category, KnowsEachKind) {
  EXPECT_EQ(Category(U'a'), CodePointCategory::kLetter);
  EXPECT_EQ(Category(U'中'), CodePointCategory::kLetter);
  EXPECT_EQ(Category(U'½'), CodePointCategory::kNumber);
  EXPECT_EQ(Category(U'。'), CodePointCategory::kPunctuation);
  EXPECT_EQ(Category(U'€'), CodePointCategory::kSymbol);
  EXPECT_EQ(Category(0x0301), CodePointCategory::kMark);
  EXPECT_EQ(Category(0xA0), CodePointCategory::kSeparator);
  EXPECT_EQ(Category(0xE000), CodePointCategory::kControl);
  EXPECT_EQ(Category(0x378), CodePointCategory::kUnassigned);
}

TEST(Category, IsUnassignedAtAndBeyondTheEnd) {
  EXPECT_EQ(Category(0x10FFFF), CodePointCategory::kUnassigned);
  EXPECT_EQ(Category(0x110000), CodePointCategory::kUnassigned);
  EXPECT_EQ(Category(0xFFFFFFFF), CodePointCategory::kUnassigned);
}

TEST(IsWhitespace, HoldsForUnicodesSpacesOnly) {
  for (char32_t c : U"\t\n\v\f\r \u0085\u00A0\u1680\u2000\u200A\u2028\u2029\u202F\u205F\u3000"s) {
    EXPECT_TRUE(IsWhitespace(c)) << std::hex << static_cast<uint32_t>(c);
  }
  for (char32_t c : {U'\x1C', U'\u200B', U'\u180E', U'\uFEFF', U'x'}) {
    EXPECT_FALSE(IsWhitespace(c)) << std::hex << static_cast<uint32_t>(c);
  }
}

TEST(ToLower, MapsCapitalsAndLeavesTheRest) {
  EXPECT_EQ(ToLower(U'A'), U'a');
  EXPECT_EQ(ToLower(U'É'), U'é');
  EXPECT_EQ(ToLower(U'Ā'), U'ā');
  EXPECT_EQ(ToLower(U'ā'), U'ā');  // between two capitals of a run with step 2
  EXPECT_EQ(ToLower(U'Ж'), U'ж');
  EXPECT_EQ(ToLower(U'7'), U'7');
}

TEST(BaseLetter, DropsAccents) {
  EXPECT_EQ(BaseLetter(U'é'), U'e');
  EXPECT_EQ(BaseLetter(U'Å'), U'A');
  EXPECT_EQ(BaseLetter(U'ж'), U'ж');
  EXPECT_EQ(BaseLetter(U'각'), U'\u1100');
}

TEST(IsHan, CoversItsBlocksAndTheirBorders) {
  EXPECT_TRUE(IsHan(0x4E00));
  EXPECT_TRUE(IsHan(0x9FFF));
  EXPECT_TRUE(IsHan(0x2B920));
  EXPECT_FALSE(IsHan(0x3042));
  EXPECT_FALSE(IsHan(0xA000));
  EXPECT_TRUE(IsWordPieceIdeograph(0x4E00));
  EXPECT_FALSE(IsWordPieceIdeograph(0x2B820));
}

}  // namespace
}  // namespace hearth
