#include "engine/jinja/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace hearth::jinja {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(TextTest, CountsCharactersNotBytes) {
  EXPECT_EQ(Text("aé日😀").characters(), 4u);
  EXPECT_FALSE(Text("é").ascii());
  EXPECT_TRUE(Text("e").ascii());
}

TEST(TextBuilderTest, JoinsMarksThatTouch) {
  TextBuilder builder;
  builder.Append("a", false);
  builder.Append("b", true);
  builder.Append(Text("c", true));
  builder.Append("", true);
  builder.Append("d", false);
  EXPECT_THAT(builder.Take().inputs, ElementsAre(ByteRange{1, 3}));
  EXPECT_EQ(builder.size(), 0u);
}

TEST(TextBuilderTest, CutsMarksWithTheText) {
  TextBuilder builder;
  builder.Append("ab");
  builder.Append("cde", true);
  builder.Append("f");
  builder.Append("g", true);
  const Text text = builder.Take();
  EXPECT_THAT(Part(text, 3, 6).inputs, ElementsAre(ByteRange{0, 2}));
  EXPECT_THAT(Part(text, 4, 7).inputs, ElementsAre(ByteRange{0, 1}, ByteRange{2, 3}));
  EXPECT_THAT(Part(text, 0, 2).inputs, IsEmpty());
}

TEST(FindTest, FindsTheFirstAndTheLastWithinItsBounds) {
  EXPECT_EQ(FindFirst("abcabc", "bc", 0, 6), 1u);
  EXPECT_EQ(FindFirst("abcabc", "bc", 2, 6), 4u);
  EXPECT_EQ(FindLast("abcabc", "bc", 0, 6), 4u);
  EXPECT_EQ(FindLast("abcabc", "bc", 0, 5), 1u);
  EXPECT_EQ(FindFirst("abc", "", 3, 3), 3u);
  EXPECT_EQ(FindLast("abc", "", 0, 3), 3u);
}

TEST(FindTest, FindsNothingOutsideItsBounds) {
  EXPECT_EQ(FindFirst("abc", "c", 0, 2), std::string::npos);
  EXPECT_EQ(FindFirst("abc", "a", 3, 2), std::string::npos);
  EXPECT_EQ(FindLast("abc", "abcd", 0, 3), std::string::npos);
}

TEST(CharacterTest, BytesOfCharacters) {
  EXPECT_EQ(ByteOfCharacter("é日a", 2), 5u);
  EXPECT_EQ(ByteOfCharacter("é", 7), 2u);
  size_t at = 0;
  EXPECT_EQ(NextCharacter("😀", &at), U'😀');
  EXPECT_EQ(at, 4u);
}

TEST(CharacterTest, SpacesAndPrintableOnesArePythons) {
  EXPECT_TRUE(IsSpace(U'\u3000') && IsSpace(0x1F) && IsSpace(U'\n'));
  EXPECT_FALSE(IsSpace(U'\u200b'));
  EXPECT_TRUE(IsPrintable(U'é') && IsPrintable(U' '));
  EXPECT_FALSE(IsPrintable(U'\u00a0') || IsPrintable(0x7F) || IsPrintable(U'\u200d'));
}

TEST(CharacterTest, UpperCaseOfLettersWithoutAnEqual) {
  EXPECT_EQ(UpperCase(U'ß'), "SS");
  EXPECT_EQ(UpperCase(U'ÿ'), "Ÿ");
  EXPECT_EQ(UpperCase(U'µ'), "Μ");
  EXPECT_EQ(UpperCase(U'k'), "K");
  EXPECT_EQ(UpperCase(U'日'), "日");
  EXPECT_TRUE(IsLowerCase(U'ß') && IsUpperCase(U'Ä') && !IsLowerCase(U'1'));
}

}  // namespace
}  // namespace hearth::jinja
