#include "engine/token/pre_tokenizer.h"

#include <string>
#include <vector>

#include "engine/token/unicode.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace hearth {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> Words(const PreTokenizer& pre_tokenizer, std::string_view text) {
  const std::u32string code_points = DecodeUtf8(text);
  std::vector<std::string> words;
  size_t begin = 0;
  for (size_t end : pre_tokenizer.WordEnds(code_points)) {
    words.emplace_back();
    for (; begin < end; ++begin) AppendUtf8(code_points[begin], &words.back());
  }
  return words;
}

std::vector<std::string> Words(std::string_view rule, std::string_view text) {
  return Words(PreTokenizer(*FindPreTokenizerRule(rule)), text);
}

TEST(PreTokenizerRules, AnUnknownNameHasNone) {
  EXPECT_EQ(FindPreTokenizerRule("no-such-model"), nullptr);
  EXPECT_EQ(FindPreTokenizerRule("llama"), nullptr);
}

TEST(PreTokenizerRules, AreListedByName) {
  EXPECT_THAT(PreTokenizerNames(), testing::HasSubstr("command-r, "));
  EXPECT_THAT(PreTokenizerNames(), testing::HasSubstr(", qwen2,"));
}

TEST(PreTokenizerRules, LastFlagsOfFamiliesDiffer) {
  EXPECT_TRUE(FindPreTokenizerRule("llama-bpe")->ignore_merges);
  EXPECT_FALSE(FindPreTokenizerRule("dbrx")->ignore_merges);
  EXPECT_FALSE(FindPreTokenizerRule("qwen2")->clean_spaces);
  EXPECT_TRUE(FindPreTokenizerRule("gpt-2")->clean_spaces);
}

TEST(PreTokenizer, AnEmptyTextHasNoWords) { EXPECT_THAT(Words("gpt-2", ""), IsEmpty()); }

TEST(PreTokenizer, Gpt2KeepsTheSpaceWithTheWord) {
  EXPECT_THAT(Words("gpt-2", "I'm 42  years old!"),
              ElementsAre("I", "'m", " 42", " ", " years", " old", "!"));
}

TEST(PreTokenizer, LlamaCutsNumbersAfterThreeDigits) {
  EXPECT_THAT(Words("llama-bpe", "We'LL pay 12345\n\n ok"),
              ElementsAre("We", "'LL", " pay", " ", "123", "45", "\n\n", " ok"));
}

TEST(PreTokenizer, Qwen35KeepsMarksWithLetters) {
  EXPECT_THAT(Words("qwen2", "e\xCC\x81t"), ElementsAre("e", "\xCC\x81t"));
  EXPECT_THAT(Words("qwen35", "e\xCC\x81t"), ElementsAre("e\xCC\x81t"));
}

TEST(PreTokenizer, Gpt4oCutsBeforeTheNextCapital) {
  EXPECT_THAT(Words("gpt-4o", "getUserNAME's"), ElementsAre("get", "User", "NAME's"));
  EXPECT_THAT(Words("tekken", "getUserNAME's"), ElementsAre("get", "User", "NAME", "'s"));
}

TEST(PreTokenizer, DeepSeekV3CutsChineseFromTheRest) {
  EXPECT_THAT(Words("deepseek-v3", "a今天b ~/.x"), ElementsAre("a", "今天", "b", " ~/.", "x"));
}

TEST(PreTokenizer, DeepSeekLlmCutsWhitespaceAtTheEndOnly) {
  EXPECT_THAT(Words("deepseek-llm", "a   b   "), ElementsAre("a", "  ", " b", "   "));
}

TEST(PreTokenizer, KimiCutsChineseFromOtherLetters) {
  EXPECT_THAT(Words("kimi-k2", "abc今天 it's"), ElementsAre("abc", "今天", " it's"));
}

TEST(PreTokenizer, BloomCutsAtPunctuationOfSeveralScripts) {
  EXPECT_THAT(Words("bloom", "one two。three"), ElementsAre("one", " two", "。", "three"));
}

TEST(PreTokenizer, FalconCutsThreeDigitsOfANumber) {
  EXPECT_THAT(Words("falcon", "1234 x==y"), ElementsAre("123", "4", " x", "==", "y"));
}

TEST(PreTokenizer, SuperBpeGroupsDigitsFromTheRight) {
  EXPECT_THAT(Words("superbpe", "a b 1234567"), ElementsAre("a b ", "1", "234", "567"));
  EXPECT_THAT(Words("superbpe", "123456"), ElementsAre("123", "456"));
  EXPECT_THAT(Words("superbpe", "12"), ElementsAre("12"));
}

TEST(PreTokenizer, AfMoeGroupsDigitsFromTheRight) {
  EXPECT_THAT(Words("afmoe", "in 12345 days"), ElementsAre("in", " ", "12", "345", " days"));
}

TEST(PreTokenizer, ExaoneMoeJoinsWordsAcrossSpaces) {
  EXPECT_THAT(Words("exaone-moe", "one two  three"), ElementsAre("one two", " ", " three"));
}

TEST(PreTokenizer, Jais2CutsLongWhitespaceInPowersOfTwo) {
  EXPECT_THAT(Words("jais-2", "a       b"), ElementsAre("a", "    ", "  ", " b"));
  EXPECT_THAT(Words("jais-2", "!\n \n  \nx"), ElementsAre("!\n", " \n  \n", "x"));
}

TEST(PreTokenizer, ChameleonCutsImageTokensOut) {
  EXPECT_THAT(Words("chameleon", "xIMGIMGABZy  z"), ElementsAre("x", "IMGIMGABZ", "y", "  ", "z"));
}

TEST(PreTokenizer, WhitespaceBeyondAsciiIsWhitespaceButNotASpace) {
  EXPECT_THAT(Words("gpt-2", "a\u3000b"), ElementsAre("a", "\u3000", "b"));
  EXPECT_THAT(Words("llama-bpe", "a\u3000\u3000b"), ElementsAre("a", "\u3000", "\u3000b"));
}

// Every rule must give back all characters in order, whatever the text, and do so without deep recursion.
TEST(PreTokenizer, EveryRuleLosesNothingOfALongText) {
  std::vector<std::string> texts = {std::string(50'000, 'a'), std::string(50'000, ' '),
                                    std::string(50'000, '7'), std::string(50'000, '\n'),
                                    std::string(50'000, ' ') + "x"};
  std::string mixed;
  while (mixed.size() < 50'000) mixed += "Ab 1234\xCC\x81 今'S\r\n\t<=~\u3000";
  texts.push_back(mixed);
  const std::string names = PreTokenizerNames() + ", ";
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = names.find(", ", begin);
    const std::string name = names.substr(begin, end - begin);
    const PreTokenizer pre_tokenizer(*FindPreTokenizerRule(name));
    for (const std::string& text : texts) {
      std::string joined;
      for (const std::string& word : Words(pre_tokenizer, text)) joined += word;
      EXPECT_EQ(joined, text) << name;
    }
    begin = end + 2;
  }
}

}  // namespace
}  // namespace hearth
