#include "engine/grammar/utf8_ranges.h"

#include <gtest/gtest.h>

#include <string>

#include "engine/token/unicode.h"

namespace hearth::grammar {
namespace {

bool Matches(const std::vector<ByteSequence>& sequences, const std::string& text) {
  int matching = 0;
  for (const ByteSequence& sequence : sequences) {
    bool match = sequence.length == text.size();
    for (size_t i = 0; match && i < text.size(); ++i) {
      const auto byte = static_cast<uint8_t>(text[i]);
      match = sequence.bytes[i].first <= byte && byte <= sequence.bytes[i].last;
    }
    matching += match ? 1 : 0;
  }
  EXPECT_LE(matching, 1) << "sequences overlap";
  return matching > 0;
}

void ExpectExactly(CodePointRange range) {
  const std::vector<ByteSequence> sequences = Utf8Sequences(range);
  for (char32_t character = 0; character <= 0x10FFFF; character += character < 0x3000 ? 1 : 37) {
    if (character >= 0xD800 && character <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(character, &text);
    ASSERT_EQ(Matches(sequences, text), range.first <= character && character <= range.last)
        << static_cast<uint32_t>(character);
  }
}

TEST(Utf8RangesTest, MatchesTheCharactersOfARangeAndNoOthers) {
  for (const CodePointRange range :
       {CodePointRange{0, 0x7F}, CodePointRange{0x41, 0x41}, CodePointRange{0x7A, 0x801},
        CodePointRange{0x80, 0xD7FF}, CodePointRange{0x123, 0x2345}, CodePointRange{0xE000, 0x10FFFF},
        CodePointRange{0xFFFE, 0x10001}, CodePointRange{0x1F600, 0x1F64F},
        CodePointRange{0x10FFFF, 0x10FFFF}}) {
    ExpectExactly(range);
  }
}

TEST(Utf8RangesTest, WholeLengthsNeedFewSequences) {
  EXPECT_EQ(Utf8Sequences({0, 0x7F}).size(), 1u);
  EXPECT_EQ(Utf8Sequences({0x80, 0x7FF}).size(), 1u);
  EXPECT_LE(Utf8Sequences({0x10000, 0x10FFFF}).size(), 3u);
}

TEST(NormalizedTest, MergesWhatTouchesAndLeavesSurrogatesOut) {
  const auto ranges = Normalized({{'c', 'd'}, {'a', 'b'}, {0xD000, 0xE000}, {'x', 'w'}});
  ASSERT_EQ(ranges.size(), 3u);
  EXPECT_EQ(ranges[0].first, U'a');
  EXPECT_EQ(ranges[0].last, U'd');
  EXPECT_EQ(ranges[1].last, char32_t{0xD7FF});
  EXPECT_EQ(ranges[2].first, char32_t{0xE000});
}

TEST(ComplementTest, OfEverythingIsNothingAndBack) {
  const auto all = Complement({});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_TRUE(Complement(all).empty());
  EXPECT_EQ(Complement({{0, 0x10FFFF}}).size(), 0u);
}

}  // namespace
}  // namespace hearth::grammar
