#include "engine/token/special_tokens.h"

#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/engine/token/vocabulary_fixture.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class SpecialTokensTest : public testing::Test {
 protected:
  // "[token]" or "text" for each fragment.
  std::vector<std::string> Split(std::string_view text, bool parse_special = true) {
    std::vector<std::string> fragments;
    for (const TextFragment& fragment : SpecialTokens(vocabulary_).Split(text, parse_special)) {
      fragments.push_back(fragment.token == kNoToken ? std::string(fragment.text)
                                                     : "[" + vocabulary_.tokens[fragment.token] + "]");
    }
    return fragments;
  }

  void Strip(std::string_view token, uint16_t side) {
    vocabulary_.attributes[vocabulary_.Find(token)] |= side;
  }

  Vocabulary vocabulary_ = *Vocabulary::FromMetadata(
      SpmMetadata({{"<a>", kControl}, {"<a><b>", kControl}, {"  ", kUserDefined}, {"plain", kNormal}}));
};

TEST_F(SpecialTokensTest, AnEmptyTextHasNoFragments) { EXPECT_THAT(Split(""), IsEmpty()); }

TEST_F(SpecialTokensTest, CutsTheTextAtTokens) {
  EXPECT_THAT(Split("x<a>y<a>"), ElementsAre("x", "[<a>]", "y", "[<a>]"));
}

TEST_F(SpecialTokensTest, TokensThatTouchALiteralRangeStayText) {
  const std::vector<ByteRange> literal = {{3, 5}, {8, 9}};
  std::vector<std::string> found;
  for (const TextFragment& fragment : SpecialTokens(vocabulary_).Split("<a><a>x<a>y<a>", true, literal)) {
    found.push_back(fragment.token == kNoToken ? std::string(fragment.text) : "token");
  }
  EXPECT_THAT(found, ElementsAre("token", "<a>x<a>y", "token"));
}

TEST_F(SpecialTokensTest, TheLongerTokenWins) { EXPECT_THAT(Split("<a><b>"), ElementsAre("[<a><b>]")); }

TEST_F(SpecialTokensTest, ControlTokensAreTextUnlessAskedFor) {
  EXPECT_THAT(Split("x<a>y", false), ElementsAre("x<a>y"));
  EXPECT_THAT(Split("<unk>", false), ElementsAre("<unk>"));
}

TEST_F(SpecialTokensTest, UserDefinedTokensAlwaysCount) {
  EXPECT_THAT(Split("a   b", false), ElementsAre("a", "[  ]", " b"));
}

TEST_F(SpecialTokensTest, NormalTokensNeverCount) { EXPECT_THAT(Split("plain"), ElementsAre("plain")); }

TEST_F(SpecialTokensTest, AHalfTokenIsText) { EXPECT_THAT(Split("<a"), ElementsAre("<a")); }

TEST_F(SpecialTokensTest, StripsWhitespaceOnTheRight) {
  Strip("<a>", kStripsRight);
  EXPECT_THAT(Split("x <a> \n y"), ElementsAre("x ", "[<a>]", "y"));
  EXPECT_THAT(Split("<a> \n"), ElementsAre("[<a>]"));
}

TEST_F(SpecialTokensTest, StripsWhitespaceOnTheLeft) {
  Strip("<a>", kStripsLeft);
  EXPECT_THAT(Split("x \t<a> y"), ElementsAre("x", "[<a>]", " y"));
  EXPECT_THAT(Split(" <a>"), ElementsAre("[<a>]"));
}

}  // namespace
}  // namespace hearth
